"""Transitions with rewards in their own units: none that is cut off, and none that leads past an end."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.data.transitions import RewardConfig, TransitionSampler, return_range
from tests.data.builders import make_trajectories

LENGTHS = [3, 1, 4]
ENDS = np.array([True, False, False])
REWARDS = np.array([1, 2, 3, 4, 0, 1, 1, 0], np.float32)
RAW = RewardConfig()


def steps() -> Steps:
    trajectories = make_trajectories(LENGTHS, terminations=ENDS, rewards=REWARDS)
    return Steps(trajectories, Statistics.from_trajectories(trajectories))


def test_the_last_step_before_a_time_limit_is_left_out_and_a_terminal_one_is_not() -> None:
    sampler = TransitionSampler(steps(), RAW, normalise=False)
    batch = sampler.take(torch.arange(len(sampler)))
    assert batch.observation_BS[:, 0].tolist() == [0, 1, 2, 4, 5, 6]  # of 0..7; 3 and 7 are cut off
    assert batch.next_observation_BS[:, 0].tolist() == [1, 2, 3, 5, 6, 7]
    assert batch.terminal_B.tolist() == [0, 0, 1, 0, 0, 0]
    assert batch.reward_B.tolist() == [1, 2, 3, 0, 1, 1]


def test_no_step_leads_into_another_episode_unless_it_is_terminal() -> None:
    sampler = TransitionSampler(steps(), RAW, normalise=False)
    batch = sampler.take(torch.arange(len(sampler)))
    same = batch.observation_BS[:, 1] == batch.next_observation_BS[:, 1]
    assert (same | batch.terminal_B.bool()).all()


def test_a_reward_is_scaled_and_shifted_or_first_divided_by_the_range_of_returns() -> None:
    everything = torch.arange(6)
    affine = TransitionSampler(steps(), RewardConfig(scale=10, shift=-5)).take(everything)
    assert affine.reward_B.tolist() == [5, 15, 25, -5, 5, 5]
    assert return_range(steps()) == 4  # returns 6, 4, 2
    ranged = TransitionSampler(steps(), RewardConfig(scale=1000, over_return_range=True)).take(everything)
    assert ranged.reward_B.tolist() == [250, 500, 750, 0, 250, 250]


def test_a_goal_is_terminal_where_the_recording_goes_on_whatever_becomes_of_its_reward() -> None:
    sampler = TransitionSampler(steps(), RewardConfig(shift=-1), terminal_at_goal=True)
    assert sampler.take(torch.arange(len(sampler))).terminal_B.tolist() == [1, 1, 1, 0, 1, 1]


def test_observations_are_normalised_unless_told_otherwise() -> None:
    data, everything = steps(), torch.arange(6)
    batch = TransitionSampler(data, RAW).take(everything)
    torch.testing.assert_close(batch.observation_BS, data.observations(torch.tensor([0, 1, 2, 4, 5, 6])))


def test_standardised_rewards_have_mean_0_and_deviation_1_over_the_transitions_before_scale_and_shift() -> None:
    everything = torch.arange(6)
    plain = TransitionSampler(steps(), RewardConfig(standardised=True)).take(everything).reward_B
    assert (plain.mean().item(), plain.std().item()) == pytest.approx((0, 1), abs=1e-6)
    moved = TransitionSampler(steps(), RewardConfig(standardised=True, scale=3, shift=2)).take(everything).reward_B
    torch.testing.assert_close(moved, 3 * plain + 2)
    with pytest.raises(ValidationError, match="choose one"):
        RewardConfig(standardised=True, over_return_range=True)


def test_rewards_that_are_all_the_same_are_standardised_to_0() -> None:
    trajectories = make_trajectories(LENGTHS, rewards=np.full(8, 0.1, np.float32))
    data = Steps(trajectories, Statistics.from_trajectories(trajectories))
    rewards_B = TransitionSampler(data, RewardConfig(standardised=True)).take(torch.arange(5)).reward_B
    torch.testing.assert_close(rewards_B, torch.zeros(5), atol=1e-6, rtol=0)


def test_the_next_action_is_that_of_the_next_step_of_the_same_episode() -> None:
    data, sampler = steps(), TransitionSampler(steps(), RAW)
    # of rows 0, 1, 2 (terminal), 4, 5, 6; what follows the terminal one is read by nobody
    next_action_BA = sampler.next_actions(torch.tensor([0, 1, 3, 4, 5]))
    assert torch.equal(next_action_BA, data.actions(torch.tensor([1, 2, 5, 6, 7])))
    assert torch.equal(sampler.take(torch.tensor([1])).action_BA, sampler.next_actions(torch.tensor([0])))


def test_the_next_action_of_a_terminal_step_that_ends_the_data_is_there() -> None:
    trajectories = make_trajectories([2], terminations=np.array([True]))
    data = Steps(trajectories, Statistics.from_trajectories(trajectories))
    assert TransitionSampler(data, RAW).next_actions(torch.arange(2)).shape == (2, 1)
