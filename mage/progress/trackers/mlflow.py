"""Curves and scores for MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from mage.progress.trackers.tensorboard import curves
from mage.progress.trackers.tracker import Tracker
from mage.results.status import TrialStatus


class MLflow(Tracker):
    """A run a trial, in the experiment MLFLOW_EXPERIMENT_NAME (default mage), where MLFLOW_TRACKING_URI says."""

    name = "mlflow"

    def __init__(self, group: str) -> None:
        from mlflow.tracking import MlflowClient

        self.group, self.client = group, MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mage")
        known = self.client.get_experiment_by_name(name)
        self.experiment = known.experiment_id if known else self.client.create_experiment(name)
        self.runs: dict[str, str] = {}

    def begin(self, trial: TrialStatus) -> None:
        """As `Tracker`."""
        if trial.trial_id in self.runs:
            return
        tags = {"mage.sweep": self.group, "mage.trial": trial.trial_id}
        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        found = self.client.search_runs([self.experiment], wanted, max_results=1)
        if found:
            run = found[0].info.run_id
            self.client.update_run(run, status="RUNNING")
        else:
            name = f"{trial.name} ({trial.trial_id})"
            run = self.client.create_run(self.experiment, tags=tags, run_name=name).info.run_id
            for field, value in trial.configuration.items():
                self.client.log_param(run, field, value)
        self.runs[trial.trial_id] = run

    def row(self, trial: TrialStatus, seed: int, row: Mapping[str, float | str], total_step: int) -> None:
        """As `Tracker`."""
        self._log(trial, {f"seed-{seed}/{name}": value for name, value in curves(row).items()}, total_step)

    def score(self, trial: TrialStatus, evaluation: int, measures: Mapping[str, float]) -> None:
        """As `Tracker`."""
        self._log(trial, measures, evaluation)

    def end(self, trial: TrialStatus, measures: Mapping[str, float]) -> None:
        """As `Tracker`."""
        run = self.runs.pop(trial.trial_id, None)
        if run is not None:
            self.client.set_tag(run, "mage.status", trial.status)
            self.client.set_terminated(run, "FAILED" if trial.status == "failed" else "FINISHED")

    def close(self) -> None:
        """As `Tracker`."""
        for run in self.runs.values():
            self.client.set_terminated(run, "KILLED")

    def _log(self, trial: TrialStatus, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self.client.log_batch(self.runs[trial.trial_id], metrics)
