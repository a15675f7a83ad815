"""One training seed of an algorithm, stage after stage; stoppable and resumable at any step.

A trained stage 1 of MAGE is an artefact of its own, named by the hash of all that determines it (data, configuration,
seed), so that configurations which differ in stage 2 only train it once.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mage.config import FORMAT_VERSION, Config, digest
from mage.data.trajectories import Statistics, Trajectories, target_return
from mage.data.windows import Windows
from mage.errors import DamagedError, MageError
from mage.files import check_seal, seal, write_json, write_text
from mage.model.autoencoder import TrajectoryAutoencoder
from mage.model.policy import Policy
from mage.model.quantizer import codebook_use
from mage.training.algorithms import ALGORITHMS, Material
from mage.training.distributed import all_agree, rank
from mage.training.stage import Stage

Log = Callable[[str], None]
History = list[dict[str, float | str]]
Watch = Callable[["Trainer"], None]


class Trainer:
    """Trains all stages for one seed.

    Args:
        trajectories: what to learn from.
        config: of the run.
        seed: training seed: initial weights, batches, noise.
        artefacts: a folder in which trained autoencoders are kept and looked for.
        log: is told, in a line, whenever there is something to say.
        windows: of these trajectories and this configuration, where another seed's trainer has them already.
        watch: is called whenever the loss curve has a new row; by default `log_row`.
        device: to train on; by default what the configuration says of this process.
    """

    def __init__(
        self,
        trajectories: Trajectories,
        config: Config,
        seed: int,
        artefacts: Path | None = None,
        log: Log = lambda line: None,
        windows: Windows | None = None,
        watch: Watch | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.watch = watch or log_row
        if config.discount is not None:
            task = trajectories.task.model_copy(update={"discount": config.discount})
            trajectories = replace(trajectories, task=task)
        self.trajectories, self.config, self.seed, self.log = trajectories, config, seed, log
        self.algorithm = ALGORITHMS[config.algorithm]
        self.statistics = Statistics.from_trajectories(trajectories)
        self.device = device or choose_device(config.training.device)
        horizon, sequence = self.algorithm.horizon(config), config.autoencoder.sequence
        self.windows = windows or Windows(trajectories, self.statistics, horizon, self.device, sequence)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks = self.algorithm.policy.build(config, trajectories.observation_size, trajectories.action_size)
        self.networks = {name: network.to(self.device) for name, network in networks.items()}
        self.finished_history: History = []
        self.artefact = artefacts / self._artefact_name() if artefacts and config.algorithm == "mage" else None
        if self.artefact and all_agree(self._artefact_is_whole(self.artefact)):
            self._take_artefact(self.artefact)
        else:
            self.stage = self._begin(config.stages[0])

    @property
    def step(self) -> int:
        """Steps done, over all stages."""
        return self._starts_at(self.stage.name) + self.stage.step

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return self.config.total_steps

    @property
    def history(self) -> History:
        """One row of metrics a logged step: stage, step, loss terms, diagnostics."""
        return self.finished_history + self.stage.history

    def advance(self, until: int) -> None:
        """Trains up to a step counted over all stages, `total_steps` at most."""
        every, until = self.config.training.log_every, min(until, self.total_steps)
        while self.step < until:
            target = min(until - self._starts_at(self.stage.name), self.stage.config.steps)
            self.stage.train_until(min(target, (self.stage.step // every + 1) * every))
            self.watch(self)
            if self.stage.step == self.stage.config.steps:
                self._next_stage()

    def policy(self) -> Policy:
        """The policy as trained so far (shares the weights)."""
        target = target_return(
            self.trajectories,
            self.config.evaluation.target_return_quantile,
            of_episodes=self.config.target_return_rule == "decremented",
        )
        task = self.trajectories.task
        return self.algorithm.policy(self.config, task, self.statistics, self.networks, target, self.seed)

    def save(self, folder: Path) -> None:
        """Writes a checkpoint from which `load` goes on: safetensors and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, network in self.networks.items():
            save_weights(network, folder / f"{name}.safetensors")
        self.stage.save(folder)
        described = {
            "format_version": FORMAT_VERSION,
            "config_hash": self.config.hash(),
            "seed": self.seed,
            "dataset": self.trajectories.task.fingerprint,
            "stage": self.stage.name,
            "step": self.stage.step,
            "history": self.history,
        }
        (folder / "training.json").write_text(json.dumps(described))

    def load(self, folder: Path) -> None:
        """Goes on from a checkpoint.

        Raises:
            MageError: it is of another version, configuration or seed.
        """
        try:
            described = json.loads((folder / "training.json").read_text())
        except (OSError, ValueError):
            raise MageError(f"the checkpoint {folder} is damaged: training.json cannot be read; remove it") from None
        own = {"format_version": FORMAT_VERSION, "config_hash": self.config.hash(), "seed": self.seed}
        for name, value in (own | {"dataset": self.trajectories.task.fingerprint}).items():
            if described.get(name) != value:
                raise MageError(
                    f"the checkpoint {folder} has {name} {described.get(name)}, this run has {value}; use a new --out"
                )
        for name, network in self.networks.items():
            network.load_state_dict(load_file(folder / f"{name}.safetensors"))
        self.stage = self._begin(described["stage"])
        self.stage.load(folder, described["step"])
        self.finished_history = described["history"]

    def _begin(self, name: str) -> Stage:
        """The named stage at its step 0, on the weights at hand."""
        training = self.config.training
        material = Material(self.config, self.networks, self.windows, self.trajectories.task.discount)
        objective = self.algorithm.objective(name, material)
        return Stage(name, objective, len(self.windows), getattr(training, name), training, self.seed)

    def _next_stage(self) -> None:
        """Goes on to the next stage; stays in the last one when all is done."""
        done, stages = self.stage.name, self.config.stages
        if done == stages[-1]:
            return
        self.finished_history = self.history
        if done == "autoencoder":
            self._record_codebook_use()
        self.stage = self._begin(stages[stages.index(done) + 1])

    def _record_codebook_use(self) -> None:
        """Logs how the dataset uses the codebook after stage 1, and keeps the stage-1 artefact."""
        count = min(len(self.windows), 4096)
        last = len(self.windows) - 1
        spread = torch.linspace(0, last, count, device=self.device).long().clamp_max(last)  # float32 may round it up
        batch = self.windows.take(spread)
        autoencoder = cast(TrajectoryAutoencoder, self.networks["autoencoder"].eval())
        token_maps = autoencoder.encode(batch.trajectory_BHX, batch.condition_BY[:, :1])
        size = self.config.autoencoder.codebook_size
        use = codebook_use(token_maps, size)
        self.finished_history.append({"stage": "codebook", "step": self.stage.step, **use})
        self.log(
            f"codebook: {count} windows of the dataset use {use['codes_used_all']:.0f} % of {size} codes, perplexity "
            f"{use['perplexity_all']:.0f}"
        )
        if self.artefact and rank() == 0:
            self._keep_artefact(self.artefact)

    def _starts_at(self, stage: str) -> int:
        before = self.config.stages[: self.config.stages.index(stage)]
        return sum(getattr(self.config.training, name).steps for name in before)

    def _artefact_name(self) -> str:
        task = self.trajectories.task
        data = {"fingerprint": task.fingerprint, "discount": task.discount}
        key = digest(self.config.autoencoder_key() | data | {"seed": self.seed, "format_version": FORMAT_VERSION})
        return f"autoencoder-{key}"

    def _keep_artefact(self, target: Path) -> None:
        """Keeps stage 1 for other trials. Where the disk has no room for it they train their own."""
        unfinished = target.with_name(f".unfinished-{uuid.uuid4().hex}")
        try:
            unfinished.mkdir(parents=True)
            save_weights(self.networks["autoencoder"], unfinished / "autoencoder.safetensors")
            (unfinished / "history.json").write_text(json.dumps(self.finished_history))
            seal(unfinished)
        except (OSError, SafetensorError, MageError) as error:
            self.log(f"autoencoder: not kept for other trials ({getattr(error, 'strerror', None) or error})")
            shutil.rmtree(unfinished, ignore_errors=True)
            return
        if target.exists() and not self._artefact_is_whole(target):
            shutil.rmtree(target)
        try:
            os.replace(unfinished, target)
        except OSError:  # another trial has just put the same one there
            shutil.rmtree(unfinished)

    def _artefact_is_whole(self, folder: Path) -> bool:
        if not folder.exists():
            return False
        try:
            check_seal(folder)
        except DamagedError as error:
            self.log(f"{error}; the autoencoder is trained again")
            return False
        return True

    def _take_artefact(self, folder: Path) -> None:
        self.networks["autoencoder"].load_state_dict(load_file(folder / "autoencoder.safetensors"))
        self.finished_history = json.loads((folder / "history.json").read_text())
        self.stage = self._begin("transformer")
        self.log(f"autoencoder: taken from {folder.name}")


class Trained(NamedTuple):
    """What training leaves: the policy, its loss curve, and what explains its score (`mage.training.inspection`)."""

    policy: Policy
    history: History
    inspection: dict[str, Any]


def save_run(folder: Path, trained: Trained) -> None:
    """Writes a trained policy, as `metrics.jsonl` how it was trained, and `inspection.json`."""
    trained.policy.save(folder)
    write_text(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in trained.history))
    write_json(folder / "inspection.json", trained.inspection)


def log_row(trainer: Trainer) -> None:
    """Logs the newest row of the loss curve as a line."""
    trainer.log(describe(trainer.stage.history[-1], trainer.stage.config.steps))


def describe(row: Mapping[str, float | str], steps: int) -> str:
    """A row of the loss curve as a line for people."""
    shown = (
        "reconstruction_error",
        "inverse_dynamics_error",
        "perplexity_all",
        "cross_entropy",
        "condition_error",
        "action_error_generated_tokens",
    )
    values = "".join(f", {name.replace('_', ' ')} {row[name]:.3g}" for name in shown if name in row)
    return f"{row['stage']} {row['step']}/{steps}: loss {row['loss']:.3g}{values}"


def choose_device(wanted: str) -> torch.device:
    """`auto` is the current GPU where there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise MageError("training.device is cuda, but torch finds no GPU here; set training.device=auto or cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def save_weights(module: torch.nn.Module, path: Path) -> None:
    """The weights of a module as safetensors."""
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)
