"""Watches a sweep: keeps its state from what Tune and the workers tell, shows it, and writes it to `status.json`."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from mage.errors import MageError
from mage.progress.display import make_display
from mage.progress.ray_board import Message
from mage.progress.trackers.tracker import Tracker, Tracking
from mage.progress.view import best, failure, status_view, time_left
from mage.results.status import ENDED, HEARTBEAT, SweepStatus, TrialStatus, read_status, write_status
from mage.words import in_short

TICK = 0.5
WRITE_EVERY = 3.0
TRAINING_LINE_EVERY = 60.0
SUMMARY_EVERY = 300.0
MEASURES = ("score", "score_standard_error", "success_rate")


class Watch:
    """The state of one scenario's sweep. A context: inside, a thread renews what is shown and written.

    Args:
        status: what is known before the first trial; trials of an earlier driver are taken from `folder`.
        folder: of the scenario.
        evaluations: of a trial that is not stopped early.
        trackers: told of rows, scores and ends.
    """

    def __init__(
        self, status: SweepStatus, folder: Path, evaluations: int = 1, trackers: Sequence[Tracker] = ()
    ) -> None:
        self.status, self.folder, self.evaluations = status, folder, evaluations
        self._shown = status
        self._lock = threading.RLock()
        self._done = threading.Event()
        self._display = make_display(self.view)
        self._tracking = Tracking(trackers, self.say)
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)
        self._changed, self._written, self._summary = True, -math.inf, time.monotonic()
        self._counted_until = time.monotonic()
        self._said: dict[str, float] = {}
        earlier = read_status(folder)
        if earlier is not None:
            _take_over(status, earlier)

    def __enter__(self) -> Watch:
        self.status.state = "running"
        self.status.host, self.status.pid = socket.gethostname(), os.getpid()
        self.status.started = self.status.started or datetime.now(UTC)
        self._counted_until = time.monotonic()
        self._display.__enter__()
        self._write()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._done.set()
        self._thread.join()
        with self._lock:
            self.status.state = "interrupted" if kind else "finished"
            _interrupt(self.status)
            self._write()
        self._tracking.close()
        self._display.__exit__(kind, *error)

    def view(self) -> RenderableType:
        """The state as it is shown on a terminal: of a moment ago, since whoever draws must not wait for a lock."""
        return status_view(self._shown)

    def say(self, line: str) -> None:
        """Tells an event, with the time of day."""
        self._display.event(self._dated(line))

    def keep_only(self, trial_ids: Collection[str]) -> None:
        """Forgets interrupted trials that Tune does not know: it had not saved them when its driver died."""
        with self._lock:
            self.status.trials = [
                trial for trial in self.status.trials if trial.status != "interrupted" or trial.trial_id in trial_ids
            ]

    def knows_end_of(self, trial_id: str) -> bool:
        """Whether that trial is known to have ended."""
        trial = self.status.trial(trial_id)
        return trial is not None and trial.status in ENDED

    def settle(self, ended: Iterable[TrialStatus]) -> None:
        """What all trials came to in the end, for those whose end an earlier driver did not live to write."""
        with self._lock:
            known = {trial.trial_id: trial for trial in self.status.trials if self.knows_end_of(trial.trial_id)}
            self.status.trials = [known.get(trial.trial_id, trial) for trial in ended]

    def trial_started(
        self, trial_id: str, configuration: Mapping[str, Any], log: str | None, quietly: bool = False
    ) -> None:
        """Tune has started a trial, or started it again.

        Args:
            quietly: here and in the others, of what an earlier driver has told.
        """
        with self._lock:
            trial = self.status.trial(trial_id)
            if trial is None:
                trial = TrialStatus(trial_id=trial_id, name=in_short(configuration), configuration=dict(configuration))
                self.status.trials.append(trial)
            trial.status, trial.doing, trial.reason, trial.log = "running", "starting", None, log
            self._changed = True
            if not quietly:
                self._display.detail(self._dated(f"trial {trial_id} starts: {trial.name}"))
                self._tracking.tell("begin", trial.model_copy())

    def trial_scored(self, trial_id: str, evaluation: int, measures: Mapping[str, Any]) -> None:
        """A trial has reported a score, intermediate or final."""
        with self._lock:
            trial, known = self._trial(trial_id), _finite(measures)
            trial.score, self._changed = known.get("score"), True
            self.say(f"trial {trial_id} [{trial.name}]: score {measures['score']:.1f} (evaluation {evaluation})")
            self._tracking.tell("score", trial.model_copy(), evaluation, known)

    def trial_ended(self, trial_id: str, result: Mapping[str, Any], quietly: bool = False) -> None:
        """A trial has ended with this last report, by itself or stopped by the scheduler."""
        with self._lock:
            trial, known = self._trial(trial_id), _finite(result)
            trial.status = "finished" if result.get("eval_step") == self.evaluations else "stopped"
            trial.score = known.get("score")
            self._after_an_end(trial, known, quietly)

    def trial_failed(self, trial_id: str, reason: str, quietly: bool = False) -> None:
        """A trial has failed for good."""
        with self._lock:
            trial = self._trial(trial_id)
            trial.status, trial.reason, trial.score = "failed", reason, None
            if not quietly:
                self.say(failure(trial))
            self._after_an_end(trial, {}, quietly)

    def heard(self, message: Message) -> None:
        """A worker has told something."""
        with self._lock:
            trial = self.status.trial(message.trial)
            if trial is None or trial.status != "running":
                return
            self._changed = True
            trial.doing = message.doing or trial.doing
            trial.seed = trial.seed if message.seed is None else message.seed
            step = message.step
            if step is not None:
                trial.stage, trial.step, trial.steps = str(step.row["stage"]), int(step.row["step"]), step.steps
                trial.loss, trial.fraction = float(step.row["loss"]), step.fraction
                self._tracking.tell("row", trial.model_copy(), trial.seed, step.row, step.total_step)
            if message.text and self._is_worth_a_line(message):
                self._said[message.trial] = time.monotonic()
                show = self._display.event if message.is_trouble else self._display.detail
                show(self._dated(f"[{trial.name}] {message}"))

    def tick(self) -> None:
        """Writes the state where it is time to, and into a log now and then a summary."""
        with self._lock:
            now = time.monotonic()
            self.status.seconds += now - self._counted_until
            self._counted_until = now
            self._shown = self.status.model_copy(deep=True)
            if now - self._written > (WRITE_EVERY if self._changed else HEARTBEAT):
                self._write()
            if now - self._summary > SUMMARY_EVERY and not self._display.shows_state:
                self._say_summary()

    def _trial(self, trial_id: str) -> TrialStatus:
        """A trial that has started: Tune says that first of each."""
        trial = self.status.trial(trial_id)
        if trial is None:
            raise KeyError(f"trial {trial_id} has not started")
        return trial

    def _after_an_end(self, trial: TrialStatus, measures: Mapping[str, float], quietly: bool) -> None:
        trial.doing, trial.fraction, self._changed = None, 1.0, True
        if not quietly:
            self._tracking.tell("end", trial.model_copy(), measures)
            self._say_summary()

    def _say_summary(self) -> None:
        counts = self.status.counts
        ended = counts["finished"] + counts["stopped"] + counts["failed"]
        left = "finished" if ended >= self.status.trials_wanted else time_left(self.status)
        failed = f", {counts['failed']} of them failed" if counts["failed"] else ""
        running = f"; {counts['running']} running" if counts["running"] else ""
        told = f"{ended} of {self.status.trials_wanted} trials done{failed}{running}; best so far {best(self.status)}"
        self.say(f"{told}; {left}")
        self._summary = time.monotonic()

    def _is_worth_a_line(self, message: Message) -> bool:
        """Training says much: the end of a stage, and else a line a minute and trial."""
        if message.step is None or message.step.row["step"] == message.step.steps:
            return True
        return time.monotonic() - self._said.get(message.trial, -math.inf) > TRAINING_LINE_EVERY

    def _dated(self, line: str) -> str:
        return f"[{self.status.scenario} {time.strftime('%H:%M:%S')}] {line}"

    def _write(self) -> None:
        self.status.updated = datetime.now(UTC)
        self._changed, self._written = False, time.monotonic()
        with suppress(MageError):  # a full disk is told, and waited for, where it matters
            write_status(self.status, self.folder)

    def _follow(self) -> None:
        while not self._done.wait(TICK):
            self.tick()


def waiting(scenario: str, trials: int, seeds: int) -> SweepStatus:
    """The state of a sweep that has not begun, and for which this process prepares."""
    mine = {"host": socket.gethostname(), "pid": os.getpid()}
    return SweepStatus(scenario=scenario, trials_wanted=trials, seeds=seeds, updated=datetime.now(UTC), **mine)


def _take_over(status: SweepStatus, earlier: SweepStatus) -> None:
    """Goes on counting where an earlier driver of the same sweep ended."""
    status.trials, status.seconds, status.started = earlier.trials, earlier.seconds, earlier.started
    _interrupt(status)


def _interrupt(status: SweepStatus) -> None:
    for trial in status.trials:
        if trial.status == "running":
            trial.status, trial.doing = "interrupted", None


def _finite(measures: Mapping[str, Any]) -> dict[str, float]:
    """Those of `MEASURES` that are known."""
    return {name: float(measures[name]) for name in MEASURES if math.isfinite(measures.get(name) or math.nan)}
