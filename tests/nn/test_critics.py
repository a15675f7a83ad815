"""What algorithms that learn values share: two Q functions in one, Gaussian policies, and their losses."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from mage.nn.critics import (
    TanhGaussian,
    TanhMeanGaussian,
    TanhPolicy,
    TwinQ,
    advantage_weight,
    expectile_loss,
    relu_mlp,
    squashed,
)

QUANTILES = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000


def expectile(samples: Tensor, at: float) -> float:
    """Where the loss has its minimum, by halving."""
    low, high = samples.min(), samples.max()
    for _ in range(40):
        middle = ((low + high) / 2).requires_grad_()
        (slope,) = torch.autograd.grad(expectile_loss(samples - middle, at).sum(), middle)
        low, high = (low, middle.detach()) if slope > 0 else (middle.detach(), high)
    return float(low)


@pytest.mark.parametrize(("at", "wanted"), [(0.5, 0.5), (0.7, 0.6044), (0.8, 0.6667), (0.9, 0.75)])
def test_the_loss_is_least_at_the_expectile_of_a_uniform_variable(at: float, wanted: float) -> None:
    assert expectile(QUANTILES, at) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(("at", "wanted"), [(0.5, 0.0), (0.7, 0.3371), (0.8, 0.5492), (0.9, 0.8616)])
def test_the_loss_is_least_at_the_expectile_of_a_normal_variable(at: float, wanted: float) -> None:
    assert expectile(Normal(0.0, 1.0).icdf(QUANTILES), at) == pytest.approx(wanted, abs=2e-3)


def test_the_expectile_of_a_fair_coin_is_its_own_level() -> None:
    assert expectile(torch.tensor([0.0, 1.0], dtype=torch.float64), 0.8) == pytest.approx(0.8, abs=1e-6)


def test_a_weight_is_finite_and_cut_whatever_the_advantage_and_its_precision_and_has_no_gradient() -> None:
    advantage_B = torch.tensor([-1e4, 0.0, 0.5, 1e4], dtype=torch.bfloat16, requires_grad=True)
    weight_B = advantage_weight(advantage_B, beta=3.0)
    torch.testing.assert_close(weight_B, torch.tensor([0.0, 1.0, math.exp(1.5), 100.0]))
    assert not weight_B.requires_grad
    assert torch.equal(advantage_weight(advantage_B, beta=0.0), torch.ones(4))


@pytest.mark.parametrize("start", ["uniform", "orthogonal", "small"])
def test_two_q_functions_in_one_are_two_networks(start: str) -> None:
    torch.manual_seed(0)
    twins = TwinQ(3, 2, 8, 2, weights=start)  # type: ignore[arg-type]
    observation_BS, action_BA = torch.randn(5, 3), torch.randn(5, 2)
    values_2B = twins(observation_BS, action_BA)
    for number in range(2):
        single = relu_mlp(5, 8, 2, 1)
        layers = [layer for layer in single if isinstance(layer, nn.Linear)]
        for layer, weight, bias in zip(layers, twins.weights, twins.biases, strict=True):
            layer.weight.data, layer.bias.data = weight[number].T, bias[number, 0]
        torch.testing.assert_close(values_2B[number], single(torch.cat([observation_BS, action_BA], 1)).squeeze(1))
    assert not torch.allclose(values_2B[0], values_2B[1])


def test_two_normalised_q_functions_in_one_are_two_networks_of_another_activation() -> None:
    torch.manual_seed(0)
    twins = TwinQ(3, 2, 8, 2, activation=nn.functional.mish, layer_norm=True)
    for parameter in (*twins.norm_scales, *twins.norm_shifts):
        nn.init.normal_(parameter)
    observation_BS, action_BA = torch.randn(5, 3), torch.randn(5, 2)
    for number in range(2):
        layers: list[nn.Module] = []
        for weight, bias in zip(twins.weights, twins.biases, strict=True):
            layer, norm = nn.Linear(*weight.shape[1:]), nn.LayerNorm(8)
            layer.weight.data, layer.bias.data = weight[number].T, bias[number, 0]
            layers += [layer, nn.Mish(), norm]
        norms = [layer for layer in layers[:-1] if isinstance(layer, nn.LayerNorm)]
        for norm, scale, shift in zip(norms, twins.norm_scales, twins.norm_shifts, strict=True):
            norm.weight.data, norm.bias.data = scale[number, 0], shift[number, 0]
        single = nn.Sequential(*layers[:-2])
        wanted_B = single(torch.cat([observation_BS, action_BA], 1)).squeeze(1)
        torch.testing.assert_close(twins(observation_BS, action_BA)[number], wanted_B)


def test_small_networks_begin_near_zero_with_biases_of_a_tenth() -> None:
    torch.manual_seed(0)
    observation_BS, action_BA = torch.randn(100, 17), torch.rand(100, 6)
    twins, policy = TwinQ(17, 6, 64, 3, weights="small"), TanhPolicy(17, 6, 64, 3)
    assert all((bias == 0.1).all() for bias in twins.biases[:-1])
    assert twins(observation_BS, action_BA).abs().max() < 0.02
    assert policy(observation_BS).abs().max() < 0.01
    assert all((layer.bias == 0.1).all() for layer in list(policy.mlp)[:-1] if isinstance(layer, nn.Linear))


def test_many_actions_of_an_observation_are_judged_as_each_on_its_own() -> None:
    torch.manual_seed(0)
    twins, observation_BS, action_NBA = TwinQ(3, 2, 8, 2), torch.randn(5, 3), torch.randn(4, 5, 2)
    one_by_one = torch.stack([twins(observation_BS, action_BA) for action_BA in action_NBA], 1)
    torch.testing.assert_close(twins(observation_BS, action_NBA), one_by_one)


def test_orthogonal_q_functions_begin_at_values_of_about_zero() -> None:
    torch.manual_seed(0)
    twins = TwinQ(17, 6, 64, 3, weights="orthogonal")
    assert twins(torch.randn(100, 17), torch.rand(100, 6)).abs().max() < 0.2
    first = twins.weights[0][0]
    torch.testing.assert_close(first @ first.T, 2 * torch.eye(23), atol=1e-4, rtol=0)


def test_a_gaussian_policy_has_the_density_of_a_normal_variable_finite_at_the_bounds() -> None:
    torch.manual_seed(0)
    policy = TanhMeanGaussian(3, 2, 8, 1)
    nn.init.uniform_(policy.log_std_A)
    observation_BS, action_BA = torch.randn(5, 3), torch.tensor([[-1.0, 1.0]]).repeat(5, 1)
    wanted = Independent(Normal(policy(observation_BS), policy.log_std_A.exp()), 1).log_prob(action_BA)
    torch.testing.assert_close(policy.log_density(observation_BS, action_BA), wanted)
    assert wanted.isfinite().all()


def test_a_gaussian_policy_never_gets_sharper_than_its_bound() -> None:
    policy = TanhMeanGaussian(3, 1, 8, 1, log_std_low=-2.0)
    nn.init.constant_(policy.log_std_A, -50.0)
    observation_BS = torch.randn(1, 3)
    density = policy.log_density(observation_BS, policy(observation_BS))
    assert density.item() == pytest.approx(2 - 0.5 * math.log(2 * math.pi))


def test_dropout_is_of_training_alone() -> None:
    policy, observation_BS = TanhMeanGaussian(3, 1, 32, 2, dropout=0.5), torch.ones(1, 3)
    assert not torch.equal(policy(observation_BS), policy(observation_BS))
    policy.eval()
    assert torch.equal(policy(observation_BS), policy(observation_BS))


def test_a_squashed_density_integrates_to_one() -> None:
    noise_N1 = torch.linspace(-8, 8, 20001, dtype=torch.float64)[:, None]
    for mean, log_std in [(0.0, 0.0), (1.5, -1.0), (-0.5, 0.5)]:
        moments = torch.tensor([mean], dtype=torch.float64), torch.tensor([log_std], dtype=torch.float64)
        action_N1, log_density_N = squashed(*moments, noise_N1)
        assert torch.trapezoid(log_density_N.exp(), action_N1[:, 0]).item() == pytest.approx(1, abs=1e-3)


def test_a_squashed_density_is_that_of_torch_and_finite_where_torchs_is_not() -> None:
    torch.manual_seed(0)
    mean_BA, log_std_BA, noise_NBA = torch.randn(5, 2), torch.randn(5, 2) - 1, torch.randn(4, 5, 2)
    action_NBA, log_density_NB = squashed(mean_BA, log_std_BA, noise_NBA)
    base = Independent(Normal(mean_BA, log_std_BA.exp()), 1)
    inside = (action_NBA.abs() < 0.99).all(-1)
    theirs = TransformedDistribution(base, TanhTransform()).log_prob(action_NBA)
    torch.testing.assert_close(log_density_NB[inside], theirs[inside], atol=1e-3, rtol=1e-3)
    far = squashed(torch.tensor([[30.0]]), torch.tensor([[0.0]]), torch.tensor([[1.0]]))
    assert far[0].item() == 1.0
    assert far[1].isfinite()


def test_a_squashed_policy_begins_in_the_middle_with_a_deviation_of_one_over_e() -> None:
    torch.manual_seed(0)
    mean_BA, log_std_BA = TanhGaussian(3, 2, 64, 3)(torch.randn(50, 3))
    assert mean_BA.abs().max() < 0.05
    torch.testing.assert_close(log_std_BA, torch.full_like(log_std_BA, -1.0), atol=0.05, rtol=0)
