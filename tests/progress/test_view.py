"""How the state of a sweep looks."""

from datetime import timedelta

import pytest
from rich.console import Console, RenderableType

from mage.progress.view import how_far, span, status_view
from mage.results.status import HEARTBEAT, STALE
from tests.results.statuses import NOW, trial, under_way


def printed(view: RenderableType) -> str:
    console = Console(width=200, markup=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_a_driver_that_has_not_written_for_long_is_said_to_be_gone() -> None:
    lively, silent = NOW + timedelta(seconds=HEARTBEAT), NOW + timedelta(seconds=STALE + 1)
    assert "about 5 min left" in how_far(under_way(), lively)
    assert "last heard of 2 min ago: killed (it was process 4321 on head), or this" in how_far(under_way(), silent)
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


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59, "59 s"), (59.9, "1 min"), (3599, "1 h 0 min"), (11100, "3 h 5 min")]
)
def test_times_are_told_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words
