"""What all parts of the GPU benchmark share: sizes, precisions, clocks, and data to learn from."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from mage.algorithms.mage.autoencoder import TrajectoryAutoencoder
from mage.algorithms.mage.config import MageConfig
from mage.algorithms.mage.quantizer import Quantized
from mage.config import AlgorithmConfig, load_config
from mage.data.trajectories import Task, Trajectories
from mage.interface import Info, Optimiser, Optimisers
from mage.interface.stage import Step
from mage.training.engine import Engine
from mage.training.trainer import Trainer

PRECISIONS = ("fp32", "tf32", "bf16")
DOMAIN = "adroit"
OBSERVATION_SIZE, ACTION_SIZE = 45, 24  # of Adroit's pen
SMALL_MODEL = (
    "autoencoder.embed_dim=32",
    "autoencoder.codebook_size=32",
    "transformer.embed_dim=32",
    "transformer.depth=2",
    "inverse_dynamics.hidden_dim=32",
    "training.autoencoder.batch_size=16",
    "training.transformer.batch_size=16",
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """Where and how large it is measured.

    Attributes:
        device: of all networks.
        small: tiny sizes, to try the code.
        ends_at: by the clock of `time.monotonic`; what would take longer is left out.
        scenario: trained on where real data is wanted.
        namespace: of its dataset; None: the scenario's own.
    """

    device: torch.device
    small: bool
    ends_at: float
    scenario: str
    namespace: str | None = None

    @property
    def seconds_left(self) -> float:
        """Until the budget is spent."""
        return self.ends_at - time.monotonic()

    def size(self, full: int, small: int) -> int:
        """One of two sizes."""
        return small if self.small else full

    def paper(self, *changes: str) -> MageConfig:
        """The paper's configuration."""
        config = load_config("paper", (*(SMALL_MODEL if self.small else ()), *changes), DOMAIN)
        assert isinstance(config, MageConfig)
        return config

    def transformer_like(self, mage: MageConfig) -> AlgorithmConfig:
        """A Decision Transformer of the depth, width and heads of MAGE's transformer."""
        same = {name: getattr(mage.transformer, name) for name in ("depth", "embed_dim", "num_heads")}
        sizes = {f"decision_transformer.{name}": value for name, value in same.items()}
        return load_config("paper", sizes, DOMAIN, algorithm="dt")


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def milliseconds(work: Callable[[], object], device: torch.device, calls: int, repeats: int, warm_up: int = 3) -> float:
    """The median, over `repeats`, of the time that one of `calls` calls takes."""
    for _ in range(warm_up):
        work()
    measured = []
    for _ in range(repeats):
        synchronize(device)
        began = time.perf_counter()
        for _ in range(calls):
            work()
        synchronize(device)
        measured.append(1000 * (time.perf_counter() - began) / calls)
    return statistics.median(measured)


@contextmanager
def peak_memory(device: torch.device, row: Row) -> Iterator[None]:
    """Notes in `row` the most that was allocated on the GPU meanwhile, MiB."""
    if device.type == "cuda":
        torch.zeros((), device=device)  # in a new process there is no allocator yet
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    yield
    row["peak MiB"] = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


@contextmanager
def matrix_products(precision: str) -> Iterator[None]:
    """Lets products of float32 matrices round their inputs to TF32, or not."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def stage_of(trainer: Trainer, name: str, precision: str) -> Engine:
    """A stage at its step 0, on the trainer's networks; TF32 is for the caller to switch on."""
    stage = next(stage for stage in trainer.stages if stage.name == name)
    if precision == "bf16":
        stage = replace(stage, step=in_bfloat16(stage.step, trainer.device))
        keep_quantizer_in_float32(trainer)
    # at these sizes there is no parameter that is never trained
    trainable = list(trainer.agent.parameters())
    return Engine(stage, trainer.agent, trainable, len(trainer.data), trainer.config.training, trainer.seed)


def in_bfloat16(step: Step, device: torch.device) -> Step:
    """A step whose loss is computed under autocast, and whose optimisers work outside it, as torch asks for."""

    def stepped(rows_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
        outside = {name: cast(Optimiser, OutsideAutocast(each, device)) for name, each in optimise.items()}
        with torch.autocast(device.type, torch.bfloat16):
            return step(rows_B, outside, random)

    return stepped


class OutsideAutocast:
    """An optimiser, its backward pass and its step, within a region of autocast."""

    def __init__(self, optimiser: Optimiser, device: torch.device) -> None:
        self.optimiser, self.kind = optimiser, device.type

    def minimise(self, loss: Tensor) -> Tensor:
        """What the optimiser returns."""
        with torch.autocast(self.kind, enabled=False):
            return self.optimiser.minimise(loss)


def keep_quantizer_in_float32(trainer: Trainer) -> None:
    """Under autocast, too: its distances and moving averages need it."""
    autoencoder = trainer.networks["autoencoder"]
    assert isinstance(autoencoder, TrajectoryAutoencoder)
    quantizer, kind = autoencoder.quantizer, trainer.device.type
    quantize = type(quantizer).quantize

    def in_float32(latent_BLC: Tensor, generator: torch.Generator | None = None) -> Quantized:
        with torch.autocast(kind, enabled=False):
            return quantize(quantizer, latent_BLC.float(), generator)

    quantizer.quantize = in_float32  # type: ignore[method-assign]


def synthetic(episodes: int, length: int = 100, seed: int = 0) -> Trajectories:
    """A noisy linear system of the pen's sizes under a linear controller: nothing to score, something to learn."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((OBSERVATION_SIZE, OBSERVATION_SIZE)))
    gain = 0.3 * rng.standard_normal((OBSERVATION_SIZE, ACTION_SIZE))
    state = rng.standard_normal((episodes, OBSERVATION_SIZE))
    observations, actions, rewards = [], [], []
    for _ in range(length):
        action = np.tanh(state @ gain + 0.1 * rng.standard_normal((episodes, ACTION_SIZE)))
        observations.append(state)
        actions.append(action)
        rewards.append(-np.square(state).mean(1))
        state = 0.98 * state @ turn + 0.05 * (action @ gain.T) + 0.02 * rng.standard_normal(state.shape)
    return Trajectories(
        observations=flat(observations),
        actions=flat(actions),
        rewards=flat(rewards),
        terminations=np.zeros(episodes, bool),
        episode_starts=np.arange(episodes + 1, dtype=np.int64) * length,
        task=Task(
            scenario="synthetic",
            dataset_id="synthetic",
            fingerprint=f"{episodes}-{length}-{seed}",
            environment_spec="",
            reference_scores=None,
            discount=0.99,
            target_return_quantile=0.9,
            observation_keys=(),
            action_low=(-1.0,) * ACTION_SIZE,
            action_high=(1.0,) * ACTION_SIZE,
        ),
    )


def flat(steps: Sequence[np.ndarray]) -> np.ndarray:
    """A list of (E, ..), one a step, as the rows of episodes laid end to end."""
    together = np.stack(steps, 1).astype(np.float32)
    return together.reshape(-1, *together.shape[2:])
