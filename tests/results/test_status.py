"""How far a sweep is can be told from its status.json, by whoever finds it and whenever."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from mage.errors import MageError
from mage.results.status import HEARTBEAT, STALE, as_json, load_statuses, read_status, statuses_if_any, write_status
from mage.results.status_view import how_far, span, status_view
from tests.results.statuses import NOW, trial, under_way


def printed(view: RenderableType) -> str:
    console = Console(width=200, markup=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


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


def test_a_driver_that_has_not_written_for_long_is_said_to_be_gone() -> None:
    lively, silent = NOW + timedelta(seconds=HEARTBEAT), NOW + timedelta(seconds=STALE + 1)
    assert not under_way().is_stale(lively)
    assert "about 5 min left" in how_far(under_way(), lively)
    assert under_way().is_stale(silent)
    assert "last heard of 2 min ago: killed (it was process 4321 on head), or this" in how_far(under_way(), silent)
    assert not under_way(state="finished").is_stale(silent)
    assert how_far(under_way(state="interrupted"), silent).endswith("interrupted 2 min ago; --resume goes on")


def test_the_view_has_a_row_a_running_trial_and_a_line_a_failure() -> None:
    head, best, columns, _, running, failed = printed(status_view(under_way())).splitlines()
    assert head.startswith(
        "maze2d-umaze: 2 of 6 trials finished, 1 stopped early, 1 failed, 1 running, 1 left, 2 training seeds each"
    )
    assert best == "best so far: 80.0 (depth=1)"
    assert columns.split()[:3:2] == ["trial", "configuration"]
    assert running.replace("│", " ").split() == [
        "trial_5",
        "depth=5",
        "1",
        "transformer",
        "150/300",
        "0.25",
        "training",
    ]
    assert failed == "FAILED trial_4 [depth=4]: training failed: out of memory (log: /runs/a/tune/4)"


def test_a_view_of_many_running_trials_ends() -> None:
    many = under_way(trials_wanted=50, trials=[trial(number) for number in range(50)])
    assert "... and 30 more" in printed(status_view(many))


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


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59, "59 s"), (59.9, "1 min"), (3599, "1 h 0 min"), (11100, "3 h 5 min")]
)
def test_times_are_told_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words
