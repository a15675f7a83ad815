"""Diffusion-QL: a chain that clones two modes and climbs to the better one, by a Q that it does not touch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mage.algorithms.diffusion_ql import DiffusionQLearning
from mage.config import make_config
from mage.data.trajectories import Trajectories
from mage.data.transitions import Batch, TransitionSampler
from mage.interface import Seen
from mage.training.trainer import Trainer
from tests.algorithms.runs import check_resumed_run_is_the_undisturbed_one, trained, untrained
from tests.data.builders import make_trajectories


def settings(steps: int = 20, **changes: Any) -> dict[str, Any]:
    """Small and fast: averages and targets that follow many times faster than published."""
    network = {"hidden_dim": 32, "hidden_layers": 2, "target_rate": 0.1, "average_start": 5, "candidates": 6}
    stage = {"steps": steps, "batch_size": 64, "learning_rate": 1e-3, "actor": {"learning_rate": 1e-3}}
    return {
        "algorithm": "diffusion_ql",
        "diffusion_ql": network | changes,
        "training": {"critic": stage, "log_every": 10},
    }


def agent(trajectories: Trajectories, **changes: Any) -> tuple[Any, Batch]:
    """An untrained one, and all transitions of its data."""
    made, data = untrained(make_config(settings(**changes)), trajectories)
    sampler = TransitionSampler(data, made.own.reward, made.own.terminal_at_goal, made.own.normalise_observations)
    return made, sampler.take(torch.arange(len(sampler)))


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def two_modes(number: int = 2000) -> Trajectories:
    """One-step episodes in one state: actions about -0.6 and 0.6, of which the latter pay 1."""
    rng = np.random.default_rng(0)
    right_N = rng.random(number) < 0.5
    action_NA = (np.where(right_N, 0.6, -0.6) + 0.08 * rng.normal(size=number)).astype(np.float32)[:, None]
    ones_N = np.ones(number, bool)
    return make_trajectories(
        [1] * number,
        observations=ones_N[:, None].astype(np.float32),
        actions=action_NA.clip(-1, 1),
        rewards=right_N.astype(np.float32),
        terminations=ones_N,
    )


def acted(made: Any, number: int = 300, values: int = 1) -> torch.Tensor:
    """Actions in one state, an environment each."""
    nothing_B, generators = torch.zeros(number), [random(seed) for seed in range(number)]
    seen = Seen(torch.ones(number, values), nothing_B, nothing_B, torch.zeros(number, 1), 0, generators)
    return made.act(None, seen)[0].squeeze(1)


@pytest.mark.slow
def test_cloning_keeps_both_modes_the_gradient_of_q_moves_to_the_better_one_and_candidates_prefer_it() -> None:
    sizes = {"hidden_dim": 32, "hidden_layers": 3, "average_start": 100, "average_rate": 0.05, "candidates": 1}
    share = {}
    for eta in (0.0, 1.0):
        config = settings(600, **sizes, eta=eta)
        config["training"]["critic"]["batch_size"] = 128
        made = trained(two_modes(), config)
        share[eta] = (acted(made) > 0).float().mean().item()
        made.own = made.own.model_copy(update={"candidates": 50})
        assert (acted(made) > 0).float().mean() >= share[eta]
    assert 0.35 < share[0.0] < 0.65
    assert share[1.0] > 0.9


def test_each_loss_moves_its_own_network_alone() -> None:
    made, data = untrained(make_config(settings()), make_trajectories([9, 14]))
    (stage,) = made.stages(data)
    moved = {name: {id(p) for p in stage.parameters(name, made.parameters())} for name in stage.trains}
    assert moved["critic"] == {id(parameter) for parameter in made.critic.parameters()}
    assert moved["actor"] == {id(parameter) for parameter in made.actor.parameters()}


class Recording(nn.Module):
    """A noise network that keeps what it says at each level."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.said = network, dict[int, torch.Tensor]()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs = self.network(inputs)
        outputs.retain_grad()
        self.said[len(self.said)] = outputs
        return outputs


def test_the_gradient_of_q_goes_through_every_level_of_the_chain() -> None:
    made, batch = agent(make_trajectories([9, 14]))
    made.actor.layers = recording = Recording(made.actor.layers)
    action_BA = made.drawn(made.actor, batch.observation_BS, random())
    made.climbing_loss(made.critic(batch.observation_BS, action_BA), random()).backward()
    assert len(recording.said) == 5
    assert all(said.grad is not None and said.grad.any() for said in recording.said.values())


def test_the_climb_is_of_one_q_in_units_of_the_other_and_the_scale_of_both_is_nothing_to_it() -> None:
    value_2B = torch.tensor([[1.0, 3.0], [-4.0, 2.0]])
    for factor in (1, 100):
        drawn = {
            round(DiffusionQLearning.climbing_loss(factor * value_2B, random(seed)).item(), 4) for seed in range(20)
        }
        assert drawn == {-0.6667, 0.5}  # of means 2 and -1, and mean sizes 2 and 3


@pytest.mark.parametrize("max_backup", [False, True])
def test_a_target_is_the_smaller_of_what_both_q_say_of_the_averaged_policys_action_or_best_of_ten(
    max_backup: bool,
) -> None:
    ends = np.array([True, False])
    made, batch = agent(make_trajectories([5, 7], terminations=ends), max_backup=max_backup)
    with torch.no_grad():
        for parameter in made.actor.parameters():
            parameter.zero_()  # the target is none of the policy's business
    number = 10 if max_backup else 1
    repeated_BS = batch.next_observation_BS.repeat(number, 1)
    action_BA = made.drawn(made.actor_average.module, repeated_BS, random())
    value_2NB = made.target(repeated_BS, action_BA).view(2, number, -1)
    wanted_B = batch.reward_B + 0.99 * (1 - batch.terminal_B) * value_2NB.amax(1).amin(0)
    squares_2B = (made.critic(batch.observation_BS, batch.action_BA) - wanted_B).pow(2)
    torch.testing.assert_close(made.critic_loss(batch, random())[0], squares_2B.mean(1).sum())


def test_the_average_of_the_policy_stands_still_and_then_follows_every_fifth_step() -> None:
    trainer = Trainer(make_trajectories([9, 14]), make_config(settings(average_start=7)), seed=0)
    made: Any = trainer.agent
    start = next(made.actor.parameters()).detach().clone()
    for step in range(1, 11):
        trainer.advance(step)
        average = next(made.actor_average.parameters())
        if step < 10:
            assert torch.equal(average, start), step
    torch.testing.assert_close(average, start.lerp(next(made.actor.parameters()).detach(), 0.005))


def test_a_candidate_is_drawn_by_the_softmax_of_its_value_or_is_the_best() -> None:
    made, _ = agent(make_trajectories([9]))
    made.actor.draw = lambda observation_NS, noise: torch.tensor([[-0.5], [0.5]]).repeat(len(observation_NS) // 2, 1)
    made.target.forward = lambda observation_NS, action_NA: (action_NA.T * np.log(3.0)).expand(2, -1)
    made.own = made.own.model_copy(update={"candidates": 2})
    assert (acted(made, 2000, 3) > 0).float().mean() == pytest.approx(0.75, abs=0.03)
    made.own = made.own.model_copy(update={"choice": "best"})
    assert (acted(made, 2000, 3) > 0).all()


def test_an_action_depends_on_its_own_generator_and_not_on_its_neighbours() -> None:
    made, _ = agent(make_trajectories([9]))
    many, one = acted(made, 5, 3), acted(made, 1, 3)
    torch.testing.assert_close(many[:1], one)
    assert len(set(many.tolist())) == 5


def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(tmp_path: Path) -> None:
    check_resumed_run_is_the_undisturbed_one(make_config(settings()), make_trajectories([9, 14]), tmp_path)
