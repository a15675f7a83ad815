"""Behaviour cloning: with a return-to-go beside the observation, or blind to it."""

from typing import Any

import pytest
import torch

from mage import registry
from mage.algorithms.bc import BehaviourCloning
from mage.algorithms.return_bc import ReturnBehaviourCloning
from mage.config import make_config
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.interface import Sizes
from tests.data.builders import make_trajectories

TRAJECTORIES = make_trajectories([6, 9])
STATISTICS = Statistics.from_trajectories(TRAJECTORIES)
STEPS = Steps(TRAJECTORIES, STATISTICS)

every_kind = pytest.mark.parametrize(("algorithm", "sees_return"), [("return_bc", True), ("bc", False)])


def untrained(algorithm: str) -> BehaviourCloning | ReturnBehaviourCloning:
    config: Any = make_config({"algorithm": algorithm, "behaviour_cloning": {"hidden_dim": 16}})
    torch.manual_seed(0)
    made = registry.get(algorithm)(config, Sizes(3, 1), STATISTICS)
    assert isinstance(made, BehaviourCloning | ReturnBehaviourCloning)
    return made


@every_kind
def test_the_return_counts_where_it_is_seen_and_the_observation_always(algorithm: str, sees_return: bool) -> None:
    condition_BY = torch.randn(4, 4, requires_grad=True)
    untrained(algorithm).actor(condition_BY).sum().backward()
    assert condition_BY.grad is not None
    assert (condition_BY.grad.abs().amax(0) > 0).tolist() == [sees_return, True, True, True]


@every_kind
def test_a_return_can_be_asked_for_where_it_is_seen(algorithm: str, sees_return: bool) -> None:
    assert untrained(algorithm).asks == ("return" if sees_return else None)


@every_kind
def test_the_loss_is_the_mean_square_of_the_action(algorithm: str, sees_return: bool) -> None:
    made, rows = untrained(algorithm), torch.tensor([0, 3, 14])
    told: Any = made.conditions(STEPS) if isinstance(made, ReturnBehaviourCloning) else STEPS
    loss, _ = made.loss(told, rows, torch.Generator())
    errors = [made.actor(STEPS.conditions(i[None]))[0] - STEPS.actions(i) for i in rows]
    torch.testing.assert_close(loss, torch.stack(errors).pow(2).mean())
