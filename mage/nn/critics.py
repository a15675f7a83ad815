"""What algorithms that learn values share: two Q functions in one, Gaussian policies, and their losses.

Shape suffixes: B batch, N actions of one observation, S observation size, A action size; 2 the two Q functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOG_STD_HIGH = 2.0
LAST_LAYER_GAIN = 1e-2
LARGEST_WEIGHT = 100.0
SMALL_BIAS, SMALL_VALUE, SMALL_ACTION = 0.1, 3e-3, 1e-3


def relu_mlp(inputs: int, hidden_dim: int, hidden_layers: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    """A multilayer perceptron with ReLU, and dropout where there is any, after its hidden layers."""
    layers: list[nn.Module] = []
    for _ in range(hidden_layers):
        layers += [nn.Linear(inputs, hidden_dim), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
        inputs = hidden_dim
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class TwinQ(nn.Module):
    """Two Q functions of one shape, MLPs with ReLU, as one batched product a layer: half the kernels of two networks.

    Args:
        observation_size: S.
        action_size: A.
        hidden_dim: width.
        hidden_layers: how many.
        weights: how they begin: `uniform` as PyTorch's linear layers; `orthogonal` with gain sqrt 2, a last layer of
            gain 0.01 and no bias, so that all values are about 0; `small` as `uniform` with biases of 0.1 and a last
            layer within 0.003 of 0.
        activation: of the hidden layers.
        layer_norm: after the activation.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_dim: int,
        hidden_layers: int,
        weights: Literal["uniform", "orthogonal", "small"] = "uniform",
        activation: Callable[[Tensor], Tensor] = F.relu,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.activation, normed = activation, hidden_layers if layer_norm else 0
        sizes = [observation_size + action_size, *[hidden_dim] * hidden_layers, 1]
        shapes = list(pairwise(sizes))
        self.weights = nn.ParameterList([torch.empty(2, inputs, outputs) for inputs, outputs in shapes])
        self.biases = nn.ParameterList([torch.zeros(2, 1, outputs) for _, outputs in shapes])
        self.norm_scales = nn.ParameterList([torch.ones(2, 1, hidden_dim) for _ in range(normed)])
        self.norm_shifts = nn.ParameterList([torch.zeros(2, 1, hidden_dim) for _ in range(normed)])
        with torch.no_grad():
            for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
                bound = 1 / math.sqrt(weight.shape[1])
                last = number == hidden_layers
                if weights == "orthogonal":
                    for one in weight:
                        nn.init.orthogonal_(one, LAST_LAYER_GAIN if last else math.sqrt(2))
                    continue
                if weights == "small" and last:
                    bound = SMALL_VALUE
                weight.uniform_(-bound, bound)
                bias.uniform_(-bound, bound)
                if weights == "small" and not last:
                    bias.fill_(SMALL_BIAS)

    def forward(self, observation_BS: Tensor, action_BA: Tensor) -> Tensor:
        """Q_1 and Q_2, (2, ..). The observations may lack leading dimensions of the actions: then they are repeated."""
        observation_BS = observation_BS.expand(*action_BA.shape[:-1], -1)
        inputs = torch.cat([observation_BS, action_BA], -1)
        hidden = inputs.reshape(1, -1, inputs.shape[-1]).expand(2, -1, -1)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, self._activated(hidden, number - 1) if number else hidden, weight)
        return hidden.view(2, *action_BA.shape[:-1])

    def _activated(self, hidden_2BD: Tensor, layer: int) -> Tensor:
        """What a hidden layer gives on, (2, B, D)."""
        hidden_2BD = self.activation(hidden_2BD)
        if not len(self.norm_scales):
            return hidden_2BD
        normed_2BD = F.layer_norm(hidden_2BD, hidden_2BD.shape[-1:])
        return torch.addcmul(self.norm_shifts[layer], normed_2BD, self.norm_scales[layer])


class TanhPolicy(nn.Module):
    """tanh(MLP(s)), deterministic; begins near 0, with biases of 0.1 (as EDAC does, arXiv 2110.01548)."""

    def __init__(self, observation_size: int, action_size: int, hidden_dim: int, hidden_layers: int) -> None:
        super().__init__()
        self.mlp = relu_mlp(observation_size, hidden_dim, hidden_layers, action_size)
        *hidden, last = (layer for layer in self.mlp if isinstance(layer, nn.Linear))
        for layer in hidden:
            nn.init.constant_(layer.bias, SMALL_BIAS)
        for parameter in last.parameters():
            nn.init.uniform_(parameter, -SMALL_ACTION, SMALL_ACTION)

    def forward(self, observation_BS: Tensor) -> Tensor:
        """The action, (B, A), in [-1, 1]."""
        return torch.tanh(self.mlp(observation_BS))


class TanhMeanGaussian(nn.Module):
    """N(tanh(MLP(s)), exp(log_std)), with one learned deviation an action dimension, whatever the observation.

    Not squashed: an action at its bound, which data is full of, has a finite density.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_dim: int,
        hidden_layers: int,
        dropout: float = 0.0,
        log_std_low: float = -5.0,
    ) -> None:
        super().__init__()
        self.mlp = relu_mlp(observation_size, hidden_dim, hidden_layers, action_size, dropout)
        self.log_std_A = nn.Parameter(torch.zeros(action_size))
        self.log_std_low = log_std_low

    def forward(self, observation_BS: Tensor) -> Tensor:
        """The mean action, (B, A), in [-1, 1]."""
        return torch.tanh(self.mlp(observation_BS))

    def log_density(self, observation_BS: Tensor, action_BA: Tensor) -> Tensor:
        """log pi(a | s), summed over the dimensions, (B,)."""
        log_std_A = self.log_std_A.clamp(self.log_std_low, LOG_STD_HIGH)
        distance_BA = (action_BA - self(observation_BS)) * torch.exp(-log_std_A)
        return (-0.5 * distance_BA.pow(2) - log_std_A - 0.5 * math.log(2 * math.pi)).sum(-1)


class TanhGaussian(nn.Module):
    """tanh(N(mean(s), std(s))); log std = scale * MLP(s) + offset, with scale and offset learned.

    It begins near tanh(N(0, 1/e)) wherever it is: its last layer is small.
    """

    def __init__(self, observation_size: int, action_size: int, hidden_dim: int, hidden_layers: int) -> None:
        super().__init__()
        self.mlp = relu_mlp(observation_size, hidden_dim, hidden_layers, 2 * action_size)
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        nn.init.xavier_uniform_(last.weight, LAST_LAYER_GAIN)
        nn.init.zeros_(last.bias)
        self.log_std_scale = nn.Parameter(torch.tensor(1.0))
        self.log_std_offset = nn.Parameter(torch.tensor(-1.0))

    def forward(self, observation_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log of the deviation, before the squashing, (B, A) each."""
        mean_BA, raw_BA = self.mlp(observation_BS).chunk(2, -1)
        return mean_BA, (self.log_std_scale * raw_BA + self.log_std_offset).clamp(-20, LOG_STD_HIGH)


def squashed(mean_BA: Tensor, log_std_BA: Tensor, noise_BA: Tensor) -> tuple[Tensor, Tensor]:
    """The action tanh(mean + std * noise), and its log-density (..); the noise may have leading dimensions more."""
    raw_BA = mean_BA + log_std_BA.exp() * noise_BA
    normal_BA = -0.5 * noise_BA.pow(2) - log_std_BA - 0.5 * math.log(2 * math.pi)
    # log(1 - tanh(u)^2), where 1 - tanh(u)^2 itself would round to 0
    shrunk_BA = 2 * (math.log(2) - raw_BA - F.softplus(-2 * raw_BA))
    return raw_BA.tanh(), (normal_BA - shrunk_BA).sum(-1)


def expectile_loss(difference_B: Tensor, expectile: float) -> Tensor:
    """|expectile - 1(u < 0)| u^2, (B,): with 0.5 half the square, towards 1 only what lies above counts."""
    return torch.where(difference_B < 0, 1 - expectile, expectile) * difference_B.pow(2)


@torch.no_grad()
def advantage_weight(advantage_B: Tensor, beta: float, largest: float = LARGEST_WEIGHT) -> Tensor:
    """min(exp(beta advantage), largest), (B,), without gradient; in single precision, where inf is cut, too."""
    return (beta * advantage_B.float()).exp().clamp(max=largest)
