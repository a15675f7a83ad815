"""Sub-goals that are planned in a graph of states: where they lie, and what their path earns."""

import time

import numpy as np
import pytest
import torch

from mage.data.graph_subgoals import GraphConfig, GraphSubgoals, next_rewarded, step_costs
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories
from mage.errors import MageError
from tests.data.builders import make_trajectories

# an episode that makes a detour from x = 0 to its reward at x = 4, and one that drives straight on past x = 1..4
DETOUR = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 2), (3, 2), (3, 1), (3, 0), (4, 0)]
STRAIGHT = [(0.0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]


def driven() -> Trajectories:
    place = np.array([*DETOUR, *STRAIGHT], np.float32)
    rewards = np.zeros(15, np.float32)
    rewards[8] = 1
    return make_trajectories([9, 6], observations=place, rewards=rewards)


def planned(target: str = "rewarded", **changes: object) -> GraphSubgoals:
    trajectories = driven()
    data = Steps(trajectories, Statistics.from_trajectories(trajectories))
    own = GraphConfig.model_validate({"nodes": 40, "reach": 2, "target": target, **changes})
    return GraphSubgoals(data, own, [0, 1], interval=2, subgoals=4)


def test_sub_goals_take_the_short_cut_that_another_episode_knows() -> None:
    subgoals = planned()
    said = subgoals.plan(torch.tensor([0]))
    places = driven().observations[said.row_BM[0]]
    assert said.is_shorter_B.item()
    assert places[:, 0].tolist() == [0, 2, 4, 4]
    assert places[:, 1].tolist() == [0, 0, 0, 0]


def test_sub_goals_begin_where_they_are_asked_for_and_end_at_their_target() -> None:
    subgoals = planned()
    said = subgoals.plan(torch.arange(len(subgoals)))
    assert torch.equal(said.row_BM[:, 0], subgoals.starts)
    assert said.row_BM.shape == (13, 4)
    assert said.row_BM[:8, -1].tolist() == [8] * 8
    assert said.row_BM[8:, -1].tolist() == [14] * 5


def test_where_no_way_is_shorter_the_episode_is_its_own() -> None:
    subgoals = planned()
    said = subgoals.plan(torch.tensor([8]))  # the straight one's first step
    assert not said.is_shorter_B.item()
    assert said.row_BM[0].tolist() == [9, 11, 13, 14]


def test_a_path_to_a_reward_earns_at_least_what_the_episode_did() -> None:
    subgoals = planned()
    every = torch.arange(len(subgoals))
    earned_W, own_W = subgoals.plan(every).earned_B, subgoals.data.weights(subgoals.starts)
    assert (earned_W >= own_W).all()
    # the reward is 4 steps away, by the episode 8
    assert earned_W[0].item() == pytest.approx(0.9**4, rel=1e-5)
    assert own_W[0].item() == pytest.approx(0.9**8, rel=1e-5)
    torch.testing.assert_close(planned("last").plan(every).earned_B, own_W)


def test_rewards_on_the_way_make_a_path_cheaper_by_their_share() -> None:
    rewards = np.array([0.0, 2.0, 4.0])
    assert step_costs(rewards, 0.0).tolist() == [1, 1, 1]
    assert step_costs(rewards, 0.5).tolist() == [1, 0.75, 0.5]
    assert step_costs(rewards, 1.0).tolist() == [1, 0.5, 1e-3]
    assert step_costs(np.zeros(2), 0.5).tolist() == [0.5, 0.5]


def test_the_next_reward_is_a_later_one_of_the_same_episode() -> None:
    rewards, last = np.array([0, 1, 0, 1, 0, 0, 1.0]), np.array([4, 4, 4, 4, 4, 6, 6])
    assert next_rewarded(rewards, last).tolist() == [1, 3, 3, 4, 4, 6, 6]


def test_columns_that_there_are_not_are_refused_in_a_line() -> None:
    with pytest.raises(MageError, match=r"graph.columns \(5,\) are not all among the 2 columns"):
        planned(columns=(5,))
    with pytest.raises(ValueError, match="differ in length"):
        GraphConfig(columns=(1,), weights=(1, 2))


@pytest.mark.slow
def test_a_hundred_thousand_states_take_less_than_a_minute() -> None:
    rng = np.random.default_rng(0)
    place = np.cumsum(rng.normal(0, 0.1, (100_000, 2)), 0) % 5
    trajectories = make_trajectories([1000] * 100, observations=place.astype(np.float32))
    data = Steps(trajectories, Statistics.from_trajectories(trajectories))
    began = time.process_time()
    GraphSubgoals(data, GraphConfig(), [0, 1], interval=15, subgoals=17).plan(torch.arange(64))
    assert time.process_time() - began < 60
