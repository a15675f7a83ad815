"""Recorded episodes as flat arrays, and the returns and statistics that training needs of them.

Shapes: N steps over all episodes, E episodes, S observation size, A action size. Returns-to-go follow the paper's
section 3.1: R_t = sum_i gamma^i r_{t+i} up to the end of the recorded episode.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from mage.errors import MageError

# Below this share of their own size, values are taken for rounding noise, which is not to be blown up. For values of
# size 1 and more it is an absolute floor; beside others, values of less than a thousandth of their spread have none.
MINIMUM_STD = 1e-3
SMALLEST_UNIT = 1e-3
# So little is what single precision makes of a constant. It deviates by 1: off the data it must not explode.
ROUNDING = 2e-7
# A million rows in double precision would be the most memory that a training process ever takes.
ROWS_AT_A_TIME = 4096


class Task(BaseModel):
    """What a policy has to know about the data it was trained on; stored beside every checkpoint and result."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    scenario: str
    dataset_id: str
    fingerprint: str
    environment_spec: str
    reference_scores: tuple[float, float] | None
    score: Literal["return", "success"] = "return"
    discount: float
    target_return_quantile: float
    observation_keys: tuple[str, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    observation_offset: tuple[float, ...] = ()
    """Subtracted from every observation before it is single precision; () for nothing."""

    @property
    def has_scores(self) -> bool:
        """Whether an episode has a score on the 0-100 scale."""
        return self.score == "success" or self.reference_scores is not None


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Episodes laid end to end: episode e is rows episode_starts[e]:episode_starts[e + 1].

    observations (N, S), actions (N, A) and rewards (N,) are float32; terminations (E,) says which episodes ended in a
    terminal state rather than at a time limit; episode_starts is (E + 1,) int64. The observation after an episode's
    last action is dropped. Wrong shapes, empty episodes and values that are not finite raise MageError. Notes are what
    who trains on them should know.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    episode_starts: np.ndarray
    task: Task
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_shapes(self)
        for name in ("observations", "actions", "rewards"):
            _check_finite(self, name)

    @property
    def episodes(self) -> int:
        return len(self.terminations)

    @property
    def steps(self) -> int:
        return len(self.rewards)

    @property
    def observation_size(self) -> int:
        return self.observations.shape[1]

    @property
    def action_size(self) -> int:
        return self.actions.shape[1]

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each episode, (E,)."""
        return np.diff(self.episode_starts)

    @cached_property
    def episode_returns(self) -> np.ndarray:
        """Undiscounted return of each episode, (E,) float64."""
        return np.add.reduceat(self.rewards.astype(np.float64), self.episode_starts[:-1])

    @cached_property
    def returns_to_go(self) -> np.ndarray:
        """Of every step, discounted as the task says, (N,) float32."""
        return returns_to_go(self.rewards, self.episode_starts, self.task.discount)


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and standard deviation that normalise what a policy sees; observation_* are (S,), return_to_go_* (1,)."""

    observation_mean: np.ndarray
    observation_std: np.ndarray
    return_to_go_mean: np.ndarray
    return_to_go_std: np.ndarray

    @classmethod
    def from_trajectories(cls, trajectories: Trajectories) -> "Statistics":
        returns = trajectories.returns_to_go
        if not np.isfinite(returns).all():
            raise MageError(
                f"The returns of the dataset {trajectories.task.dataset_id} are beyond single precision; record its "
                "rewards in a larger unit."
            )
        observation_mean, observation_std = _mean_and_std(trajectories.observations)
        return_to_go_mean, return_to_go_std = _mean_and_std(returns[:, None])
        return cls(observation_mean, observation_std, return_to_go_mean, return_to_go_std)

    @classmethod
    def from_dict(cls, values: dict[str, list[float]]) -> "Statistics":
        return cls(**{name: np.asarray(value, dtype=np.float32) for name, value in values.items()})

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists, for JSON; from_dict gives the same numbers back."""
        return {name: value.tolist() for name, value in vars(self).items()}


def returns_to_go(rewards: np.ndarray, episode_starts: np.ndarray, discount: float) -> np.ndarray:
    """R_t = r_t + discount R_{t+1} within each episode, (N,) float32, summed in float64.

    Nothing is bootstrapped at the end of an episode, whether it terminated or ran into its time limit.
    """
    lengths = np.diff(episode_starts)
    longest_first = np.argsort(-lengths, kind="stable")
    last_rows = episode_starts[1:][longest_first] - 1
    running = np.zeros(len(lengths))
    returns = np.empty(len(rewards))
    # Step j from the end exists in the longest episodes only: `alive` of them, a prefix of the sorted order.
    alive_at = np.searchsorted(-lengths[longest_first], -np.arange(lengths.max(initial=0)), side="left")
    for step_from_end, alive in enumerate(alive_at):
        rows = last_rows[:alive] - step_from_end
        running[:alive] = rewards[rows] + discount * running[:alive]
        returns[rows] = running[:alive]
    with np.errstate(over="ignore"):  # infinite, and told as that
        return returns.astype(np.float32)


def target_return(trajectories: Trajectories, quantile: float | None = None, of_episodes: bool = False) -> float:
    """That quantile of the training returns-to-go (1.0: their maximum); the task's own quantile by default.

    Over all steps, for a target that stays; `of_episodes` over the first steps only, for one that is decremented.
    """
    quantile = trajectories.task.target_return_quantile if quantile is None else quantile
    if not 0.0 <= quantile <= 1.0:
        raise MageError(f"The quantile of the target return is {quantile}; it has to lie between 0 and 1.")
    returns = trajectories.returns_to_go
    return float(np.quantile(returns[trajectories.episode_starts[:-1]] if of_episodes else returns, quantile))


def fingerprint(*arrays: np.ndarray) -> str:
    """16 hexadecimal digits that change with any value, shape or type of the arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def describe(trajectories: Trajectories) -> dict[str, Any]:
    """The numbers that `mage data show` prints; returns are undiscounted, the normalised mean is on the 0-100 scale."""
    returns, lengths, task = trajectories.episode_returns, trajectories.lengths, trajectories.task
    normalised = None
    if task.reference_scores:
        low, high = task.reference_scores
        normalised = float(100.0 * (returns.mean() - low) / (high - low))
    return {
        "scenario": task.scenario,
        "dataset": task.dataset_id,
        "fingerprint": task.fingerprint,
        "episodes": trajectories.episodes,
        "steps": trajectories.steps,
        "observation_size": trajectories.observation_size,
        "action_size": trajectories.action_size,
        "return_mean": float(returns.mean()),
        "return_min": float(returns.min()),
        "return_max": float(returns.max()),
        "normalised_return_mean": normalised,
        "reference_scores": task.reference_scores,
        "episode_length_mean": float(lengths.mean()),
        "episode_length_min": int(lengths.min()),
        "episode_length_max": int(lengths.max()),
        "terminated_episodes": int(trajectories.terminations.sum()),
        "target_return": target_return(trajectories),
    }


def _mean_and_std(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Over the first axis, (S,) float32 each, summed in float64 a chunk of rows at a time."""
    mean = _sum_of_rows(values, lambda wide: wide) / len(values)
    variance = _sum_of_rows(values, lambda wide: (wide - mean) ** 2) / len(values)
    std = np.sqrt(variance)
    size = np.sqrt(mean**2 + variance)
    floor = MINIMUM_STD * np.minimum(1.0, np.maximum(size, SMALLEST_UNIT * std.max(initial=0.0)))
    # below 1e-37 single precision has no full numbers left to divide by
    is_constant = std <= np.maximum(ROUNDING * size, 1e-37)
    return mean.astype(np.float32), np.where(is_constant, 1.0, np.maximum(std, floor)).astype(np.float32)


def _sum_of_rows(values: np.ndarray, term: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    total = np.zeros(values.shape[1])
    for first in range(0, len(values), ROWS_AT_A_TIME):
        terms = term(values[first : first + ROWS_AT_A_TIME].astype(np.float64))
        terms[0] += total  # the rows are then added one after the other, as if there were no chunks
        total = terms.sum(axis=0)
    return total


def _check_shapes(trajectories: Trajectories) -> None:
    dataset, starts = trajectories.task.dataset_id, trajectories.episode_starts
    if len(starts) < 2:
        raise MageError(f"The dataset {dataset} has no episodes; it needs at least one.")
    empty = np.flatnonzero(np.diff(starts) <= 0)
    if len(empty):
        raise MageError(f"Episode {empty[0]} of the dataset {dataset} has no steps; remove it from the dataset.")
    steps = int(starts[-1])
    expected = {"observations": (steps, 2), "actions": (steps, 2), "rewards": (steps, 1)}
    expected["terminations"] = (len(starts) - 1, 1)
    for name, (length, dimensions) in expected.items():
        shape = getattr(trajectories, name).shape
        if len(shape) != dimensions or shape[0] != length:
            raise MageError(f"The {name} of the dataset {dataset} have shape {shape}; expected {length} rows.")
    for name in ("observations", "actions", "rewards"):
        if getattr(trajectories, name).dtype != np.float32:
            raise MageError(
                f"The {name} of the dataset {dataset} are {getattr(trajectories, name).dtype}, not float32."
            )
    if trajectories.action_size != len(trajectories.task.action_low):
        raise MageError(
            f"The actions of the dataset {dataset} have {trajectories.action_size} values, its action space has "
            f"{len(trajectories.task.action_low)}; correct its metadata."
        )


def _check_finite(trajectories: Trajectories, name: str) -> None:
    bad = ~np.isfinite(getattr(trajectories, name)).reshape(trajectories.steps, -1).all(axis=1)
    if not bad.any():
        return
    row = int(np.flatnonzero(bad)[0])
    episode = int(np.searchsorted(trajectories.episode_starts, row, side="right")) - 1
    raise MageError(
        f"The {name} of the dataset {trajectories.task.dataset_id} are not finite at step "
        f"{row - trajectories.episode_starts[episode]} of episode {episode} ({int(bad.sum())} such steps in all); "
        "remove or repair those episodes."
    )
