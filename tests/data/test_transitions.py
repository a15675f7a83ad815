"""Transitions with rewards in their own units: none that is cut off, and none that leads past an end."""

import numpy as np
import torch

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
