"""The training loop of one stage, for every algorithm and any number of workers.

All randomness of a step is derived from (seed, stage, step, rank), so a run that was stopped and continued is the run
that was never stopped, and one that runs in this process is the one that runs on a Ray worker: to the bit on a CPU, up
to the order in which a GPU adds.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mage.config import AlgorithmConfig, TrainingConfig
from mage.distributed import mean_over_workers, rank, world_size
from mage.errors import MageError
from mage.interface import Algorithm, Info, Optimiser, Stage

DIAGNOSED_ROWS = 256
OPTIMISERS, OLD_OPTIMISER = "optimisers.safetensors", "optimizer.safetensors"


class Engine:
    """One stage under way: its optimisers, and how many steps are done.

    Args:
        stage: what is trained, and by what step.
        agent: the algorithm that the stage is of.
        trainable: those of its parameters that are ever trained.
        rows: of the data, from which batches are drawn unless the stage says otherwise.
        training: how often it speaks.
        seed: training seed.
    """

    def __init__(
        self,
        stage: Stage,
        agent: Algorithm[Any],
        trainable: Sequence[nn.Parameter],
        rows: int,
        training: TrainingConfig,
        seed: int,
    ) -> None:
        check_share(stage.name, stage.config.batch_size, world_size())
        self.stage, self.agent, self.training, self.seed = stage, agent, training, seed
        self.rows = rows if stage.rows is None else stage.rows
        self.name, self.config, self.device = stage.name, stage.config, agent.device
        self.optimisers = {
            name: Optimiser(stage.parameters(name, trainable), stage.settings(name), stage.config.steps)
            for name in stage.trains
        }
        self.step = 0
        self.history: list[dict[str, float | str]] = []
        self._totals: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()
        self.set_modes()

    def train_until(self, step: int) -> None:
        """Trains up to a step; logs every `log_every` steps and at the end of the call."""
        self.set_modes()
        while self.step < step:
            self.gather(self.train_step())
            if self.step % self.training.log_every == 0 or self.step == step:
                self.log()

    def gather(self, info: Info, steps: int = 1) -> None:
        """Adds the terms of a step, or their sums over some, to what is averaged in the next row of the loss curve."""
        for name, value in info.items():
            self._totals[name] = self._totals.get(name, 0.0) + value.detach()
            self._counts[name] += steps  # a term need not be one of every step

    def train_step(self, around: AbstractContextManager[object] | None = None) -> dict[str, Tensor]:
        """One step on this worker's share of a batch: its terms, and the norms of the gradients.

        `around` is entered for what the stage does, once its batch is drawn.
        """
        shared, own = self.generators(self.step)
        rows_B = torch.randint(self.rows, (self.config.batch_size,), generator=shared)[rank() :: world_size()]
        for optimiser in self.optimisers.values():
            optimiser.begin(self.step)
        with around or nullcontext():
            info = dict(self.stage.step(rows_B.to(self.device), self.optimisers, own))
        for name, optimiser in self.optimisers.items():
            if optimiser.norm is not None:
                info["gradient_norm" if len(self.optimisers) == 1 else f"{name}_gradient_norm"] = optimiser.norm
        self.step += 1
        return info

    def generators(self, step: int) -> tuple[torch.Generator, torch.Generator]:
        """The randomness of a step: one generator that all workers share, one that is this worker's own."""
        stage = zlib.crc32(self.name.encode())
        seeds = [np.random.SeedSequence([self.seed, stage, step, part]).generate_state(1) for part in (0, 1 + rank())]
        shared = torch.Generator().manual_seed(int(seeds[0][0]))
        own = torch.Generator(self.device).manual_seed(int(seeds[1][0]))
        # dropout takes no generator; torch.manual_seed would format a stack trace at every step
        torch.default_generator.manual_seed(int(seeds[1][0]))
        if self.device.type == "cuda":
            torch.cuda.manual_seed(int(seeds[1][0]))
        return shared, own

    def log(self) -> None:
        """Averages what has been gathered over steps and workers, adds diagnostics, and appends it to the history."""
        means = mean_over_workers({name: total / self._counts[name] for name, total in self._totals.items()})
        if not math.isfinite(means["loss"]):
            raise MageError(
                f"the loss of the {self.name} is {means['loss']} at step {self.step}; "
                f"lower training.{self.name}.learning_rate (now {self.config.learning_rate})"
            )
        self.agent.eval()
        diagnosed = torch.randint(self.rows, (DIAGNOSED_ROWS,), generator=self.generators(self.step)[0])
        means |= mean_over_workers(self.stage.diagnose(diagnosed.to(self.device)))
        self.set_modes()
        self.history.append({"stage": self.name, "step": self.step, **means})
        self._totals, self._counts = {}, Counter()

    def in_words(self) -> str:
        """The newest row of the loss curve as a line for people."""
        row = self.history[-1]
        values = "".join(f", {name.replace('_', ' ')} {row[name]:.3g}" for name in self.stage.tells if name in row)
        return f"{self.name} {row['step']}/{self.config.steps}: loss {row['loss']:.3g}{values}"

    def save(self, folder: Path) -> None:
        """Writes the optimisers' state; only meaningful right after `train_until`. The weights are the trainer's."""
        states = {name: optimiser.state() for name, optimiser in self.optimisers.items()}
        named = {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}
        save_file(named, folder / OPTIMISERS)

    def load(self, folder: Path, step: int) -> None:
        """Goes on from what `save` wrote at `step`, here or in version 0.1, which had one optimiser a stage."""
        old = folder / OLD_OPTIMISER
        state = load_file(old if old.exists() else folder / OPTIMISERS)
        for name, optimiser in self.optimisers.items() if step else ():
            prefix = "" if old.exists() else f"{name}."
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            optimiser.load(own)
        self.step = step

    def set_modes(self) -> None:
        """What the stage trains, in training mode and with gradients; all else frozen and in evaluation mode."""
        self.agent.eval().requires_grad_(False)
        for parts in self.stage.trains.values():
            for part in parts:
                if isinstance(part, nn.Module):
                    part.train()
        for optimiser in self.optimisers.values():
            for parameter in optimiser.parameters:
                parameter.requires_grad_(True)


def check_shares(config: AlgorithmConfig, workers: int, swept: Collection[str] = ()) -> None:
    """MageError where so many workers cannot share the batches of a stage evenly; those that are swept are left out."""
    for name in config.stages:
        if f"training.{name}.batch_size" not in swept:
            check_share(name, getattr(config.training, name).batch_size, workers)


def check_share(stage: str, batch_size: int, workers: int) -> None:
    """The same, for one stage."""
    if workers and batch_size % workers:
        raise MageError(
            f"batch_size {batch_size} of the {stage} cannot be shared by {workers} workers evenly; set "
            f"training.{stage}.batch_size to a multiple of it, or take another number of workers"
        )
