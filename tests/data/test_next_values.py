"""Rewards and the values that follow them."""

import numpy as np

from mage.data.next_values import rewards_and_next_values
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories
from tests.data.builders import make_trajectories

REWARDS = np.array([1, 2, 4, 8, 16], np.float32)


def steps(trajectories: Trajectories) -> Steps:
    return Steps(trajectories, Statistics.from_trajectories(trajectories))


def test_a_value_is_what_follows_the_reward_and_nothing_follows_an_episode() -> None:
    reward_N, value_N = rewards_and_next_values(steps(make_trajectories([3, 2], rewards=REWARDS)), 0.5)
    assert reward_N.tolist() == REWARDS.tolist()
    assert value_N.tolist() == [2 + 2, 4, 0, 16, 0]


def test_a_value_is_the_next_reward_and_its_value() -> None:
    data = make_trajectories([7, 1, 12])
    reward_N, value_N = rewards_and_next_values(steps(data), 0.97)
    assert reward_N.shape == value_N.shape == (20,)
    is_last_N = np.isin(np.arange(20), data.episode_starts[1:] - 1)
    wanted_N = np.where(is_last_N, 0, np.append(reward_N[1:] + 0.97 * value_N[1:], 0))
    np.testing.assert_allclose(value_N, wanted_N, atol=1e-5)


def test_what_a_failure_costs_replaces_its_reward_and_is_seen_coming() -> None:
    data = make_trajectories([3, 2], rewards=REWARDS.copy(), terminations=np.array([True, False]))
    reward_N, value_N = rewards_and_next_values(steps(data), 0.5, terminal_reward=-100)
    assert reward_N.tolist() == [1, 2, -100, 8, 16]
    assert value_N.tolist() == [2 - 50, -100, 0, 16, 0]
    assert data.rewards.tolist() == REWARDS.tolist()
