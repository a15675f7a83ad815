"""The sweep's own lines on the console: what started, finished or failed, the best so far, and the time left."""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Callback

from mage.search.space import in_short
from mage.search.trial import METRIC, TIME


class Progress(Callback):
    """One line an event; reads the same on a terminal and in a job log."""

    def __init__(self, title: str, trials: int) -> None:
        self.title, self.trials = title, trials
        self.started, self.ended = time.time(), 0
        self.best: tuple[float, str] | None = None

    def get_state(self) -> dict[str, Any]:
        """Kept by Tune, so that a resumed sweep counts on."""
        return {"ended": self.ended, "best": self.best, "elapsed": time.time() - self.started}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on counting where the driver died."""
        self.ended, self.best = state["ended"], state["best"]
        self.started = time.time() - state["elapsed"]

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune has started a trial."""
        self.say(f"trial {trial.trial_id} starts: {in_short(trial.config)}")

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported a score, intermediate or final."""
        if METRIC in result:
            score, number = result[METRIC], result[TIME]
            self.say(f"trial {trial.trial_id} [{in_short(trial.config)}]: score {score:.1f} (evaluation {number})")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended, by itself or stopped by the scheduler."""
        self.ended += 1
        score = trial.last_result.get(METRIC)
        if score is not None and (self.best is None or score > self.best[0]):
            self.best = (score, in_short(trial.config))
        best = f"; best so far {self.best[0]:.1f} ({self.best[1]})" if self.best else ""
        self.say(f"{self.ended} of {self.trials} trials done{best}; {self.time_left()}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has failed for good."""
        self.ended += 1
        self.say(f"trial {trial.trial_id} FAILED [{in_short(trial.config)}]; log: {trial.local_path}")

    def time_left(self) -> str:
        """An estimate from the trials done so far."""
        left = (time.time() - self.started) / max(1, self.ended) * (self.trials - self.ended)
        return "finished" if self.ended >= self.trials else f"about {max(1, round(left / 60))} min left"

    def say(self, line: str) -> None:
        """Prints a line with the time of day."""
        print(f"[{self.title} {time.strftime('%H:%M:%S')}] {line}", flush=True)
