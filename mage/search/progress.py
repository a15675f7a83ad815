"""Tells the watch of a sweep what Ray Tune does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from ray.tune import Callback

from mage.progress.watch import Watch
from mage.search.trial import METRIC, TIME
from mage.words import sentence_of


class Progress(Callback):
    """Passes Tune's events on to the watch of this process.

    It holds nothing itself: Tune pickles its callbacks when a sweep begins, and in a resumed one takes that pickle,
    which knows this class by the name of this module.
    """

    watch: ClassVar[Watch | None] = None

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune goes round; in a resumed sweep it knows what ended before."""
        if self.watch is None:
            return
        self.watch.keep_only({trial.trial_id for trial in trials})
        for trial in trials:
            if trial.is_finished() and not self.watch.knows_end_of(trial.trial_id):
                self.watch.trial_started(trial.trial_id, trial.config, trial.path, quietly=True)
                if trial.status == trial.ERROR:
                    self.watch.trial_failed(trial.trial_id, _reason(trial), quietly=True)
                else:
                    self.watch.trial_ended(trial.trial_id, trial.last_result or {}, quietly=True)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune has started a trial."""
        if self.watch:
            self.watch.trial_started(trial.trial_id, trial.config, trial.path)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported."""
        if self.watch and METRIC in result:
            self.watch.trial_scored(trial.trial_id, result[TIME], result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended, by itself or stopped by the scheduler."""
        if self.watch:
            self._introduce(self.watch, trial)
            self.watch.trial_ended(trial.trial_id, trial.last_result or {})

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has failed for good."""
        if self.watch:
            self._introduce(self.watch, trial)
            self.watch.trial_failed(trial.trial_id, _reason(trial))

    @staticmethod
    def _introduce(watch: Watch, trial: Any) -> None:
        """A trial may end without ever having started, where Ray cannot start it."""
        if watch.status.trial(trial.trial_id) is None:
            watch.trial_started(trial.trial_id, trial.config, trial.path, quietly=True)


def _reason(trial: Any) -> str:
    try:  # here it is written first; Tune takes it to the run directory later
        text = Path(trial.error_file).read_text()
    except (OSError, TypeError):
        text = trial.get_error() or "no reason is known"
    return sentence_of(RuntimeError(text))


@contextmanager
def watched_by(watch: Watch) -> Iterator[None]:
    """Inside, the events of Tune go to this watch, which shows and writes them."""
    Progress.watch = watch
    try:
        with watch:
            yield
    finally:
        Progress.watch = None
