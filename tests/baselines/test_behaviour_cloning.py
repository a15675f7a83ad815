"""Behaviour cloning: with a return-to-go beside the observation, or blind to it."""

import pytest
import torch

from mage.baselines.behaviour_cloning import Actor, BehaviourCloningObjective
from mage.config import BehaviourCloningConfig
from mage.data.trajectories import Statistics
from mage.data.windows import Windows
from tests.data.builders import make_trajectories


def objective(sees_return: bool) -> BehaviourCloningObjective:
    trajectories = make_trajectories([6, 9])
    windows = Windows(trajectories, Statistics.from_trajectories(trajectories), 1)
    torch.manual_seed(0)
    actor = Actor(BehaviourCloningConfig(hidden_dim=16), sees_return, 3, 1)
    return BehaviourCloningObjective(actor, windows)


@pytest.mark.parametrize("sees_return", [True, False])
def test_the_return_counts_where_it_is_seen_and_the_observation_always(sees_return: bool) -> None:
    actor = objective(sees_return).actor
    condition_BY = torch.randn(4, 4, requires_grad=True)
    actor(condition_BY).sum().backward()
    assert condition_BY.grad is not None
    assert (condition_BY.grad.abs().amax(0) > 0).tolist() == [sees_return, True, True, True]


@pytest.mark.parametrize("sees_return", [True, False])
def test_the_loss_is_the_mean_square_of_the_action(sees_return: bool) -> None:
    made, indices = objective(sees_return), torch.tensor([0, 3, 14])
    loss, _ = made(indices, torch.Generator())
    errors = [made.actor(made.windows.conditions(i[None]))[0] - made.windows.actions(i) for i in indices]
    torch.testing.assert_close(loss, torch.stack(errors).pow(2).mean())
