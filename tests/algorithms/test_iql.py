"""Implicit Q-learning: an expectile of what the data does, policies that copy the better of it, no gradient astray."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mage.algorithms.iql import ImplicitQLearning
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


def settings(steps: int = 20, **changes: Any) -> dict[str, Any]:
    """Small and fast: targets that follow forty times faster, rates thirty times higher than published."""
    network = {"hidden_dim": 32, "target_rate": 0.2, "normalise_observations": False}
    stage = {"steps": steps, "batch_size": 64, "learning_rate": 1e-2, "actor": {"learning_rate": 1e-2}}
    return {"algorithm": "iql", "iql": network | changes, "training": {"critic": stage, "log_every": 10}}


def agent(trajectories: Trajectories, **changes: Any) -> tuple[Any, Batch]:
    """An untrained one, and all transitions of its data."""
    made, data = untrained(make_config(settings(**changes)), trajectories)
    sampler = TransitionSampler(data, made.own.reward, made.own.terminal_at_goal, made.own.normalise_observations)
    return made, sampler.take(torch.arange(len(sampler)))


def bandit(actions: list[float], rewards: list[float], repeats: int = 20) -> Trajectories:
    """Episodes of one step in one and the same state."""
    number = len(actions) * repeats
    return make_trajectories(
        [1] * number,
        observations=np.ones((number, 1), np.float32),
        actions=np.array(actions * repeats, np.float32)[:, None],
        rewards=np.array(rewards * repeats, np.float32),
        terminations=np.ones(number, bool),
    )


def corridor(length: int = 10) -> Batch:
    """All steps of a fair random walk over a corridor, -1 each: a wall at its far end, its end at state 0."""
    state_B, action_B = torch.arange(1, length).repeat(2), torch.tensor([-1, 1]).repeat_interleave(length - 1)
    next_B = (state_B + action_B).clamp_max(length - 1)
    names = torch.eye(length)
    reward_B = -torch.ones(len(state_B))
    return Batch(names[state_B], action_B[:, None].float(), reward_B, names[next_B], (next_B == 0).float())


@pytest.mark.parametrize(("expectile", "wanted"), [(0.5, 0.4), (0.99, 1.0)])
def test_a_value_is_the_mean_or_nearly_the_best_of_what_the_data_does(expectile: float, wanted: float) -> None:
    made = trained(bandit([-0.5, 0.0, 0.5], [0.0, 0.2, 1.0]), settings(150, expectile=expectile))
    assert made.value(torch.ones(1, 1)).item() == pytest.approx(wanted, abs=0.06)


def test_values_in_a_corridor_are_the_fixed_point_of_the_expectile() -> None:
    config: Any = make_config(settings(expectile=0.9, target_rate=0.05))
    torch.manual_seed(0)
    made = ImplicitQLearning(config, Sizes(10, 1), Statistics.from_trajectories(make_trajectories([9])))
    batch = corridor()
    optimiser = torch.optim.Adam([*made.critic.parameters(), *made.value.parameters()], lr=5e-3)
    for _ in range(700):
        losses = made.losses(batch)
        optimiser.zero_grad()
        (losses.value + losses.critic).backward()
        optimiser.step()
        made.target.follow(made.critic)
    values = made.value(torch.eye(10)[1:]).squeeze(1).tolist()
    assert values == sorted(values, reverse=True)
    for state, wanted in [(1, -1.24), (2, -2.47), (3, -3.69), (4, -4.89), (9, -10.53)]:  # of the tabular iteration
        assert values[state - 1] == pytest.approx(wanted, rel=0.15), state


def test_without_weights_the_policy_is_behaviour_cloning() -> None:
    made, batch = agent(make_trajectories([6, 9]), beta=0.0)
    parameters = list(made.actor.parameters())
    ours = torch.autograd.grad(made.losses(batch).actor, parameters)
    cloning = -made.actor.log_density(batch.observation_BS, batch.action_BA).mean()
    for gradient, wanted in zip(ours, torch.autograd.grad(cloning, parameters), strict=True):
        torch.testing.assert_close(gradient, wanted)


def test_the_policy_prefers_the_better_action_and_stays_between_those_of_the_data() -> None:
    made = trained(bandit([-0.4, 0.6], [0.0, 1.0]), settings(150, beta=10.0))
    assert 0.5 < made.actor(torch.ones(1, 1)).item() < 0.62


def test_each_loss_has_a_gradient_in_its_own_network_alone() -> None:
    made, batch = agent(make_trajectories([6, 9]))
    networks = {"value": made.value, "critic": made.critic, "actor": made.actor, "target": made.target}
    for own in ("value", "critic", "actor"):
        made.zero_grad()
        getattr(made.losses(batch), own).backward()
        touched = [name for name, network in networks.items() if any(p.grad is not None for p in network.parameters())]
        assert touched == [own]


def test_a_terminal_state_is_worth_its_reward_and_any_other_what_follows_too() -> None:
    made, _ = agent(make_trajectories([4]), discount=0.5)
    observation_BS, action_BA, reward_B = torch.randn(2, 3), torch.randn(2, 1), torch.tensor([3.0, 3.0])
    next_BS, terminal_B = torch.randn(2, 3), torch.tensor([1.0, 0.0])
    losses = made.losses(Batch(observation_BS, action_BA, reward_B, next_BS, terminal_B))
    wanted_B = torch.stack([reward_B[0], reward_B[1] + 0.5 * made.value(next_BS)[1, 0]])
    torch.testing.assert_close(losses.critic, (made.critic(observation_BS, action_BA) - wanted_B).pow(2).mean())


def test_losses_are_finite_for_advantages_of_ten_thousand() -> None:
    made, batch = agent(make_trajectories([6, 9]))
    for sign in (-1, 1):
        torch.nn.init.constant_(made.value[-1].bias, sign * 1e4)
        losses = made.losses(batch)
        assert torch.stack(losses).isfinite().all()
        assert losses.weight_mean == (0 if sign > 0 else 100)


def test_rewards_and_the_goal_are_those_of_the_settings() -> None:
    data = make_trajectories([4], rewards=np.array([0, 0, 1, 1], np.float32))
    _, batch = agent(data, reward={"shift": -1.0}, terminal_at_goal=True)
    assert batch.reward_B.tolist() == [-1, -1, 0]
    assert batch.terminal_B.tolist() == [0, 0, 1]


def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(tmp_path: Path) -> None:
    config = make_config(settings(dropout=0.2))
    check_resumed_run_is_the_undisturbed_one(config, make_trajectories([9, 14]), tmp_path)


def test_a_saved_policy_plays_the_same(tmp_path: Path) -> None:
    config = make_config(settings(dropout=0.2))
    check_saved_policy_plays_the_same(config, make_trajectories([9, 14]), tmp_path)


def test_an_override_of_the_policys_rate_leaves_the_rest_of_its_optimiser() -> None:
    stage = make_config({"algorithm": "iql"}, ["training.critic.actor.learning_rate=0.1"]).training.critic  # type: ignore[attr-defined]
    assert (stage.actor.decay, stage.actor.weight_decay) == ("cosine_to_zero", 0.0)
