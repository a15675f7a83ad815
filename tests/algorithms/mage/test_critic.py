"""The critic's networks: the actor's density, and copies that follow slowly."""

import pytest
import torch
from torch import distributions

from mage.algorithms.mage.critic import Critic
from mage.algorithms.mage.network_config import ValueConfig
from tests.algorithms.mage.builders import random


def critic(action_size: int = 2, **changes: float) -> Critic:
    torch.manual_seed(0)
    return Critic(ValueConfig.model_validate({"hidden_dim": 16, **changes}), 3, action_size)


def test_the_log_density_is_that_of_a_squashed_gaussian() -> None:
    model, observation_BS, noise_BA = critic(), random(20, 3), random(20, 2, seed=1)
    action_BA, log_density_B = model.propose(observation_BS, noise_BA)
    mean_BA, log_std_BA = model.actor(observation_BS).chunk(2, -1)
    normal = distributions.Normal(mean_BA, log_std_BA.exp())
    # with its cache the transform need not invert tanh, which float32 cannot near 1
    squashed = distributions.TransformedDistribution(normal, distributions.TanhTransform(cache_size=1))
    torch.testing.assert_close(action_BA, (mean_BA + log_std_BA.exp() * noise_BA).tanh())
    torch.testing.assert_close(log_density_B, squashed.log_prob(action_BA).sum(-1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_density_of_an_action_integrates_to_one(seed: int) -> None:
    model, noise_B1 = critic(action_size=1), torch.linspace(-8, 8, 4001)[:, None]
    observation_BS = random(1, 3, seed=seed).expand(4001, 3)
    with torch.no_grad():
        action_B1, log_density_B = model.propose(observation_BS, noise_B1)
    area = torch.trapezoid(log_density_B.exp(), action_B1[:, 0])
    torch.testing.assert_close(area, torch.tensor(1.0), atol=2e-3, rtol=0)


def test_an_extreme_action_has_a_finite_density() -> None:
    action_BA, log_density_B = critic().propose(random(5, 3), 1e3 * random(5, 2))
    assert action_BA.abs().max() <= 1
    assert log_density_B.isfinite().all()


def test_the_copies_start_equal_and_follow_at_their_rate() -> None:
    model, inputs = critic(target_rate=0.25), (random(5, 3), random(5, 2))
    assert torch.equal(model.both(*inputs, target=True), model.both(*inputs))
    before = [target.clone() for target in model.targets.parameters()]
    for value in model.values.parameters():
        value.data += 1
    model.follow()
    for old, target in zip(before, model.targets.parameters(), strict=True):
        torch.testing.assert_close(target, old + 0.25)
    assert not any(target.requires_grad for target in model.targets.parameters())


def test_the_smaller_of_two_values_counts() -> None:
    model, inputs = critic(), (random(50, 3), random(50, 2))
    both_2B = model.both(*inputs)
    assert len({*both_2B.argmin(0).tolist()}) == 2
    assert torch.equal(model(*inputs), torch.minimum(both_2B[0], both_2B[1]))
