import copy
import json
import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mage.data.trajectories import Task
from mage.errors import MageError
from mage.evaluation.rollout import ActingPolicy, Rollout, batches, episode_seed, normalized_score
from mage.interface import Policy
from tests.data.builders import make_task

MOUNTAIN_CAR = make_task(
    environment_spec=gym.spec("MountainCarContinuous-v0").to_json().replace("999", "9"), reference_scores=None
)


class Thrust:
    """Pushes as hard as its target return says, or at random; the mountain car pays -0.1 force^2 a step."""

    target_return = 0.5
    observation_size = 2

    def __init__(self, task: Task, random: bool = False, decrements_target: bool = False) -> None:
        self.task, self.random, self.decrements_target = task, random, decrements_target
        self.begun: list[int] = []
        self.rewards: list[list[float]] = []

    def begin(self, environments: int) -> "Thrust":
        self.begun.append(environments)
        return self

    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray,
        rewards: np.ndarray,
        generators: list[torch.Generator],
    ) -> np.ndarray:
        self.rewards.append(rewards.tolist())
        if self.random:
            return np.array([[torch.rand((), generator=own)] for own in generators], dtype=np.float32)
        return return_to_go.astype(np.float32)[:, None]


def shortened(policy: Policy, steps: int = 40, **changes: Any) -> Policy:
    """The policy in the same maze with a shorter time limit."""
    spec = json.loads(policy.task.environment_spec) | {"max_episode_steps": steps}
    made = copy.copy(policy)
    made.task = policy.task.model_copy(update={"environment_spec": json.dumps(spec)} | changes)
    return made


def play(policy: ActingPolicy, batch_size: int, episodes: list[int], **arguments: Any) -> list[dict[str, Any]]:
    rollout = Rollout(policy.task, batch_size)
    rows = rollout.run(policy, episodes, **arguments)
    rollout.close()
    return rows


def test_an_episode_is_one_row_of_what_happened_in_it(tiny_policy: Policy) -> None:
    rows = play(shortened(tiny_policy), 3, [4, 5])
    assert [row["episode"] for row in rows] == [4, 5]
    for row in rows:
        assert row["length"] == 40
        assert row["success"] == (row["return"] > 0)
        assert row["normalized_score"] == pytest.approx(100 * (row["return"] - 5.9) / (45.3 - 5.9))


def test_a_row_holds_the_rewards_that_the_environment_paid(tiny_policy: Policy) -> None:
    policy = shortened(tiny_policy)
    rollout = Rollout(policy.task, 1)
    environment = rollout.environments[0]
    row = rollout.run(policy, [3], seed=5)[0]
    observation, _ = environment.reset(seed=episode_seed(5, 3))
    total = 0.0
    for _ in range(row["length"]):
        flat = np.concatenate([np.ravel(observation[key]) for key in policy.task.observation_keys])
        observation, reward, _, _, _ = environment.step(policy.act(flat[None])[0])
        total += float(reward)
    rollout.close()
    assert row["return"] == pytest.approx(total)


def test_an_episode_is_the_same_on_environments_that_have_been_used_before(tiny_policy: Policy) -> None:
    policy = shortened(tiny_policy)
    rollout = Rollout(policy.task, 3)
    first = rollout.run(policy, [0, 1, 2])
    rollout.run(policy, [3, 4])
    assert rollout.run(policy, [0, 1, 2]) == first
    rollout.close()


def test_a_target_return_given_wins_over_the_policys_own() -> None:
    policy = Thrust(MOUNTAIN_CAR)
    assert play(policy, 2, [0, 1])[0]["return"] == pytest.approx(-0.1 * 0.5**2 * 9)
    assert play(policy, 2, [0, 1], return_to_go=0.2)[0]["return"] == pytest.approx(-0.1 * 0.2**2 * 9)


class Diary:
    """What a rollout shows on its way."""

    def __init__(self) -> None:
        self.observations: list[np.ndarray] = []
        self.targets: list[np.ndarray] = []

    def __call__(self, observations: np.ndarray, targets: np.ndarray) -> None:
        self.observations.append(observations.copy())
        self.targets.append(targets.copy())


def test_a_constant_target_is_asked_for_at_every_step() -> None:
    diary = Diary()
    play(Thrust(MOUNTAIN_CAR), 3, [0, 1], visit=diary)
    assert np.array(diary.targets).tolist() == [[0.5, 0.5]] * 9


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_a_decremented_target_is_what_is_left_to_get(discount: float) -> None:
    task, diary = MOUNTAIN_CAR.model_copy(update={"discount": discount}), Diary()
    policy = Thrust(task, decrements_target=True)
    rows = play(policy, 3, [0, 1], return_to_go=0.3, visit=diary)
    target, total = 0.3, 0.0
    for seen in diary.targets:
        assert seen == pytest.approx([target, target], rel=1e-6)
        reward = -0.1 * target**2  # what the mountain car pays for the force asked for
        target, total = (target - reward) / discount, total + reward
    assert len(diary.targets) == 9
    assert [row["return"] for row in rows] == pytest.approx([total, total], rel=1e-5)


def test_targets_of_environments_that_have_ended_are_shown_no_more() -> None:
    spec = gym.spec("MountainCarContinuous-v0").to_json().replace("999", "200")
    task, diary = make_task(environment_spec=spec, reference_scores=None), Diary()
    rows = play(Swing(task), 3, [0, 1, 2], visit=diary)
    lengths = sorted(row["length"] for row in rows)
    assert lengths[0] < lengths[-1]
    assert [len(shown) for shown in diary.targets] == [
        sum(length > step for length in lengths) for step in range(lengths[-1])
    ]
    assert [shown.shape for shown in diary.observations] == [(len(targets), 2) for targets in diary.targets]


class Swing(Thrust):
    """Pushes the way it rolls, which brings the car home sooner or later."""

    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray,
        rewards: np.ndarray,
        generators: list[torch.Generator],
    ) -> np.ndarray:
        return np.sign(observations[:, 1:] + 1e-9).astype(np.float32)


def test_a_policy_begins_anew_with_every_batch_of_episodes() -> None:
    policy, rollout = Thrust(MOUNTAIN_CAR), Rollout(MOUNTAIN_CAR, 2)
    for expected in ([2], [2, 2]):
        rollout.run(policy, [0, 1])
        assert policy.begun == expected
    rollout.close()


def test_a_policy_is_told_what_its_last_actions_brought() -> None:
    policy = Thrust(MOUNTAIN_CAR, decrements_target=True)
    rows = play(policy, 3, [0, 1], return_to_go=0.3)
    first, *others = policy.rewards
    assert first == [0.0, 0.0, 0.0]
    assert all(rewards[2] == 0 for rewards in others)  # there is no third episode
    assert others[0][:2] == pytest.approx([-0.1 * 0.3**2] * 2, rel=1e-5)
    assert sum(rewards[0] for rewards in others) > rows[0]["return"]  # that of the last step is seen by no one


def test_looking_on_changes_nothing(tiny_policy: Policy) -> None:
    policy, diary = shortened(tiny_policy), Diary()
    assert play(policy, 3, [0, 1], visit=diary) == play(policy, 3, [0, 1])
    assert np.array(diary.observations).shape == (40, 2, policy.observation_size)


def test_the_randomness_of_an_episode_follows_its_number_not_its_place() -> None:
    policy = Thrust(MOUNTAIN_CAR, random=True)
    one_way = {row["episode"]: row["return"] for row in play(policy, 3, [0, 1, 2])}
    other_way = {row["episode"]: row["return"] for row in play(policy, 3, [2, 7, 1])}
    assert len({*one_way.values()}) == 3
    assert (one_way[1], one_way[2]) == (other_way[1], other_way[2])


def test_another_seed_is_another_set_of_episodes(tiny_policy: Policy) -> None:
    seeds = {episode_seed(seed, episode) for seed in range(20) for episode in range(50)}
    assert len(seeds) == 1000
    rollout = Rollout(tiny_policy.task, 1)
    starts = [rollout.environments[0].reset(seed=episode_seed(0, i))[0]["observation"][:2] for i in (0, 1, 0)]
    rollout.close()
    assert not np.array_equal(starts[0], starts[1])
    np.testing.assert_array_equal(starts[0], starts[2])


@given(st.floats(-1e4, 1e4), st.floats(-1e3, 1e3), st.floats(1.0, 1e4))
def test_the_score_is_0_for_random_and_100_for_expert_and_linear_between(value: float, low: float, gap: float) -> None:
    references = (low, low + gap)
    assert normalized_score(low, references) == 0
    assert normalized_score(references[1], references) == pytest.approx(100)
    assert normalized_score(value, references) == pytest.approx(100 * (value - low) / (references[1] - low))


def test_without_references_there_is_no_score(tiny_policy: Policy) -> None:
    assert math.isnan(normalized_score(3.0, None))
    row = play(shortened(tiny_policy, steps=2, reference_scores=None), 1, [0])[0]
    assert math.isnan(row["normalized_score"])


@given(st.integers(1, 60), st.integers(1, 30))
def test_batches_hold_every_episode_once_and_start_at_fixed_numbers(episodes: int, size: int) -> None:
    groups = list(batches(range(episodes), size))
    assert [number for group in groups for number in group] == list(range(episodes))
    assert all(group[0] % size == 0 and len(group) <= size for group in groups)


def test_an_environment_that_takes_other_actions_is_refused(tiny_policy: Policy) -> None:
    bounds = {"action_low": (-1.0,) * 3, "action_high": (1.0,) * 3}
    task: Task = tiny_policy.task.model_copy(update=bounds)
    with pytest.raises(MageError, match=r"mage/maze2d/umaze-v0 takes 2 action values, its data has 3"):
        Rollout(task, 1)


def test_an_environment_that_shows_something_else_is_refused(tiny_policy: Policy) -> None:
    policy = copy.copy(tiny_policy)
    policy.task = MOUNTAIN_CAR
    with pytest.raises(MageError, match=r"shows 2 values, the policy was trained on 6"):
        play(policy, 1, [0])
