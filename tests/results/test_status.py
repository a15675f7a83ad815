"""How far a sweep is can be told from its status.json, by whoever finds it and whenever."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mage.errors import MageError
from mage.results.status import HEARTBEAT, STALE, as_json, load_statuses, read_status, statuses_if_any, write_status
from tests.results.statuses import NOW, trial, under_way


def test_trials_are_counted_by_how_they_stand_and_the_rest_is_left() -> None:
    assert under_way().counts == {
        "finished": 2,
        "stopped": 1,
        "failed": 1,
        "running": 1,
        "interrupted": 0,
        "left": 1,
    }


def test_the_best_is_chosen_among_final_scores_only() -> None:
    best = under_way().best
    assert best is not None and (best.trial_id, best.score) == ("trial_1", 80.0)
    assert under_way(trials=[trial(1, status="finished", score=-5.0)]).best is not None
    assert under_way(trials=[]).best is None


def test_the_time_left_counts_half_a_trial_as_half_a_trial() -> None:
    assert under_way().seconds_left == pytest.approx(900 / 4.5 * 1.5)
    assert under_way(trials=[]).seconds_left is None
    assert under_way(state="interrupted").seconds_left is None


def test_what_is_written_is_what_is_read_and_others_can_read_it_too(tmp_path: Path) -> None:
    write_status(under_way(), tmp_path)
    assert read_status(tmp_path) == under_way()
    plain = json.loads((tmp_path / "status.json").read_text())
    assert plain["counts"]["left"] == 1 and plain["best"]["score"] == 80.0
    assert [row["status"] for row in plain["trials"]] == ["finished", "stopped", "finished", "failed", "running"]


def test_a_driver_that_has_not_written_for_long_is_gone() -> None:
    lively, silent = NOW + timedelta(seconds=HEARTBEAT), NOW + timedelta(seconds=STALE + 1)
    assert not under_way().is_stale(lively)
    assert under_way().is_stale(silent)
    assert not under_way(state="finished").is_stale(silent)


def test_all_sweeps_below_a_folder_are_found_by_their_folders(tmp_path: Path) -> None:
    write_status(under_way(updated=datetime.now(UTC)), tmp_path / "adroit" / "door-expert")
    write_status(under_way(state="finished"), tmp_path / "maze" / "maze2d-umaze")
    assert list(load_statuses(tmp_path)) == ["adroit/door-expert", "maze/maze2d-umaze"]
    assert list(load_statuses((tmp_path / "maze").as_uri())) == ["maze2d-umaze"]
    assert list(load_statuses(tmp_path / "maze" / "maze2d-umaze")) == ["."]
    first, second = json.loads(as_json(load_statuses(tmp_path)))
    assert (first["folder"], first["stale"], second["state"]) == ("adroit/door-expert", False, "finished")


def test_no_status_and_a_damaged_one_are_said(tmp_path: Path) -> None:
    assert statuses_if_any(tmp_path) == {}
    with pytest.raises(MageError, match=r"there is no status\.json"):
        load_statuses(tmp_path)
    (tmp_path / "status.json").write_text('{"scenario": "maze')
    assert read_status(tmp_path) is None
    with pytest.raises(MageError, match=r"status\.json is damaged"):
        load_statuses(tmp_path)
