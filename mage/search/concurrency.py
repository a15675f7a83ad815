"""How many trials Tune has in flight: as many as suit the cluster at hand, now.

Tune keeps its limit in the state of the experiment, so a sweep that is resumed on another cluster would go on with that
of the first, and one whose cluster grows would not notice. Both of its sources of trials ask the running driver here.
Tune pickles them by the name of this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter

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


class NamedTrials(FollowsCluster, BasicVariantGenerator):
    """Trials that are declared."""


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
