"""What the critic learns: the value of the data's actions, and to doubt all others."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.config import MageConfig
from mage.algorithms.mage.stage_critic import CriticLearning
from mage.config import make_config
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories
from mage.interface import ONE, Optimiser, Sizes
from mage.training.engine import Engine
from tests.data.builders import make_task

DISCOUNT = 0.5


def one_step_episodes(count: int = 400) -> Trajectories:
    """Every episode is one step that pays 1 for an action near 0.5 and 0 for one near -0.5; it ends there."""
    rng = np.random.default_rng(0)
    good = rng.integers(0, 2, count)
    return Trajectories(
        observations=rng.normal(size=(count, 2)).astype(np.float32),
        actions=(good - 0.5 + 0.05 * rng.normal(size=count)).astype(np.float32)[:, None],
        rewards=good.astype(np.float32),
        terminations=np.ones(count, bool),
        episode_starts=np.arange(count + 1),
        task=make_task(discount=DISCOUNT),
    )


def agent(trajectories: Trajectories, steps: int = 200, **changes: Any) -> Mage:
    """MAGE with an untrained critic, which is to be trained for so many steps."""
    stage = {"steps": steps, "batch_size": 64, "learning_rate": 1e-2, "warmup_steps": 0}
    data = {
        "value": {"hidden_dim": 32, "hidden_layers": 1, **changes},
        "training": {"value": stage, "log_every": steps},
    }
    config = make_config(data)
    assert isinstance(config, MageConfig)
    torch.manual_seed(0)
    sizes = Sizes(trajectories.observation_size, trajectories.action_size)
    return Mage(config, sizes, Statistics.from_trajectories(trajectories))


def learning(trajectories: Trajectories, **changes: Any) -> CriticLearning:
    made = agent(trajectories, **changes)
    assert made.critic is not None
    return CriticLearning(made.critic, made.config, Steps(trajectories, made.statistics))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def values(trained: CriticLearning, action: float) -> torch.Tensor:
    observation_BS = trained.data.conditions(torch.arange(50))[:, 1:]
    with torch.no_grad():
        value_B: torch.Tensor = trained.critic(observation_BS, torch.full((50, 1), action))
    return value_B


def train(trajectories: Trajectories, steps: int = 200, **changes: Any) -> CriticLearning:
    made = agent(trajectories, steps, **changes)
    assert made.critic is not None
    trainable = [parameter for parameter in made.parameters() if parameter.requires_grad]
    trained = CriticLearning(made.critic, made.config, Steps(trajectories, made.statistics))
    Engine(trained.stage(), made, trainable, trajectories.steps, made.config.training, 0).train_until(steps)
    return trained


def test_a_critic_prefers_rewarded_actions_and_those_of_the_data() -> None:
    trained = train(one_step_episodes())
    good, bad = values(trained, 0.5), values(trained, -0.5)
    assert (good > bad).all()
    assert (good > values(trained, 0.0)).all()  # between them there are no data


def test_without_conservatism_the_value_of_an_only_step_is_its_reward() -> None:
    trajectories = one_step_episodes()
    trained = train(trajectories, conservatism=0.0)
    unit = float(Statistics.from_trajectories(trajectories).return_to_go_std[0])
    assert float(values(trained, 0.5).mean()) == pytest.approx(1 / unit, abs=0.15)
    assert float(values(trained, -0.5).mean()) == pytest.approx(0, abs=0.15)


def test_the_temporal_difference_is_that_of_the_target_networks_without_a_future_after_a_terminal_state() -> None:
    made = learning(one_step_episodes())
    indices = torch.arange(20)
    steps = made.data.transitions(indices)
    _, info = made.loss(indices, generator())
    with torch.no_grad():
        expected = (made.critic.both(steps.observation_BS, steps.action_BA) - steps.reward_B).pow(2).mean()
    torch.testing.assert_close(info["temporal_difference"], expected)


def test_a_step_that_does_not_end_its_episode_counts_the_discounted_value_of_the_next() -> None:
    trajectories = one_step_episodes(20)
    joined = dataclasses.replace(trajectories, terminations=np.zeros(1, bool), episode_starts=np.array([0, 20]))
    made, indices = learning(joined), torch.arange(19)
    with torch.no_grad():  # an actor without noise, so that a' is known
        last = made.critic.actor.layers[-1]
        assert isinstance(last, torch.nn.Linear)
        last.weight[1].zero_()
        last.bias[1] = -100.0
        for target in made.critic.targets.parameters():
            target.add_(0.1)
        steps = made.data.transitions(indices)
        next_action_BA, _ = made.critic.propose(steps.next_observation_BS, torch.zeros(19, 1))
        future_2B = made.critic.both(steps.next_observation_BS, next_action_BA, target=True)
        target_B = steps.reward_B + DISCOUNT * future_2B.min(0).values
        expected = (made.critic.both(steps.observation_BS, steps.action_BA) - target_B).pow(2).mean()
        _, info = made.loss(indices, generator())
    torch.testing.assert_close(info["temporal_difference"], expected, rtol=1e-2, atol=1e-3)


def test_the_loss_is_the_sum_of_its_terms_and_reaches_all_but_the_copies() -> None:
    made = learning(one_step_episodes())
    loss, info = made.loss(torch.arange(50), generator())
    expected = info["temporal_difference"] + made.config.conservatism * info["conservatism"] + info["actor_loss"]
    torch.testing.assert_close(info["loss"], expected)
    loss.backward()
    taught = [*made.critic.values.parameters(), *made.critic.actor.parameters()]
    assert all(parameter.grad is not None for parameter in taught)
    assert all(parameter.grad is None for parameter in made.critic.targets.parameters())


def test_how_conservative_the_values_are_does_not_teach_the_actor() -> None:
    gradients = []
    for conservatism in (0.0, 5.0):
        made = learning(one_step_episodes(), conservatism=conservatism)
        made.loss(torch.arange(50), generator())[0].backward()
        gradients.append([parameter.grad for parameter in made.critic.actor.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert one is not None
        torch.testing.assert_close(one, other)


def test_judging_the_actor_does_not_teach_the_values_to_praise_it() -> None:
    made, own = learning(one_step_episodes()), learning(one_step_episodes())
    made.loss(torch.arange(50), generator())[0].backward()
    steps = own.data.transitions(torch.arange(50))
    value_2B = own.critic.both(steps.observation_BS, steps.action_BA)
    noise_2BA = torch.randn((2, 50, 1), generator=(noise := generator()))
    with torch.no_grad():
        next_action_BA, _ = own.critic.propose(steps.next_observation_BS, noise_2BA[0])
        future_B = own.critic.both(steps.next_observation_BS, next_action_BA, target=True).min(0).values
        target_B = steps.reward_B + DISCOUNT * (1 - steps.terminal_B) * future_B
        action_BA, _ = own.critic.propose(steps.observation_BS, noise_2BA[1])
        uniform_NBA = 2 * torch.rand((own.config.sampled_actions, 50, 1), generator=noise) - 1
    candidates = [own.critic.both(steps.observation_BS, one_BA) for one_BA in [*uniform_NBA, action_BA]]
    conservatism = (torch.stack(candidates).logsumexp(0) - value_2B).mean()
    ((value_2B - target_B).pow(2).mean() + conservatism).backward()
    for ours, theirs in zip(made.critic.values.parameters(), own.critic.values.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_the_copies_follow_at_every_step_and_stay_while_the_critic_is_looked_at() -> None:
    made = learning(one_step_episodes(), target_rate=0.5)
    for value in made.critic.values.parameters():
        value.data += 1
    before = [target.clone() for target in made.critic.targets.parameters()]
    made.loss(torch.arange(9), generator())
    made.diagnose(torch.arange(9))
    assert all(torch.equal(old, new) for old, new in zip(before, made.critic.targets.parameters(), strict=True))
    parameters = [*made.critic.values.parameters(), *made.critic.actor.parameters()]
    made.step(torch.arange(9), {ONE: Optimiser(parameters, made.run.training.value, 1)}, generator())
    for old, new in zip(before, made.critic.targets.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.5)
