"""Records built-in data, in worker processes, with a running count; a kind of data says what is its own (`Recorder`).

An episode has to be a function of its job and its number alone; then the number of processes changes nothing.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np

from mage import scenarios
from mage.data.minari_writer import dataset_is_local
from mage.errors import MageError

EPISODES_A_JOB = 10
REFERENCE_SEED = 20_000
MOST_EPISODES, MOST_WORKERS = 10_000_000, 1_000


class Job(NamedTuple):
    """What one call of a worker process records: numbered episodes of a behaviour; it travels there by pickle."""

    scenario: str
    behaviour: str
    seed: int
    episodes: range


class Rewarded(Protocol):
    """An episode; rewards are (T,)."""

    @property
    def rewards(self) -> np.ndarray: ...


E = TypeVar("E")
R = TypeVar("R", bound=Rewarded)


class MeanReturns(NamedTuple):
    """Undiscounted mean returns of the recorded data, of random actions and of the noiseless controller."""

    data: float
    random: float
    controller: float

    @classmethod
    def of(cls, data: Sequence[Rewarded], random: Sequence[Rewarded], controller: Sequence[Rewarded]) -> Self:
        """Those of played episodes; MageError where they leave no scale for scores."""
        returns = cls(*map(_mean_return, (data, random, controller)))
        if returns.controller == returns.random:
            raise MageError(
                f"In {len(controller)} reference episodes the controller gets no more than random actions do "
                f"({returns.random:g}), so nothing can be scored by them; play more reference episodes."
            )
        return returns

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


class Recorded(NamedTuple, Generic[R]):
    """What is to be written: the data's episodes, of so many `played`, and the returns of all that was played."""

    dataset_id: str
    scenario: str
    seed: int
    played: int
    episodes: list[R]
    returns: MeanReturns


def whole(episode: R) -> list[R]:
    """An episode that is written as it was played."""
    return [episode]


@dataclass(frozen=True)
class Recorder(Generic[R]):
    """What is its own of one kind of built-in data.

    Attributes:
        data: the behaviour that the data shows.
        controller: the noiseless one; its mean return and that of the behaviour `random` are stored with the data.
        play: the episodes of a job; a function that another process can import.
        write: makes the dataset.
        cut: the episodes that are written of one that was played.
        require: raises MageError where a package is missing.
    """

    data: str
    controller: str
    play: Callable[[Job], list[R]]
    write: Callable[[Recorded[R]], None]
    cut: Callable[[R], Iterable[R]] = whole
    require: Callable[[], object] = lambda: None

    def collect(
        self,
        scenario_name: str,
        episodes: int = 1000,
        seed: int = 0,
        workers: int | None = None,
        reference_episodes: int = 50,
        dataset_id: str | None = None,
    ) -> str:
        """Records the scenario's built-in dataset and returns its id; dataset_id overrides where it goes.

        The returns stored with it, of random actions and of the controller, are measured on `reference_episodes`
        episodes each. workers=None takes every core. A dataset that is already there raises MageError; an interrupted
        recording leaves none.
        """
        dataset_id = dataset_id or scenarios.get(scenario_name).builtin_dataset_id
        assert dataset_id is not None
        self.require()
        check_request(dataset_id, episodes, reference_episodes, workers)
        jobs = [
            Job(scenario_name, behaviour, REFERENCE_SEED, chunk)
            for behaviour in (self.controller, "random")
            for chunk in chunks(reference_episodes)
        ]
        jobs += [Job(scenario_name, self.data, seed, chunk) for chunk in chunks(episodes)]
        played = by_behaviour(jobs, record(self.play, jobs, workers, dataset_id))
        kept = [part for episode in played[self.data] for part in self.cut(episode)]
        returns = MeanReturns.of(data=kept, random=played["random"], controller=played[self.controller])
        self.write(Recorded(dataset_id, scenario_name, seed, episodes, kept, returns))
        return dataset_id


def check_request(dataset_id: str, episodes: int, reference_episodes: int, workers: int | None) -> None:
    """Raises MageError for a dataset that is already there, and for numbers that nothing can be recorded with."""
    if min(episodes, reference_episodes) < 1 or (workers is not None and workers < 1):
        raise MageError("The numbers of episodes, reference episodes and workers have to be at least 1.")
    if max(episodes, reference_episodes) > MOST_EPISODES or (workers or 1) > MOST_WORKERS:
        raise MageError(f"At most {MOST_EPISODES} episodes are recorded, by at most {MOST_WORKERS} workers.")
    if dataset_is_local(dataset_id):
        raise MageError(
            f"The dataset {dataset_id} is already here; `minari delete {dataset_id}` makes room for a new one."
        )


def chunks(episodes: int) -> Iterator[range]:
    """The numbers 0..episodes-1 in the portions that jobs are made of."""
    for first in range(0, episodes, EPISODES_A_JOB):
        yield range(first, min(first + EPISODES_A_JOB, episodes))


def record(play: Callable[[Job], list[E]], jobs: Sequence[Job], workers: int | None, name: str) -> list[list[E]]:
    """What `play` returns for each job, in their order.

    Args:
        play: a function that another process can import.
        jobs: one call of `play` each.
        workers: processes; one plays here, None takes every core.
        name: of what is recorded, for the running count on stderr.
    """
    return list(_counted(_played(play, jobs, workers or available_cores()), jobs, name))


def by_behaviour(jobs: Sequence[Job], played: Sequence[list[E]]) -> dict[str, list[E]]:
    """What `record` returned, as the episodes of each behaviour in the order of its jobs."""
    episodes: dict[str, list[E]] = {job.behaviour: [] for job in jobs}
    for job, some in zip(jobs, played, strict=True):
        episodes[job.behaviour] += some
    return episodes


def available_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _played(play: Callable[[Job], list[E]], jobs: Sequence[Job], workers: int) -> Iterator[list[E]]:
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


def _counted(played: Iterable[list[E]], jobs: Sequence[Job], name: str) -> Iterator[list[E]]:
    """Passes the episodes on; a terminal sees a running count, a log file the first and the last line."""
    total, done, live = sum(len(job.episodes) for job in jobs), 0, sys.stderr.isatty()
    print(f"Recording {name}: {total} episodes", file=sys.stderr, end="" if live else "\n", flush=True)
    for episodes in played:
        done += len(episodes)
        if live:
            print(f"\rRecording {name}: {done} of {total} episodes", file=sys.stderr, end="", flush=True)
        yield episodes
    print(f"\rRecorded {name}: {done} episodes        ", file=sys.stderr, flush=True)
