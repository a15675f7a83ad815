"""Where Tune's trials come from: as many in flight as suit the cluster at hand, now, and each that is due.

Tune keeps its limit in the state of the experiment, so a sweep that is resumed on another cluster would go on with that
of the first, and one whose cluster grows would not notice. Both of its sources of trials ask the running driver here.

It writes its trials and what their source knows one after the other, and the source may know of one more. Were the
driver killed then, that trial would be counted and never tried, and would hold its place for good. So a source that is
restored counts the trials that were written. Tune pickles the sources by the name of this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from ray.tune.experiment import Trial
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter
from ray.tune.search.search_generator import SearchGenerator

from mage.search.journal import RunJournal, kept_trials

RECOUNT_SECONDS = 10.0


class FollowsCluster:
    """A source of trials whose `max_concurrent` is what `limit` says; what Tune restores is ignored."""

    limit: ClassVar[Callable[[], int]] = lambda: 1

    @property
    def max_concurrent(self) -> int:
        """As many trials may be in flight."""
        return FollowsCluster.limit()

    @max_concurrent.setter
    def max_concurrent(self, value: Any) -> None:
        pass


class ProposedTrials(FollowsCluster, ConcurrencyLimiter):
    """Trials that a searcher proposes."""


class CountedTrials(SearchGenerator):
    """What hands out `ProposedTrials` until there are as many as wanted."""

    def restore_from_dir(self, dirpath: str) -> None:
        """Goes on from what was written."""
        super().restore_from_dir(dirpath)
        kept = _kept()
        self._counter = len(kept)
        self.searcher.live_trials = _unfinished(kept)
        self.searcher.num_unfinished_live_trials = len(self.searcher.live_trials)


class NamedTrials(FollowsCluster, BasicVariantGenerator):
    """Trials that are declared. Their ids number them, so that those which were not written come again."""

    def restore_from_dir(self, dirpath: str) -> None:
        """Goes on from what was written."""
        super().restore_from_dir(dirpath)
        kept = _kept()
        (every,) = self._iterators
        every.counter, every.num_samples_left, every.variants = 0, every.num_samples, None
        self._trial_generator = (trial for trial in every if trial.trial_id not in kept)
        self._live_trials, self._finished = _unfinished(kept), False


def _kept() -> dict[str, str]:
    return kept_trials(RunJournal.folder) if RunJournal.folder else {}


def _unfinished(kept: dict[str, str]) -> set[str]:
    """Those that are run, or run again: a failed one is tried again."""
    return {trial for trial, status in kept.items() if status != Trial.TERMINATED}


class Recount:
    """Counts again every few seconds, and says when the count has changed.

    Args:
        count: how many trials suit the cluster.
        say: is told a line.
        every: seconds.
    """

    def __init__(self, count: Callable[[], int], say: Callable[[str], None], every: float = RECOUNT_SECONDS) -> None:
        self._count, self._say, self._every = count, say, every
        self._known, self._until = count(), time.monotonic() + every

    def __call__(self) -> int:
        """The count, at most `every` seconds old."""
        if time.monotonic() >= self._until:
            before, self._known = self._known, self._count()
            self._until = time.monotonic() + self._every
            if self._known != before:
                self._say(f"the cluster has changed: {self._known} trials at once, {before} before")
        return self._known
