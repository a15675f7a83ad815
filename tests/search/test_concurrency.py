"""How many trials are in flight is a matter of the cluster at hand, not of the one where a sweep began."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray import tune
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from mage.search.concurrency import CountedTrials, FollowsCluster, NamedTrials, ProposedTrials, Recount
from mage.search.journal import TUNE, RunJournal
from tests.search.test_journal import written


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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a scenario, whose experiment Tune has written."""
    monkeypatch.setattr(RunJournal, "folder", tmp_path)
    (tmp_path / TUNE).mkdir()
    return tmp_path


def write(folder: Path, **statuses: str) -> None:
    (folder / TUNE / "experiment_state-2026-01-01_00-00-00.json").write_text(written(**statuses))


def test_a_proposal_that_was_counted_but_not_written_is_made_again(folder: Path, limit: list[int]) -> None:
    def source() -> CountedTrials:
        return CountedTrials(ProposedTrials(OptunaSearch({"x": tune.uniform(0, 1)}, metric="s", mode="max"), limit[0]))

    before = source()
    before._counter, before.searcher.live_trials = 3, {"done", "half", "lost"}
    before.save_to_dir(str(folder), "one")
    write(folder, done="TERMINATED", half="RUNNING")
    again = source()
    again.restore_from_dir(str(folder))
    assert (again._counter, again.searcher.live_trials) == (2, {"half"})
    assert proposals(again.searcher, 10) == 1  # beside the one that is tried again


def test_variants_that_were_not_written_are_tried_and_no_other_twice(folder: Path, limit: list[int]) -> None:
    def source() -> NamedTrials:
        made = NamedTrials()
        made.add_configurations({"x": {"run": "PPO", "config": {"variant": tune.grid_search(["a", "b", "c", "d"])}}})
        return made

    before = source()
    limit[0] = 3
    first, *others = (before.next_trial() for _ in range(3))
    before.save_to_dir(str(folder), "one")
    write(folder, **{first.trial_id: "ERROR"})
    again = NamedTrials()
    again.restore_from_dir(str(folder))
    named = [again.next_trial() for _ in range(3)]
    assert [trial and trial.config["variant"] for trial in named] == ["b", "c", None]  # "a" is tried again
    assert [trial.trial_id for trial in named[:2]] == [trial.trial_id for trial in others]
    again.on_trial_complete(first.trial_id)
    assert again.next_trial().config["variant"] == "d"


def test_a_cluster_that_grows_is_noticed_and_told() -> None:
    rooms, lines = iter([2, 2, 4]), list[str]()
    count = Recount(lambda: next(rooms), lines.append, every=0)
    assert [count(), count()] == [2, 4]
    assert lines == ["the cluster has changed: 4 trials at once, 2 before"]
