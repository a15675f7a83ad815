"""Curves and scores for Weights & Biases."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from mage.errors import MageError
from mage.progress.trackers.tensorboard import curves
from mage.progress.trackers.tracker import Tracker
from mage.results.status import TrialStatus


class Wandb(Tracker):
    """A run a trial, in the project WANDB_PROJECT (default mage), grouped by run directory and scenario."""

    name = "wandb"

    def __init__(self, group: str) -> None:
        import wandb

        self.group, self.runs = group, dict[str, Any]()
        self.drawn: set[tuple[str, int]] = set()
        if os.environ.get("WANDB_MODE", "online") == "online" and not wandb.login(prompt=False):
            raise MageError("no W&B login is known here; run `wandb login` first, or set WANDB_MODE=offline")

    def begin(self, trial: TrialStatus) -> None:
        """As `Tracker`."""
        import wandb

        if trial.trial_id not in self.runs:
            self.runs[trial.trial_id] = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "mage"),
                group=self.group,
                name=f"{trial.name} ({trial.trial_id})",
                id=hashlib.sha256(f"{self.group}/{trial.trial_id}".encode()).hexdigest()[:16],
                resume="allow",
                config=trial.configuration,
                reinit="create_new",
                settings=wandb.Settings(console="off", silent=True),
            )

    def row(self, trial: TrialStatus, seed: int, row: Mapping[str, float | str], total_step: int) -> None:
        """As `Tracker`."""
        run, axis = self.runs[trial.trial_id], f"seed-{seed}/step"
        if (trial.trial_id, seed) not in self.drawn:
            self.drawn.add((trial.trial_id, seed))
            run.define_metric(f"seed-{seed}/*", step_metric=axis)
        run.log({f"seed-{seed}/{name}": value for name, value in curves(row).items()} | {axis: total_step})

    def score(self, trial: TrialStatus, evaluation: int, measures: Mapping[str, float]) -> None:
        """As `Tracker`."""
        self.runs[trial.trial_id].log({**measures, "evaluation": evaluation})

    def end(self, trial: TrialStatus, measures: Mapping[str, float]) -> None:
        """As `Tracker`."""
        run = self.runs.pop(trial.trial_id, None)
        if run is not None:
            run.summary.update({**measures, "status": trial.status})
            run.finish(exit_code=int(trial.status == "failed"))

    def close(self) -> None:
        """As `Tracker`."""
        for run in self.runs.values():
            run.finish(exit_code=1)
