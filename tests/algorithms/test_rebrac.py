"""ReBRAC: two penalties of their own, a policy and targets that move every second step, no gradient astray."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mage.config import make_config
from mage.data.trajectories import Trajectories
from mage.data.transitions import Batch, TransitionSampler
from mage.training.trainer import Trainer
from tests.algorithms.runs import (
    check_resumed_run_is_the_undisturbed_one,
    check_saved_policy_plays_the_same,
    trained,
    untrained,
)
from tests.data.builders import make_trajectories


def settings(steps: int = 21, **changes: Any) -> dict[str, Any]:
    """Small and fast: targets that follow forty times faster, rates thirty times higher than published."""
    network = {"hidden_dim": 32, "hidden_layers": 2, "target_rate": 0.2}
    stage = {"steps": steps, "batch_size": 64, "learning_rate": 1e-2, "actor": {"learning_rate": 1e-2}}
    return {"algorithm": "rebrac", "rebrac": network | changes, "training": {"critic": stage, "log_every": 7}}


def agent(trajectories: Trajectories, **changes: Any) -> tuple[Any, Batch, torch.Tensor]:
    """An untrained one, all transitions of its data, and the actions after them."""
    made, data = untrained(make_config(settings(**changes)), trajectories)
    sampler = TransitionSampler(data, made.own.reward, made.own.terminal_at_goal, made.own.normalise_observations)
    everything = torch.arange(len(sampler))
    return made, sampler.take(everything), sampler.next_actions(everything)


def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def bandit() -> Trajectories:
    """One-step episodes in one state: all actions are as good as they are high."""
    action_NA = np.linspace(-0.5, 0.5, 200, dtype=np.float32)[:, None]
    ones_N = np.ones(200, bool)
    observations = ones_N[:, None].astype(np.float32)
    return make_trajectories(
        [1] * 200, observations=observations, actions=action_NA, rewards=1 + action_NA[:, 0], terminations=ones_N
    )


@pytest.mark.parametrize(("penalty", "low", "high"), [(0.01, 0.4, 1.0), (100.0, -0.1, 0.1)])
def test_the_policys_penalty_holds_it_between_the_best_action_and_the_mean_of_the_data(
    penalty: float, low: float, high: float
) -> None:
    made = trained(bandit(), settings(200, actor_penalty=penalty))
    assert low < made.actor(torch.ones(1, 1)).item() < high


@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_a_target_is_lowered_by_how_far_its_action_is_from_the_next_one_of_the_data(penalty: float) -> None:
    ends = np.array([True, False])
    made, batch, next_action_BA = agent(make_trajectories([5, 7], terminations=ends), critic_penalty=penalty, noise=0.0)
    action_BA = made.actor_target(batch.next_observation_BS)
    value_B = made.target(batch.next_observation_BS, action_BA).amin(0)
    future_B = value_B - penalty * (action_BA - next_action_BA).pow(2).sum(1)
    wanted_B = batch.reward_B + 0.99 * torch.where(batch.terminal_B > 0, 0.0, future_B)
    assert batch.terminal_B.sum() == 1
    squares_2B = (made.critic(batch.observation_BS, batch.action_BA) - wanted_B).pow(2)
    torch.testing.assert_close(made.critic_loss(batch, next_action_BA, random())[0], squares_2B.mean(1).sum())


def test_the_noise_of_a_targets_action_is_cut_and_the_action_stays_within_the_bounds() -> None:
    made, *_ = agent(make_trajectories([5]), noise=0.2, largest_noise=0.3)
    noise_NA = made.smoothed(torch.zeros(5000, 1), random())
    assert noise_NA.abs().max() == pytest.approx(0.3)
    assert 0.1 < noise_NA.std() < 0.2
    assert made.smoothed(torch.ones(5000, 1), random()).max() == 1


def test_the_scale_of_q_is_nothing_to_the_policy() -> None:
    made, batch, _ = agent(make_trajectories([6, 9]))
    gradients = []
    for factor in (1.0, 50.0):
        with torch.no_grad():
            made.critic.weights[-1].mul_(factor)
            made.critic.biases[-1].mul_(factor)
        gradients.append(torch.autograd.grad(made.actor_loss(batch)[0], list(made.actor.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_each_loss_moves_its_own_network_alone() -> None:
    made, data = untrained(make_config(settings()), make_trajectories([9, 14]))
    (stage,) = made.stages(data)
    moved = {name: {id(p) for p in stage.parameters(name, made.parameters())} for name in stage.trains}
    assert moved["critic"] == {id(parameter) for parameter in made.critic.parameters()}
    assert moved["actor"] == {id(parameter) for parameter in made.actor.parameters()}
    _, batch, next_action_BA = agent(make_trajectories([9, 14]))
    made.critic_loss(batch, next_action_BA, random())[0].backward()
    assert all(parameter.grad is None for parameter in made.actor.parameters())


def test_policy_and_targets_move_at_every_second_step_of_the_critics() -> None:
    trainer = Trainer(make_trajectories([9, 14]), make_config(settings()), seed=0)
    made: Any = trainer.agent
    parts = {"critic": made.critic, "actor": made.actor, "target": made.target, "actor_target": made.actor_target}

    def weights() -> dict[str, torch.Tensor]:
        return {name: next(part.parameters()).detach().clone() for name, part in parts.items()}

    moves, before = [], weights()
    for step in range(1, 5):
        trainer.advance(step)
        after = weights()
        moves.append({name for name in parts if not torch.equal(before[name], after[name])})
        before = after
    assert moves == [{"critic"}, set(parts), {"critic"}, set(parts)]


def test_layer_norm_bounds_what_q_says_of_actions_far_from_the_data() -> None:
    """By the size of its last layer's weights, whatever the input (section 3.2 of the paper)."""
    far_BS, action_BA = torch.full((1, 3), 1e6), torch.ones(1, 1)
    normed, *_ = agent(make_trajectories([9]))
    plain, *_ = agent(make_trajectories([9]), layer_norm=False)
    assert normed.critic(far_BS, action_BA).abs().max() < 1
    assert plain.critic(far_BS, action_BA).abs().max() > 100


def test_a_run_that_was_stopped_at_an_odd_step_goes_on_as_if_it_was_not(tmp_path: Path) -> None:
    for steps in (14, 15):  # stopped after 7 of each
        config = make_config(settings(steps))
        check_resumed_run_is_the_undisturbed_one(config, make_trajectories([9, 14]), tmp_path / str(steps))


def test_a_saved_policy_plays_the_same(tmp_path: Path) -> None:
    check_saved_policy_plays_the_same(make_config(settings()), make_trajectories([9, 14]), tmp_path)
