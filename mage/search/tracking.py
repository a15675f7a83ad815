"""Where a sweep's curves and scores go: event files for TensorBoard always, Weights & Biases and MLflow when asked.

All trackers are fed in the sweep's own process, from a thread of their own: none can hold up a trial, and one that
fails is given up in one line.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import queue
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mage.errors import MageError
from mage.results.status import TrialStatus
from mage.results.tensorboard import FOLDER, EventFile, curves
from mage.words import sentence_of

LONGEST_NAME = 80
LONGEST_WAIT = 30.0


class Tracker:
    """Is told what happens to trials. Each is begun once a driver, and again by the driver of a resumed sweep."""

    name = "tracker"

    def begin(self, trial: TrialStatus) -> None:
        """A trial starts, or goes on."""

    def row(self, trial: TrialStatus, seed: int, row: Mapping[str, float | str], total_step: int) -> None:
        """A row of the loss curve of one training seed."""

    def score(self, trial: TrialStatus, evaluation: int, measures: Mapping[str, float]) -> None:
        """An evaluation, intermediate or final."""

    def end(self, trial: TrialStatus, measures: Mapping[str, float]) -> None:
        """A trial has ended; `measures` are the last ones."""

    def close(self) -> None:
        """The sweep has ended."""


class TensorBoard(Tracker):
    """`<scenario>/tensorboard/<configuration>-<trial>`, and below it a folder a training seed."""

    name = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self.files: dict[str, dict[int | None, EventFile]] = {}

    def row(self, trial: TrialStatus, seed: int, row: Mapping[str, float | str], total_step: int) -> None:
        """As `Tracker`."""
        self._file(trial, seed).add_row(row, total_step)

    def score(self, trial: TrialStatus, evaluation: int, measures: Mapping[str, float]) -> None:
        """As `Tracker`."""
        self._file(trial, None).add(evaluation, measures)

    def end(self, trial: TrialStatus, measures: Mapping[str, float]) -> None:
        """As `Tracker`."""
        if measures:
            self._file(trial, None).add_configuration(trial.configuration, measures)
        for file in self.files.pop(trial.trial_id, {}).values():
            file.close()

    def close(self) -> None:
        """As `Tracker`."""
        for files in self.files.values():
            for file in files.values():
                file.close()

    def _file(self, trial: TrialStatus, seed: int | None) -> EventFile:
        """Of a training seed, or of the whole trial."""
        name = re.sub(r"[^-=.+\w]+", "_", trial.name)[:LONGEST_NAME]
        here = self.folder / f"{name}-{trial.trial_id}"
        place = here if seed is None else here / f"seed-{seed}"
        return self.files.setdefault(trial.trial_id, {}).setdefault(seed, EventFile(place))


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
        import time

        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self.client.log_batch(self.runs[trial.trial_id], metrics)


OPTIONAL: dict[str, Callable[[str], Tracker]] = {"wandb": Wandb, "mlflow": MLflow}
"""Those to be asked for; each name is that of its package, and of the extra that installs it."""


def check_trackers(names: Sequence[str]) -> None:
    """MageError unless every tracker that is asked for exists and has its package installed."""
    for name in names:
        if name not in OPTIONAL:
            raise MageError(f"--track {name}: there is only {' and '.join(OPTIONAL)}; TensorBoard is always written")
        if importlib.util.find_spec(name) is None:
            raise MageError(
                f"--track {name} needs the package {name}: pip install -e '.[{name}]', or pip install {name}"
            )


def make_trackers(names: Sequence[str], group: str) -> list[Tracker]:
    """The trackers that are asked for, connected; `group` names the sweep there.

    Raises:
        MageError: one of them cannot start.
    """
    trackers = []
    for name in names:
        try:
            trackers.append(OPTIONAL[name](group))
        except Exception as error:  # of whatever class, by the tracker's package
            raise MageError(f"--track {name} cannot start: {sentence_of(error)}") from error
    return trackers


class Tracking:
    """Hands what happens to all trackers, in order and in another thread."""

    def __init__(self, trackers: Sequence[Tracker], say: Callable[[str], None]) -> None:
        self._trackers, self._say = list(trackers), say
        self._told: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="trackers", daemon=True)
        self._thread.start()

    def tell(self, what: str, *arguments: Any) -> None:
        """Calls the method `what` of every tracker, sooner or later."""
        self._told.put((what, arguments))

    def close(self) -> None:
        """Waits, not for ever, until all has been told, and closes the trackers."""
        self.tell("close")
        self._told.put(None)
        self._thread.join(LONGEST_WAIT)

    def _serve(self) -> None:
        while (told := self._told.get()) is not None:
            what, arguments = told
            for tracker in list(self._trackers):
                try:
                    getattr(tracker, what)(*arguments)
                except Exception as error:  # whatever a tracker's package may raise, the sweep is worth more
                    self._trackers.remove(tracker)
                    self._say(f"{tracker.name} is given up: {sentence_of(error)}; the sweep goes on without it")
