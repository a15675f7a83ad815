"""Multilayer perceptrons as JAX code has them, and Gaussians around them."""

import math

import pytest
import torch
from torch import nn

from mage.nn.mlp import Gaussian, xavier_mlp


def test_a_hidden_layer_is_normalised_after_its_activation() -> None:
    kinds = [type(layer) for layer in xavier_mlp(3, 8, 2, 1, norm=True)]
    assert kinds == [nn.Linear, nn.GELU, nn.LayerNorm, nn.Linear, nn.GELU, nn.LayerNorm, nn.Linear]
    assert [type(layer) for layer in xavier_mlp(3, 8, 1, 1, nn.ReLU)] == [nn.Linear, nn.ReLU, nn.Linear]


def test_weights_begin_with_the_variance_of_their_layer_and_biases_at_0() -> None:
    torch.manual_seed(0)
    first, _, last = xavier_mlp(200, 400, 1, 300, last_scale=1e-2)
    for layer, scale in ((first, 1.0), (last, 1e-2)):
        assert isinstance(layer, nn.Linear)
        wanted = scale / ((layer.in_features + layer.out_features) / 2)
        assert float(layer.weight.detach().var()) == pytest.approx(wanted, rel=0.03)
        assert not layer.bias.any()


@pytest.mark.parametrize("learned", [False, True])
def test_a_log_density_is_that_of_a_normal_distribution(learned: bool) -> None:
    gaussian = Gaussian(nn.Linear(3, 2), 2, learned)
    std_A = torch.ones(2)
    if gaussian.log_std_A is not None:
        gaussian.log_std_A.data = torch.tensor([-1.0, 5.0])  # the second is cut to 2
        std_A = torch.tensor([math.exp(-1), math.exp(2)])
    input_BI, drawn_BA = torch.randn(5, 3), torch.randn(5, 2)
    wanted_B = torch.distributions.Normal(gaussian(input_BI), std_A).log_prob(drawn_BA).sum(-1)
    torch.testing.assert_close(gaussian.log_density(input_BI, drawn_BA), wanted_B)


def test_a_fixed_deviation_makes_the_loss_half_the_squared_distance() -> None:
    gaussian = Gaussian(nn.Linear(3, 2), 2)
    input_BI, drawn_BA = torch.randn(5, 3), torch.randn(5, 2)
    half_B = 0.5 * (drawn_BA - gaussian(input_BI)).pow(2).sum(-1)
    torch.testing.assert_close(
        -gaussian.log_density(input_BI, drawn_BA) - half_B, torch.full((5,), math.log(2 * math.pi))
    )
