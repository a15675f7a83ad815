"""How many trials are in flight is a matter of the cluster at hand, not of the one where a sweep began."""

import pickle
from collections.abc import Iterator

import pytest
from ray import tune
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from mage.search.concurrency import FollowsCluster, NamedTrials, ProposedTrials, Recount


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The limit, to be changed in place."""
    now = [2]
    monkeypatch.setattr(FollowsCluster, "limit", lambda: now[0])
    yield now


def proposals(source: ProposedTrials, first: int) -> int:
    """How many trials a source proposes before it wants to see results."""
    for count in range(100):
        if source.suggest(f"trial-{first + count}") in (None, Searcher.FINISHED):
            return count
    raise AssertionError("no limit")


def test_a_resumed_search_proposes_as_many_as_suit_the_new_cluster(limit: list[int]) -> None:
    search = OptunaSearch({"x": tune.uniform(0, 1)}, metric="score", mode="max")
    source = ProposedTrials(search, limit[0])
    assert proposals(source, 0) == 2
    again, state = pickle.loads(pickle.dumps((source, source.get_state())))
    again.set_state(state | {"max_concurrent": 99})  # as a limiter of Tune's own would have it
    limit[0] = 5
    assert proposals(again, 10) == 3


def test_the_limit_of_named_trials_is_not_what_was_restored(limit: list[int]) -> None:
    source = NamedTrials()
    source.set_state(source.get_state() | {"max_concurrent": 99})
    assert source.max_concurrent == 2


def test_a_cluster_that_grows_is_noticed_and_told() -> None:
    rooms, lines = iter([2, 2, 4]), list[str]()
    count = Recount(lambda: next(rooms), lines.append, every=0)
    assert [count(), count()] == [2, 4]
    assert lines == ["the cluster has changed: 4 trials at once, 2 before"]
