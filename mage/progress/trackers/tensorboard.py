"""Event files for TensorBoard: the loss curves of a training, and the hyper-parameters of a trial with its score.

Written by tensorboardX, which Ray Tune brings, but not by its SummaryWriter: that one writes in a thread, which a full
disk ends, and then waits for it forever. A run that goes on after an interruption hides the steps that it does again
from what it wrote before.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mage.errors import MageError
from mage.progress.trackers.tracker import Tracker
from mage.results.status import TrialStatus

FOLDER = "tensorboard"
FLUSH_SECONDS = 20
LONGEST_NAME = 80


class EventFile:
    """One line of TensorBoard's list of runs: a folder with event files; the first value opens a file there.

    All methods raise MageError where the file cannot be written (full disk, no permission).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None
        self._flushed = 0.0

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each named curve."""
        from tensorboardX.summary import scalar

        for name, value in values.items():
            self._write(step, summary=scalar(name, value))

    def add_row(self, row: Mapping[str, float | str], total_step: int) -> None:
        """A row of a loss curve (`mage.training.trainer.History`), at its step over all stages."""
        self.add(total_step, curves(row))

    def add_configuration(self, configuration: Mapping[str, Any], measures: Mapping[str, float]) -> None:
        """What the HPARAMS page shows: a configuration, and what came of it."""
        from tensorboardX.summary import hparams

        plain = {
            name: value if isinstance(value, str | bool | int | float) else json.dumps(value)
            for name, value in configuration.items()
        }
        for part in hparams(plain, dict(measures)):
            self._write(0, summary=part)

    def close(self) -> None:
        """Writes out what is there; a later value opens another file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with self._told():
                writer.close()

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        with self._told():
            self._open(step).write_event(Event(wall_time=time.time(), step=step, **content))
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._writer.flush()
                self._flushed = time.monotonic()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"cannot write curves to {self.folder}: {error.strerror or error}"
            raise MageError(f"{reason}; free some space or choose another --out") from error

    def _open(self, step: int) -> Any:
        if self._writer is None:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog

            goes_on = self.folder.is_dir() and any(self.folder.iterdir())
            self.folder.mkdir(parents=True, exist_ok=True)
            # with the time, or two files of one second are one
            self._writer = EventsWriter(str(self.folder / "events"), f".{time.time_ns()}")
            if goes_on:
                self._writer.write_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)))
        return self._writer


def curves(row: Mapping[str, float | str]) -> dict[str, float]:
    """The values of a row of a loss curve by `stage/name`."""
    stage = row["stage"]
    return {
        f"{stage}/{name}": value for name, value in row.items() if name != "step" and isinstance(value, float | int)
    }


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
