"""Records episodes in worker processes, with a running count; what all built-in data has in common.

An episode has to be a function of its job and its number alone; then the number of processes changes nothing.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np

from mage.data.minari_writer import dataset_is_local
from mage.errors import MageError

EPISODES_A_JOB = 10


class Job(Protocol):
    """What one call of a worker process records; it travels there by pickle."""

    @property
    def behaviour(self) -> str:
        """The name of the policy that acts."""
        ...

    @property
    def episodes(self) -> range:
        """The numbers of its episodes."""
        ...


class Rewarded(Protocol):
    """An episode; rewards are (T,)."""

    @property
    def rewards(self) -> np.ndarray: ...


J = TypeVar("J", bound=Job)
E = TypeVar("E")


class MeanReturns(NamedTuple):
    """Undiscounted mean returns of the recorded data, of random actions and of the noiseless controller."""

    data: float
    random: float
    controller: float

    @classmethod
    def of(cls, data: Sequence[Rewarded], random: Sequence[Rewarded], controller: Sequence[Rewarded]) -> Self:
        return cls(*map(_mean_return, (data, random, controller)))

    @property
    def reference_scores(self) -> tuple[float, float]:
        """The returns that score 0 and 100."""
        return self.random, self.controller

    def metadata(self) -> dict[str, float]:
        """What is stored with a dataset; the score is on the 0-100 scale."""
        return {
            "data_mean_return": self.data,
            "data_mean_score": 100.0 * (self.data - self.random) / (self.controller - self.random),
            "random_mean_return": self.random,
            "controller_mean_return": self.controller,
        }


def _mean_return(episodes: Sequence[Rewarded]) -> float:
    return float(np.mean([episode.rewards.sum() for episode in episodes]))


def check_request(dataset_id: str, episodes: int, reference_episodes: int, workers: int | None) -> None:
    """Raises MageError for a dataset that is already there, and for numbers that nothing can be recorded with."""
    if min(episodes, reference_episodes) < 1 or (workers is not None and workers < 1):
        raise MageError("The numbers of episodes, reference episodes and workers have to be at least 1.")
    if dataset_is_local(dataset_id):
        raise MageError(
            f"The dataset {dataset_id} is already here; `minari delete {dataset_id}` makes room for a new one."
        )


def chunks(episodes: int) -> Iterator[range]:
    """The numbers 0..episodes-1 in the portions that jobs are made of."""
    for first in range(0, episodes, EPISODES_A_JOB):
        yield range(first, min(first + EPISODES_A_JOB, episodes))


def record(play: Callable[[J], list[E]], jobs: Sequence[J], workers: int | None, name: str) -> list[list[E]]:
    """What `play` returns for each job, in their order.

    Args:
        play: a function of a module, so that another process can import it.
        jobs: one call of `play` each.
        workers: processes; one plays here, None takes every core.
        name: of what is recorded, for the running count on stderr.
    """
    return list(_counted(_played(play, jobs, workers or available_cores()), jobs, name))


def by_behaviour(jobs: Sequence[J], played: Sequence[list[E]]) -> dict[str, list[E]]:
    """What `record` returned, as the episodes of each behaviour in the order of its jobs."""
    episodes: dict[str, list[E]] = {job.behaviour: [] for job in jobs}
    for job, some in zip(jobs, played, strict=True):
        episodes[job.behaviour] += some
    return episodes


def available_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _played(play: Callable[[J], list[E]], jobs: Sequence[J], workers: int) -> Iterator[list[E]]:
    if workers == 1:
        yield from map(play, jobs)
        return
    try:
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
            yield from pool.map(play, jobs)
    except BrokenProcessPool as error:
        raise MageError(
            "A worker process ended early; record with one worker (`workers=1`), or, in a script of your own, call "
            'this under `if __name__ == "__main__":`.'
        ) from error


def _counted(played: Iterable[list[E]], jobs: Sequence[J], name: str) -> Iterator[list[E]]:
    """Passes the episodes on; a terminal sees a running count, a log file the first and the last line."""
    total, done, live = sum(len(job.episodes) for job in jobs), 0, sys.stderr.isatty()
    print(f"Recording {name}: {total} episodes", file=sys.stderr, end="" if live else "\n", flush=True)
    for episodes in played:
        done += len(episodes)
        if live:
            print(f"\rRecording {name}: {done} of {total} episodes", file=sys.stderr, end="", flush=True)
        yield episodes
    print(f"\rRecorded {name}: {done} episodes        ", file=sys.stderr, flush=True)
