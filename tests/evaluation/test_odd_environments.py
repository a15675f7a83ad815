"""Environments as people write them: what is clear is played, what is not is a line with environment, episode, step."""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from mage.data import environments
from mage.data.environments import success_of
from mage.errors import MageError
from mage.evaluation import rollout as module
from mage.evaluation.rollout import Rollout, without_failures
from tests.data.builders import make_task
from tests.evaluation.test_rollout import Thrust

Step = Callable[[int], tuple[Any, Any, Any, Any, dict[str, Any]]]


class Scripted(gym.Env):
    """Answers its n-th step as `script` says; resets fail while `script` is None."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gym.spaces.Box(-1, 1, (1,))
    script: Step | None = None

    def __init__(self) -> None:
        warnings.warn("this robot is deprecated", UserWarning, stacklevel=2)
        gym.logger.warn("so is its gripper")

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if Scripted.script is None:
            raise RuntimeError("no display\nat all")
        self.first, self.steps = seed, 0
        return np.zeros(2, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self.steps += 1
        assert Scripted.script is not None
        return Scripted.script(self.steps)


SEEN = np.ones(2, np.float32)


def play(script: Step | None, limit: int | None = 5, episodes: int = 2) -> list[dict[str, Any]]:
    """Rows and failures of that many episodes."""
    Scripted.script = script
    gym.register("Scripted-v0", f"{__name__}:Scripted", max_episode_steps=limit)
    try:
        task = make_task(environment_spec=gym.spec("Scripted-v0").to_json(), reference_scores=None)
        rollout = Rollout(task, episodes)
        rows = rollout.play(Thrust(task), range(episodes), 0)
        rollout.close()
        return rows
    finally:
        del gym.registry["Scripted-v0"]


@pytest.mark.parametrize("reward", [0.5, np.float32(0.5), np.array(0.5), np.array([0.5]), [[0.5]], "0.5"])
def test_a_reward_is_one_number_however_it_is_wrapped(reward: Any) -> None:
    rows = play(lambda step: (SEEN, reward, False, False, {}))
    assert [row["return"] for row in rows] == [2.5, 2.5]


@pytest.mark.parametrize(
    ("info", "success"),
    [
        ({"success": True}, True),
        ({"is_success": 1.0}, True),
        ({"is_success": np.array([False])}, False),
        ({"success": np.array([True, True])}, True),
        ({"success": [1, 0]}, False),
        ({"success": None, "is_success": True}, True),
        ({"success": 0, "is_success": 1}, False),
        ({}, None),
        ({"success": None}, None),
    ],
)
def test_success_is_what_either_name_says(info: dict[str, Any], success: bool | None) -> None:
    assert success_of(info) is success
    assert [row["success"] for row in play(lambda step: (SEEN, 0.0, False, False, info))] == [success, success]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((SEEN, float("nan"), False, False, {}), "its reward is nan, not one number"),
        ((SEEN, np.array([1.0, 2.0]), False, False, {}), "not one number"),
        ((SEEN, None, False, False, {}), "its reward is None"),
        ((SEEN, "high", False, False, {}), "high"),
        ((np.array([np.nan, 0]), 0.0, False, False, {}), "its observation is not finite"),
        ((np.array([np.inf, 0]), 0.0, False, False, {}), "its observation is not finite"),
        ((np.array([1e300, 0]), 0.0, False, False, {}), "its observation is not finite"),
        ((SEEN, float("-inf"), False, False, {}), "its reward is -inf, not one number"),
        ((SEEN, np.array([]), False, False, {}), "not one number"),
        ((SEEN, {"total": 1.0}, False, False, {}), "dict"),
        ((SEEN, 0.0, np.array([True, False]), False, {}), "ambiguous"),
        ((np.zeros(3), 0.0, False, False, {}), "its observation has 3 values, not 2"),
        ((SEEN, 0.0, False, False), "unpack"),
        (None, "unpack"),
    ],
)
def test_what_a_step_must_not_give_is_told_with_its_place(answer: Any, said: str) -> None:
    rows = play(lambda step: answer if step == 3 else (SEEN, 0.0, False, False, {}))
    assert [row["failed"].partition(": ")[0] for row in rows] == [
        f"episode {number} of Scripted-v0 failed at step 2" for number in (0, 1)
    ]
    assert all(said in row["failed"] and "\n" not in row["failed"] for row in rows)


def test_an_episode_that_fails_costs_the_others_nothing() -> None:
    calls = iter(range(100))

    def fails_once(step: int) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        if next(calls) == 3:
            raise RuntimeError("the robot fell\napart")
        return SEEN, 1.0, False, False, {}

    said: list[str] = []
    (row,) = without_failures(play(fails_once), said.append)
    assert (row["episode"], row["return"], row["length"]) == (0, 5.0, 5)
    (line,) = said
    assert line == "episode 1 of Scripted-v0 failed at step 1: the robot fell apart; the other episodes are kept"


def test_an_environment_that_ends_the_process_ends_its_episode() -> None:
    rows = play(lambda step: sys.exit(3) if step == 2 else (SEEN, 1.0, False, False, {}))
    assert [row["failed"] for row in rows] == [
        f"episode {number} of Scripted-v0 failed at step 1: it called sys.exit(3)" for number in (0, 1)
    ]


def test_where_no_episode_can_be_played_the_reason_is_the_error() -> None:
    with pytest.raises(
        MageError, match=r"episode 0 of Scripted-v0 failed at step 0: no display at all; no episode of 2"
    ):
        without_failures(play(None), pytest.fail)


def test_an_environment_without_a_limit_is_not_played_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_EPISODE", 50)
    rows = play(lambda step: (SEEN, 0.0, False, False, {}), limit=None)
    assert all(
        "failed at step 49: it has not ended, and the environment has no time limit" in r["failed"] for r in rows
    )
    assert [row["length"] for row in play(lambda step: (SEEN, 0.0, step == 49, False, {}), limit=None)] == [49, 49]
    assert [row["length"] for row in play(lambda step: (SEEN, 0.0, False, False, {}), limit=60)] == [60, 60]


def test_what_environments_warn_of_is_told_once_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_told", set())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            # of another size and type than its space says, which Gymnasium would tell of in each environment
            play(lambda step: (np.full(2, 9.0), np.array([0.5]), False, False, {}), episodes=4)
    told = [str(warning.message) for warning in caught]
    assert len(told) == 2 and told[0] == "this robot is deprecated" and "so is its gripper" in told[1]


class Fragile(Scripted):
    """Can be made twice, is not reset to numbers the second time, and cannot be closed."""

    made = 0

    def __init__(self) -> None:
        Fragile.made += 1
        if Fragile.made > 2:
            raise RuntimeError("the port is in use")
        self.number = Fragile.made

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        seen, info = super().reset(seed=seed)
        return (seen if self.number == 1 else seen * np.nan), info

    def close(self) -> None:
        raise RuntimeError("already closed")


def test_an_environment_that_cannot_be_made_again_or_closed_costs_no_episode_that_was_played() -> None:
    Scripted.script = lambda step: (SEEN, 1.0, False, False, {})
    gym.register("Fragile-v0", f"{__name__}:Fragile", max_episode_steps=5)
    try:
        task = make_task(environment_spec=gym.spec("Fragile-v0").to_json(), reference_scores=None)
        rollout = Rollout(task, 2)
        said: list[str] = []
        rows = without_failures(rollout.play(Thrust(task), range(4), 0), said.append)
        rollout.close()
    finally:
        del gym.registry["Fragile-v0"]
    assert [(row["episode"], row["return"]) for row in rows] == [(0, 5.0), (2, 5.0)]
    assert [line.partition(":")[0] for line in said] == [
        f"episode {number} of Fragile-v0 failed at step 0" for number in (1, 3)
    ]


class Tasks(Scripted):
    """Pays the number of its task at every step."""

    tasks_in_turn = 3

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.task = options["task_id"]
        return super().reset(seed=seed)

    def step(self, action: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        return SEEN, float(self.task), False, False, {}


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_an_environment_of_several_tasks_has_them_in_turn_whoever_plays_the_episode(batch: int) -> None:
    Scripted.script = lambda step: (SEEN, 0.0, False, False, {})
    gym.register("Tasks-v0", f"{__name__}:Tasks", max_episode_steps=1)
    try:
        task = make_task(environment_spec=gym.spec("Tasks-v0").to_json(), reference_scores=None)
        rollout = Rollout(task, batch)
        rows = rollout.play(Thrust(task), [0, 1, 2, 3, 7], 0)
        rollout.close()
    finally:
        del gym.registry["Tasks-v0"]
    assert [row["return"] for row in rows] == [1.0, 2.0, 3.0, 1.0, 2.0]
