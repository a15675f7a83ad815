"""Rolls a policy out: many environments, one batched forward pass a step.

Every episode has a seed of its own, and the batch always has the same shape and the same neighbours (episodes 0-24,
25-49, ..), since the last bit of a matrix product depends on both. So an episode is the same however many actors
share the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import gymnasium as gym
import numpy as np
import torch

from mage.data.environments import begin_episode, make_environment, success_of
from mage.data.observations import flatten_observation
from mage.data.trajectories import Task
from mage.errors import FOREIGN_ERRORS, MageError
from mage.files import Say
from mage.interface import Policy
from mage.words import reason_of

LONGEST_EPISODE = 10_000
"""Steps, where the environment has no time limit: one that never ends its episodes would never end an evaluation."""

T = TypeVar("T")
Visit = Callable[[np.ndarray, np.ndarray], None]

Play = Callable[[Policy, "Rollout"], T]
"""What is done with a policy; a function that another process can import."""

Tell = Callable[[int, int, bool], None]
"""Hears how many pieces of work are done, of how many, and whether an actor was found to have died meanwhile."""


class Acts(Protocol):
    """Episodes under way."""

    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray,
        rewards: np.ndarray,
        generators: list[torch.Generator],
    ) -> np.ndarray: ...


class ActingPolicy(Protocol):
    """What a rollout needs of a policy."""

    task: Task
    target_return: float

    @property
    def observation_size(self) -> int: ...

    @property
    def decrements_target(self) -> bool: ...

    def begin(self, environments: int) -> Acts: ...


class Rollout:
    """A fixed number of environments, kept from one batch of episodes to the next.

    Args:
        task: names the environment and its reference scores.
        batch_size: environments stepped together.
        made: some of these environments, or all, that an earlier rollout of the task has left.

    Attributes:
        failures: a line an episode that its environment did not play to its end, since `play` has handed them out.
    """

    def __init__(self, task: Task, batch_size: int, made: Sequence[gym.Env] = ()) -> None:
        self.task = task
        self.failures: list[str] = []
        self.environments = [*made, *(make_environment(task) for _ in range(batch_size - len(made)))]
        self._check_spaces()

    def run(
        self,
        policy: ActingPolicy,
        episodes: Iterable[int],
        seed: int = 0,
        return_to_go: float | None = None,
        visit: Visit | None = None,
        record: bool = False,
    ) -> list[dict[str, Any]]:
        """Plays the given episodes, at most `batch_size`; one row each: episode, return, success, length and score.

        An episode in which its environment fails is told in `failures` and has no row; the others are played on.

        Args:
            policy: acts in all environments together.
            episodes: their numbers; each has its own seed.
            seed: of the evaluation.
            return_to_go: the target R_0, by default the policy's own.
            visit: is shown the observations (B, S) and targets (B,) of the running environments at every step.
            record: a row also has its `environment_seed` and its `actions` (length, A).
        """
        episodes = list(episodes)
        size = len(self.environments)
        seeds = [episode_seed(seed, number) for number in episodes]
        generators = [torch.Generator().manual_seed(s) for s in seeds + [0] * (size - len(seeds))]
        rows: list[dict[str, Any]] = [
            {"episode": number, "return": 0.0, "success": None, "length": 0} for number in episodes
        ]
        observations = np.zeros((size, policy.observation_size), np.float32)
        taken: list[list[np.ndarray]] = [[] for _ in episodes]
        running = set(range(len(episodes)))
        for i, own in enumerate(seeds):
            try:
                first = self._flat(begin_episode(self.environments[i], own, episodes[i])[0])
                if len(first) != policy.observation_size:
                    raise MageError(
                        f"the environment of {self.task.dataset_id} shows {len(first)} values, the policy was trained "
                        f"on {policy.observation_size}; evaluate it in the environment of its own dataset"
                    )
                _check_finite(first)
            except MageError:
                raise
            except FOREIGN_ERRORS as error:  # of the environment's own code
                self._fail(running, rows, i, error)
                continue
            observations[i] = first
        targets = np.full(size, policy.target_return if return_to_go is None else return_to_go, np.float64)
        rewards = np.zeros(size)
        acting = policy.begin(size)
        while running:
            actions = acting.act(observations, targets, rewards, generators)
            rewards = np.zeros(size)
            if visit is not None:
                visit(observations[sorted(running)], targets[sorted(running)])
            for i in sorted(running):
                if record:
                    taken[i].append(actions[i].copy())  # an environment may change what it is given
                try:
                    observation, reward, terminated, truncated, info = self.environments[i].step(actions[i])
                    seen, reward = self._flat(observation), number_of(reward)
                    self._check_step(i, rows[i]["length"] + 1, seen, policy.observation_size)
                    has_ended = bool(terminated) or bool(truncated)
                    count_step(rows[i], reward, info)
                except FOREIGN_ERRORS as error:  # of the environment's own code, or of what it gave
                    self._fail(running, rows, i, error)
                    continue
                observations[i], rewards[i] = seen, reward
                if policy.decrements_target:
                    targets[i] = (targets[i] - reward) / policy.task.discount
                if has_ended:
                    running.remove(i)
        if record:
            for row, own_seed, own_actions in zip(rows, seeds, taken, strict=True):
                row |= {"environment_seed": own_seed, "actions": np.array(own_actions, np.float32)}
        played = [row for row in rows if "failed" not in row]
        for row in played:
            row["normalized_score"] = score_of(row, self.task)
        return played

    def play(
        self,
        policy: ActingPolicy,
        episodes: Sequence[int],
        seed: int,
        return_to_go: float | None = None,
        visit: Visit | None = None,
        record: bool = False,
    ) -> list[dict[str, Any]]:
        """Plays any number of episodes, batch by batch, as `run`; a failure has a row with nothing but `failed`."""
        rows: list[dict[str, Any]] = []
        for batch in batches(episodes, len(self.environments)):
            rows += self.run(policy, batch, seed, return_to_go, visit, record)
            rows += [{"failed": line} for line in self.failures]
            self.failures.clear()
        return rows

    def close(self) -> None:
        """Frees the environments."""
        for environment in self.environments:
            with suppress(*FOREIGN_ERRORS):  # of the environment's own code; all has been played
                environment.close()

    def _fail(self, running: set[int], rows: list[dict[str, Any]], i: int, error: BaseException) -> None:
        """Ends an episode that its environment does not go on with, and makes a new environment for the next one."""
        rows[i]["failed"] = True
        running.discard(i)
        spec = self.environments[i].spec
        self.failures.append(
            f"episode {rows[i]['episode']} of {spec.id if spec else self.task.dataset_id} failed at step "
            f"{rows[i]['length']}: {reason_of(error)}"
        )
        with suppress(*FOREIGN_ERRORS):
            self.environments[i].close()
        with suppress(MageError):  # where no new one can be made, the old one goes on, or fails again
            self.environments[i] = make_environment(self.task)

    def _flat(self, observation: Any) -> np.ndarray:
        """(S,), as the policy's data were flattened."""
        return flatten_observation(observation, self.task.observation_keys, self.task.observation_offset)

    def _check_step(self, i: int, length: int, observation: np.ndarray, size: int) -> None:
        """ValueError where an observation is none of that size, or an episode has gone on for too long."""
        if len(observation) != size:
            raise ValueError(f"its observation has {len(observation)} values, not {size}")
        _check_finite(observation)
        spec = self.environments[i].spec
        if length >= LONGEST_EPISODE and (spec is None or spec.max_episode_steps is None):
            raise ValueError(
                f"it has not ended, and the environment has no time limit; register it with max_episode_steps (or end "
                f"its episodes within {LONGEST_EPISODE} steps)"
            )

    def _check_spaces(self) -> None:
        actions = self.environments[0].action_space.shape or ()
        if int(np.prod(actions)) != len(self.task.action_low):
            raise MageError(
                f"the environment of {self.task.dataset_id} takes {int(np.prod(actions))} action values, its data has "
                f"{len(self.task.action_low)}; the dataset was recorded in another environment"
            )


def _check_finite(observation: np.ndarray) -> None:
    """ValueError where a value of an observation is NaN, infinite or beyond single precision."""
    if not np.isfinite(observation).all():
        raise ValueError("its observation is not finite")


def count_step(row: dict[str, Any], reward: float, info: dict[str, Any]) -> None:
    """Adds a step to an episode's return, length and success."""
    row["return"] += reward
    row["length"] += 1
    success = success_of(info)
    if success is not None:
        row["success"] = bool(row["success"]) or success


def number_of(reward: Any) -> float:
    """A reward as a number, also where an environment gives an array with one entry.

    Raises:
        ValueError: it is none, or not a single one.
    """
    values = np.asarray(reward, np.float64).reshape(-1)
    if len(values) != 1 or not np.isfinite(values[0]):
        raise ValueError(f"its reward is {reward!r}, not one number")
    return float(values[0])


def without_failures(rows: Sequence[dict[str, Any]], say: Say | None = None) -> list[dict[str, Any]]:
    """The rows of episodes that were played; `say` is told of the others. MageError where there is none."""
    good, failed = ([row for row in rows if ("failed" in row) == has] for has in (False, True))
    if failed and not good:
        raise MageError(f"{failed[0]['failed']}; no episode of {len(failed)} could be played")
    if say is not None:
        for row in failed:
            say(f"{row['failed']}; the other episodes are kept")
    return good


def score_of(row: Mapping[str, Any], task: Task) -> float:
    """An episode's score on the 0-100 scale: its normalized return, or, of a task scored by success, 100 or 0."""
    if task.score == "return":
        return normalized_score(row["return"], task.reference_scores)
    return float("nan") if row["success"] is None else 100.0 * row["success"]


def normalized_score(episode_return: float, reference_scores: tuple[float, float] | None) -> float:
    """100 (return - random) / (expert - random); NaN where no reference scores are known."""
    if reference_scores is None:
        return float("nan")
    low, high = reference_scores
    return 100.0 * (episode_return - low) / (high - low)


def episode_seed(seed: int, episode: int) -> int:
    """The seed of one episode."""
    return int(np.random.SeedSequence([seed, episode]).generate_state(1)[0])


def batches(episodes: Sequence[int], batch_size: int) -> Iterator[Sequence[int]]:
    """Episode numbers in the fixed groups that are played together."""
    for start in range(0, len(episodes), batch_size):
        yield episodes[start : start + batch_size]
