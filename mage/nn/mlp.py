"""Multilayer perceptrons as JAX code has them, and Gaussians whose mean is one.

Shape suffixes: B batch, I inputs, A size of what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

LOG_STD_LOW, LOG_STD_HIGH = -5.0, 2.0
JAX_EPSILON = 1e-6


def tanh_gelu() -> nn.Module:
    """GELU in its tanh form, which is JAX's."""
    return nn.GELU("tanh")


def xavier_mlp(
    inputs: int,
    hidden_dim: int,
    hidden_layers: int,
    outputs: int,
    activation: Callable[[], nn.Module] = tanh_gelu,
    norm: bool = False,
    last_scale: float = 1.0,
) -> nn.Sequential:
    """Linear layers, each hidden one with its activation and then, with `norm`, LayerNorm.

    Weights begin uniform with variance scale / ((inputs + outputs) / 2), the scale of the last layer being `last_scale`
    and of all others 1; biases at 0.
    """
    layers: list[nn.Module] = []
    for _ in range(hidden_layers):
        layers += [nn.Linear(inputs, hidden_dim), activation()]
        layers += [nn.LayerNorm(hidden_dim, eps=JAX_EPSILON)] if norm else []
        inputs = hidden_dim
    layers.append(nn.Linear(inputs, outputs))
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for layer in linear:
        nn.init.xavier_uniform_(layer.weight, math.sqrt(last_scale) if layer is linear[-1] else 1.0)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


class Gaussian(nn.Module):
    """N(MLP(x), std^2), neither squashed nor cut; std is 1, or one learned number a dimension, whatever the input.

    Args:
        mean: (B, I) -> (B, A).
        outputs: A.
        learned_std: or 1.
    """

    def __init__(self, mean: nn.Module, outputs: int, learned_std: bool = False) -> None:
        super().__init__()
        self.mean = mean
        self.log_std_A = nn.Parameter(torch.zeros(outputs)) if learned_std else None

    def forward(self, input_BI: Tensor) -> Tensor:
        """The mean, (B, A)."""
        mean_BA: Tensor = self.mean(input_BI)
        return mean_BA

    def log_density(self, input_BI: Tensor, drawn_BA: Tensor) -> Tensor:
        """log p(drawn | input), summed over the dimensions, (B,)."""
        distance_BA = drawn_BA - self(input_BI)
        if self.log_std_A is None:
            return (-0.5 * distance_BA.pow(2) - 0.5 * math.log(2 * math.pi)).sum(-1)
        log_std_A = self.log_std_A.clamp(LOG_STD_LOW, LOG_STD_HIGH)
        return (-0.5 * (distance_BA * torch.exp(-log_std_A)).pow(2) - log_std_A - 0.5 * math.log(2 * math.pi)).sum(-1)
