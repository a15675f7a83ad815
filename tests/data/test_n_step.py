"""Returns over n steps: what is paid within them, and where they go on with a value."""

from typing import Any

import numpy as np
import pytest
import torch

from mage.data.n_step import NStepReturns
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.data.transitions import RewardConfig
from mage.errors import MageError
from tests.data.builders import make_trajectories

DISCOUNT = 0.9  # of the handmade task


def steps(lengths: list[int], rewards: list[float], terminal: list[bool]) -> Steps:
    changes: dict[str, Any] = {"rewards": np.array(rewards, np.float32), "terminations": np.array(terminal)}
    trajectories = make_trajectories(lengths, **changes)
    return Steps(trajectories, Statistics.from_trajectories(trajectories))


def test_they_are_those_of_a_hand_computation() -> None:
    data = steps([3, 4], [1, 2, 3, 4, 5, 6, 7], [True, False])
    found = NStepReturns(data, horizon=2).take(torch.arange(7))
    # three steps to a terminal state; four before a time limit, the last of which leads nobody knows where
    wanted_reward = [1 + 0.9 * 2, 2 + 0.9 * 3, 3, 4 + 0.9 * 5, 5 + 0.9 * 6, 6, 0]
    wanted_factor = [0.81, 0, 0, 0.81, 0.81, 0.9, 1]
    torch.testing.assert_close(found.reward_B, torch.tensor(wanted_reward))
    torch.testing.assert_close(found.factor_B, torch.tensor(wanted_factor))
    goes_on = found.factor_B > 0
    assert found.row_B[goes_on].tolist() == [2, 5, 6, 6, 6]
    assert NStepReturns(data, horizon=2).known.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_horizon_beyond_all_ends_is_the_whole_rest(terminal: bool) -> None:
    data = steps([4, 4], [1] * 8, [terminal] * 2)
    found = NStepReturns(data, horizon=50).take(torch.arange(4))
    left = np.array([4, 3, 2, 1]) - (not terminal)
    np.testing.assert_allclose(found.reward_B, (1 - DISCOUNT**left) / (1 - DISCOUNT), rtol=1e-6)
    np.testing.assert_allclose(found.factor_B, 0 * left if terminal else DISCOUNT**left, rtol=1e-6)


def test_a_sparse_goal_ends_it_and_costs_nothing_and_any_other_step_costs_one() -> None:
    data = steps([5], [0, 0, 1, 1, 0], [False])
    found = NStepReturns(data, 3, RewardConfig(shift=-1.0), terminal_at_goal=True).take(torch.arange(5))
    torch.testing.assert_close(found.reward_B, torch.tensor([-1.9, -1, 0, 0, 0]))
    assert found.factor_B.tolist() == [0, 0, 0, 0, 1]
    going_on = NStepReturns(data, 3, RewardConfig(shift=-1.0)).take(torch.arange(5))
    torch.testing.assert_close(going_on.reward_B, torch.tensor([-1.9, -1, 0, 0, 0]))
    torch.testing.assert_close(going_on.factor_B, torch.tensor([0.729, 0.729, 0.81, 0.9, 1]))


def test_episodes_of_one_step_that_are_all_cut_are_refused_and_terminal_ones_are_not() -> None:
    with pytest.raises(MageError, match=r"one step before a time limit") as caught:
        NStepReturns(steps([1, 1], [1, 2], [False, False]), 3)
    assert "\n" not in str(caught.value)
    found = NStepReturns(steps([1, 1], [1, 2], [True, True]), 3).take(torch.arange(2))
    assert (found.reward_B.tolist(), found.factor_B.tolist()) == ([1, 2], [0, 0])


def test_the_units_of_a_value_are_those_of_the_recorded_returns() -> None:
    mean, deviation = NStepReturns(steps([3], [1, 1, 1], [True]), 2).mean_and_deviation()
    returns = np.array([2.71, 1.9, 1.0])
    np.testing.assert_allclose([mean, deviation], [returns.mean(), returns.std()], rtol=1e-6)
    assert NStepReturns(steps([1, 1], [1, 1], [True, True]), 2).mean_and_deviation() == (1.0, 1.0)
