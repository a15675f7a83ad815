"""One training seed of an algorithm, stage after stage; stoppable and resumable at any step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mage import registry
from mage.config import AlgorithmConfig
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories, target_return
from mage.distributed import all_agree, rank
from mage.errors import MageError
from mage.files import write_json, write_text
from mage.interface import Policy, Sizes
from mage.nn.ceiling import Ceiling
from mage.training.artefacts import (
    History,
    Log,
    artefact_name,
    claim,
    is_claimed,
    is_whole,
    keep_artefact,
    parts_of,
    take_artefact,
)
from mage.training.engine import Engine
from mage.training.weights import WHOLE, load_weights, save_weights

CHECKPOINT_VERSION = 4
"""Of training.json. 4: one file of weights, and optimisers by name."""

READABLE = (3, 4)
Watch = Callable[["Trainer"], None]


class Trainer:
    """Trains all stages for one seed.

    Args:
        trajectories: what to learn from.
        config: of the run.
        seed: training seed: initial weights, batches, noise.
        artefacts: a folder in which what a shared stage leaves is kept and looked for.
        log: is told, in a line, whenever there is something to say.
        data: the steps of these trajectories, where another seed's trainer has them already.
        watch: is called whenever the loss curve has a new row; by default `log_row`.
        device: to train on; by default what the configuration says of this process.
    """

    def __init__(
        self,
        trajectories: Trajectories,
        config: AlgorithmConfig,
        seed: int,
        artefacts: Path | None = None,
        log: Log = lambda line: None,
        data: Steps | None = None,
        watch: Watch | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.watch = watch or log_row
        if config.discount is not None:
            task = trajectories.task.model_copy(update={"discount": config.discount})
            trajectories = replace(trajectories, task=task)
        self.trajectories, self.config, self.seed, self.log = trajectories, config, seed, log
        statistics = Statistics.from_trajectories(trajectories)
        device = device or choose_device(config.training.device)
        self.data = data or Steps(trajectories, statistics, device)
        sizes = Sizes(trajectories.observation_size, trajectories.action_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.agent = registry.get(config.algorithm)(config, sizes, statistics).to(device)
        self._trainable = [parameter for parameter in self.agent.parameters() if parameter.requires_grad]
        self.stages = list(self.agent.stages(self.data))
        self.finished_history: History = []
        self.artefacts = artefacts
        self.stage = self._begin(0)
        self.take_shared()

    @property
    def networks(self) -> dict[str, torch.nn.Module]:
        """All that is trained, by name."""
        return self.agent.networks

    @property
    def device(self) -> torch.device:
        """Where it trains."""
        return self.agent.device

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

    def take_shared(self) -> None:
        """Takes what other runs have left of the first stages by now, where this one has done no step."""
        if self.step:
            return
        for number in range(len(self.stages) - 1, 0, -1):
            last, artefact = self.stages[number - 1], self._artefact(number)
            if artefact and all_agree(is_whole(artefact, self.log)):
                self.finished_history = take_artefact(parts_of(self.stages[:number], self.agent), artefact)
                self.log(f"{last.name}: taken from {artefact.name}")
                self.stage = self._begin(number)
                return

    @property
    def is_claimed(self) -> bool:
        """Whether another run has begun this one's first stage, which may be there to be taken a while later."""
        artefact = self._artefact(1)
        return self.step == 0 and artefact is not None and is_claimed(artefact)

    def claim(self) -> None:
        """Tells other runs that this one goes on with its first stage."""
        artefact = self._artefact(1)
        if self.step == 0 and artefact is not None and rank() == 0:
            claim(artefact)

    def advance(self, until: int) -> None:
        """Trains up to a step counted over all stages, `total_steps` at most."""
        while self.step < min(until, self.total_steps):
            self.stage.train_until(self.next_stop(until))
            self.go_on()

    def next_stop(self, until: int) -> int:
        """The step of the stage under way at which it has to stop, on the way to a step over all stages: where its
        loss curve gets a row, and at its end.
        """
        every, stage = self.config.training.log_every, self.stage
        return min(until - self._starts_at(stage.name), stage.config.steps, (stage.step // every + 1) * every)

    def go_on(self) -> None:
        """Tells how far it is and, where a stage is done, begins the next."""
        self.watch(self)
        if self.stage.step == self.stage.config.steps:
            self._next_stage()

    def milestones(self, evaluations: int) -> list[int]:
        """Steps (over all stages) at which a scheduler may look: `evaluations` evenly spaced points inside the last
        stage in whose midst the policy may be judged, then the end.
        """
        judged = ([stage for stage in self.stages if stage.acts] or self.stages)[-1]
        before, steps = self._starts_at(judged.name), judged.config.steps
        inside = [before + steps * (i + 1) // (evaluations + 1) for i in range(evaluations)]
        return sorted({*inside, self.total_steps})

    def policy(self) -> Policy:
        """The policy as trained so far (shares the weights)."""
        rule, quantile = self.config.target_return_rule, self.config.evaluation.target_return_quantile
        if self.agent.asks == "advantage":
            target = self.agent.target_advantage(quantile)
        else:
            quantile = 1.0 if rule == "feasible" and quantile is None else quantile
            target = target_return(self.trajectories, quantile, of_episodes=rule == "decremented")
        # as it comes from disk: whether a weight asks for its gradient decides by which kernel a product is made
        for parameter in self._trainable:
            parameter.requires_grad_(True)
        ceiling = self.ceiling if rule == "feasible" and self.agent.asks == "return" else None
        return Policy(self.agent, self.trajectories.task, target, self.seed, ceiling)

    @cached_property
    def ceiling(self) -> Ceiling:
        """What the data has done at best, nearly, from a state, of what the policy is asked for."""
        return Ceiling.learn(self.data, self.agent.conditions_of(self.data))

    def save(self, folder: Path) -> None:
        """Writes a checkpoint from which `load` goes on: safetensors and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self.agent, folder / WHOLE)
        self.stage.save(folder)
        described = self._identity() | {
            "format_version": CHECKPOINT_VERSION,
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
        if described.get("format_version") not in READABLE:
            raise MageError(
                f"the checkpoint {folder} has format_version {described.get('format_version')}, this mage reads "
                f"{READABLE[0]} to {READABLE[-1]}; use a new --out"
            )
        for name, value in self._identity().items():
            if described.get(name) != value:
                raise MageError(
                    f"the checkpoint {folder} has {name} {described.get(name)}, this run has {value}; use a new --out"
                )
        self.agent.load_state_dict(load_weights(folder))
        self.stages = list(self.agent.stages(self.data))
        self.stage = self._begin([stage.name for stage in self.stages].index(described["stage"]))
        self.stage.load(folder, described["step"])
        self.finished_history = described["history"]

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree in."""
        dataset = self.trajectories.task.fingerprint
        return {"config_hash": self.config.hash(), "seed": self.seed, "dataset": dataset}

    def _begin(self, number: int) -> Engine:
        """A stage at its step 0, on the weights at hand."""
        rows, training = len(self.data), self.config.training
        return Engine(self.stages[number], self.agent, self._trainable, rows, training, self.seed)

    def _artefact(self, number: int) -> Path | None:
        """Where so many first stages are kept, if all of them are shared."""
        if self.artefacts is None or any(stage.shared_by is None for stage in self.stages[:number]):
            return None
        return self.artefacts / artefact_name(self.stages[number - 1], self.trajectories.task, self.seed)

    def _next_stage(self) -> None:
        """Ends the stage that is done and goes on to the next; stays in the last one when all is done."""
        stage = self.stage.stage
        if stage.end is not None:
            self.agent.eval()
            row, words = stage.end()
            self.stage.history.append({"step": self.stage.step, **row})
            self.log(words)
        number = self.stages.index(stage) + 1
        artefact = self._artefact(number)
        if artefact and rank() == 0:
            keep_artefact(parts_of(self.stages[:number], self.agent), self.history, artefact, self.log)
        if number < len(self.stages):
            self.finished_history = self.history
            self.stage = self._begin(number)

    def _starts_at(self, stage: str) -> int:
        before = self.config.stages[: self.config.stages.index(stage)]
        return sum(getattr(self.config.training, name).steps for name in before)


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
    trainer.log(trainer.stage.in_words())


def choose_device(wanted: str) -> torch.device:
    """`auto` is the current GPU where there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise MageError("training.device is cuda, but torch finds no GPU here; set training.device=auto or cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
