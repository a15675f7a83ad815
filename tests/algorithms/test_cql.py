"""Conservative Q-learning: an unbiased soft maximum, low values off the data, a multiplier, no gradient astray."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mage.algorithms.cql import ConservativeQLearning, draw
from mage.config import make_config
from mage.data.trajectories import Statistics, Trajectories
from mage.data.transitions import Batch, TransitionSampler
from mage.interface import Sizes
from tests.algorithms.runs import (
    check_resumed_run_is_the_undisturbed_one,
    check_saved_policy_plays_the_same,
    trained,
    untrained,
)
from tests.data.builders import make_trajectories

ROWS = 4000


def settings(steps: int = 20, **changes: Any) -> dict[str, Any]:
    """Small and fast: targets that follow forty times faster, rates thirty times higher than published."""
    network = {"hidden_dim": 32, "critic_layers": 2, "actor_layers": 1, "sampled_actions": 4, "target_rate": 0.2}
    stage = {"steps": steps, "batch_size": 64, "learning_rate": 1e-2, "actor": {"learning_rate": 1e-3}}
    return {"algorithm": "cql", "cql": network | changes, "training": {"critic": stage, "log_every": 10}}


def agent(trajectories: Trajectories, **changes: Any) -> tuple[Any, Batch]:
    """An untrained one, and all transitions of its data."""
    made, data = untrained(make_config(settings(**changes)), trajectories)
    sampler = TransitionSampler(data, made.own.reward, made.own.terminal_at_goal, made.own.normalise_observations)
    return made, sampler.take(torch.arange(len(sampler)))


def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


class Known(nn.Module):
    """A Q that is known, twice."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, observation_BS: Tensor, action_BA: Tensor) -> Tensor:
        return self.function(action_BA).expand(2, *action_BA.shape[:-1])


def estimate(function: Callable[[Tensor], Tensor], action_size: int, samples: int) -> float:
    """log of the mean of exp(soft maximum): of unbiased estimates, log of 3N times the integral of exp(Q)."""
    config: Any = make_config(settings(sampled_actions=samples))
    made = ConservativeQLearning(config, Sizes(3, action_size), Statistics.from_trajectories(make_trajectories([9])))
    made.critic = Known(function)  # type: ignore[assignment]
    zeros_BA = torch.zeros(ROWS, action_size)
    soft_2B = made.soft_maximum(torch.zeros(ROWS, 3), (zeros_BA + 0.3, zeros_BA), (zeros_BA - 0.5, zeros_BA), random())
    return (soft_2B.logsumexp(1) - math.log(ROWS)).mean().item()


@pytest.mark.parametrize("action_size", [1, 2])
def test_the_soft_maximum_is_an_unbiased_integral_over_all_actions(action_size: int) -> None:
    grid = torch.linspace(-1, 1, 2001)
    integral = torch.trapezoid((-3 * (grid - 0.3).pow(2)).exp(), grid).log().item()
    estimated = estimate(lambda action: (-3 * (action - 0.3).pow(2)).sum(-1), action_size, samples=10)
    assert estimated == pytest.approx(action_size * integral + math.log(30), abs=0.04)


def test_of_a_constant_it_is_the_constant_plus_the_volume_of_the_actions() -> None:
    estimated = estimate(lambda action: torch.full(action.shape[:-1], 5.0), action_size=2, samples=4)
    assert estimated == pytest.approx(5 + 2 * math.log(2) + math.log(12), abs=0.04)


def half_bandit() -> Trajectories:
    """One-step episodes in one state: actions of the lower half only, better the higher they are."""
    action_NA = np.linspace(-1, 0, 200, dtype=np.float32)[:, None]
    ones_N = np.ones(200, bool)
    observations = ones_N[:, None].astype(np.float32)
    return make_trajectories(
        [1] * 200, observations=observations, actions=action_NA, rewards=1 + action_NA[:, 0], terminations=ones_N
    )


def test_the_best_action_lies_within_the_data_and_without_conservatism_beyond_it() -> None:
    grid = torch.linspace(-1, 1, 101)[:, None]
    best = {}
    for conservatism in (0.0, 5.0):
        made = trained(half_bandit(), settings(120, conservatism=conservatism, normalise_observations=False))
        value = made.critic(torch.ones(101, 1), grid).amin(0)
        best[conservatism] = grid[value.argmax(), 0].item()
    assert best[0.0] > 0.5
    assert best[5.0] <= 0.1


def test_without_conservatism_values_are_those_of_what_the_data_does() -> None:
    """Of a chain of two states that pay 1 and 2 whatever is done there."""
    number = 100
    made = trained(
        make_trajectories(
            [2] * number,
            observations=np.tile(np.eye(2, dtype=np.float32), (number, 1)),
            actions=np.random.default_rng(0).uniform(-1, 1, (2 * number, 1)).astype(np.float32),
            rewards=np.tile(np.array([1, 2], np.float32), number),
            terminations=np.ones(number, bool),
        ),
        settings(150, conservatism=0.0, normalise_observations=False),
    )
    value_2B = made.critic(torch.eye(2), torch.zeros(2, 1))
    torch.testing.assert_close(value_2B, torch.tensor([1 + 0.99 * 2, 2.0]).expand(2, -1), rtol=0.05, atol=0)


@pytest.mark.parametrize(("gap", "grows"), [(-1000.0, True), (1000.0, False)])
def test_a_multiplier_grows_while_the_difference_exceeds_the_gap(gap: float, grows: bool) -> None:
    made = trained(make_trajectories([9, 14]), settings(5, gap=gap))
    assert (made.log_multiplier.item() > 1) == grows


def test_the_penalty_is_weighted_by_the_multiplier_and_counted_from_the_gap() -> None:
    made, _ = agent(make_trajectories([9]), gap=2.0, conservatism=5.0)
    penalty, multiplier = made.weigh(torch.tensor([3.0, 5.0]))
    assert penalty.item() == pytest.approx(math.e * 5 * (1 + 3))
    assert multiplier.item() == pytest.approx(-math.e * 5 * 2)
    plain, _ = agent(make_trajectories([9]), conservatism=5.0)
    assert [value.item() for value in plain.weigh(torch.tensor([3.0, 5.0]))] == [40, 0]


def test_the_best_of_many_actions_promises_more_than_one_and_a_terminal_state_its_reward() -> None:
    made, batch = agent(make_trajectories([9, 14], terminations=np.array([True, False])))
    nn.init.normal_(made.target.module.weights[-1])
    there = made.actor(batch.next_observation_BS)
    single_B = made.wanted(batch, there, random())
    made.own = made.own.model_copy(update={"max_target_backup": True})
    best_B = made.wanted(batch, there, random())
    assert best_B.mean() > single_B.mean()
    ends = batch.terminal_B.bool()
    assert ends.sum() == 1
    assert torch.equal(best_B[ends], batch.reward_B[ends])


def test_each_loss_has_a_gradient_in_what_it_moves_alone() -> None:
    made, batch = agent(make_trajectories([9, 14]), gap=2.0)
    parts = {
        "critic": list(made.critic.parameters()),
        "actor": list(made.actor.parameters()),
        "entropy_weight": [made.log_entropy_weight],
        "multiplier": [made.log_multiplier],
        "target": list(made.target.parameters()),
    }
    moved_by = {"error": "critic", "penalty": "critic", "multiplier": "multiplier", "entropy_weight": "entropy_weight"}
    for loss, own in moved_by.items():
        made.zero_grad()
        getattr(made.losses(batch, random()), loss).backward()
        touched = [name for name, part in parts.items() if any(one.grad is not None for one in part if one is not None)]
        assert touched == [own], loss


def test_the_policys_loss_moves_the_policy_alone() -> None:
    made, data = untrained(make_config(settings()), make_trajectories([9, 14]))
    (stage,) = made.stages(data)
    moved = {name: {id(p) for p in stage.parameters(name, made.parameters())} for name in stage.trains}
    assert not moved["critic"] & moved["actor"]
    assert moved["critic"] == {id(parameter) for parameter in made.critic.parameters()}


def test_the_weight_of_entropy_grows_where_the_policy_has_less_than_is_wanted() -> None:
    """At the start it has tanh(N(0, 1/e)): 0.3 nats a dimension."""
    data = make_trajectories([9, 14])

    def growth(entropy: float) -> float:
        made, batch = agent(data, entropy=entropy)
        made.losses(batch, random()).entropy_weight.backward()
        return -made.log_entropy_weight.grad.item()

    assert growth(0.6) > 0 > growth(-1.0)
    action_size = agent(data)[0].sizes.action
    assert growth(-1.0) - growth(-3.0) == pytest.approx(2 * action_size, rel=1e-5)


def test_a_difference_counts_as_no_less_than_its_least() -> None:
    data = make_trajectories([9, 14])
    (free, batch), (cut, _) = agent(data), agent(data, least_difference=1e3)
    assert free.losses(batch, random()).difference < 1e3
    assert cut.losses(batch, random()).difference == 1e3


def test_samples_come_from_the_generator_alone() -> None:
    policy = torch.zeros(3, 2), torch.zeros(3, 2)
    assert torch.equal(draw(policy, 4, random())[0], draw(policy, 4, random())[0])


@pytest.mark.parametrize("changes", [{}, {"gap": 5.0, "max_target_backup": True}])
def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(changes: dict[str, Any], tmp_path: Path) -> None:
    config = make_config(settings(**changes))
    check_resumed_run_is_the_undisturbed_one(config, make_trajectories([9, 14]), tmp_path)


def test_a_saved_policy_plays_the_same(tmp_path: Path) -> None:
    check_saved_policy_plays_the_same(make_config(settings()), make_trajectories([9, 14]), tmp_path)
