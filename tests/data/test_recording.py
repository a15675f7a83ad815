import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from mage.data import recording
from mage.data.recording import Job, MeanReturns
from mage.errors import MageError


class Paid(NamedTuple):
    rewards: np.ndarray


def number(job: Job) -> list[tuple[str, int]]:
    return [(job.behaviour, episode) for episode in job.episodes]


def die(job: Job) -> list[int]:
    os._exit(1)


def jobs_of(**episodes: int) -> list[Job]:
    return [Job("any", name, 0, chunk) for name, count in episodes.items() for chunk in recording.chunks(count)]


@pytest.mark.parametrize("workers", [1, 2])
def test_episodes_come_back_in_the_order_of_their_jobs(workers: int) -> None:
    jobs = jobs_of(tour=23, straight=3)
    played = recording.by_behaviour(jobs, recording.record(number, jobs, workers, "numbers"))
    assert played == {
        "tour": [("tour", episode) for episode in range(23)],
        "straight": [("straight", episode) for episode in range(3)],
    }


def test_a_log_file_gets_a_first_and_a_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    recording.record(number, jobs_of(tour=23), 1, "numbers")
    lines = capsys.readouterr().err.replace("\r", "").splitlines()
    assert [line.strip() for line in lines] == ["Recording numbers: 23 episodes", "Recorded numbers: 23 episodes"]


def test_a_worker_that_dies_is_told_in_a_sentence() -> None:
    with pytest.raises(MageError, match="A worker process ended early; record with one worker"):
        recording.record(die, jobs_of(tour=23), 2, "nothing")


def test_the_datas_score_lies_between_those_of_its_references() -> None:
    episodes = [[Paid(np.array([value, 0.0])), Paid(np.array([value, 2.0]))] for value in (4.0, 0.0, 9.0)]
    returns = MeanReturns.of(data=episodes[0], random=episodes[1], controller=episodes[2])
    assert returns == (5.0, 1.0, 10.0)
    assert returns.reference_scores == (1.0, 10.0)
    assert returns.metadata() == {
        "data_mean_return": 5.0,
        "data_mean_score": pytest.approx(400 / 9),
        "random_mean_return": 1.0,
        "controller_mean_return": 10.0,
    }


def test_references_that_get_the_same_leave_no_scale() -> None:
    paid, unpaid = [Paid(np.array([1.0]))], [Paid(np.array([0.0]))]
    with pytest.raises(MageError, match=r"In 1 reference episodes .* \(0\).*; play more reference episodes"):
        MeanReturns.of(data=paid, random=unpaid, controller=unpaid)


@pytest.mark.parametrize("numbers", [(0, 1, None), (1, 0, 1), (1, 1, 0)])
def test_nothing_is_recorded_with_nothing(numbers: tuple[int, int, int | None], minari_root: Path) -> None:
    with pytest.raises(MageError, match="have to be at least 1"):
        recording.check_request("mage/any-v0", *numbers)
