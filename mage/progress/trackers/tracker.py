"""What a tracker is told, and the thread that tells it: none can hold up a trial, and one that fails is given up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mage.results.status import TrialStatus
from mage.words import sentence_of

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
