"""A conservative critic Q(s, a): which of several candidate actions the data supports and rewards (Table 6, A+CQL)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.algorithms.mage.network_config import ValueConfig
from mage.nn.blocks import MLP


class Critic(nn.Module):
    """Two Q functions (Kumar et al., 2020), each with a slowly moving copy, and the actor that CQL trains beside them.

    The smaller Q counts. The actor never acts: MAGE's candidates do.
    """

    def __init__(self, config: ValueConfig, observation_size: int, action_size: int) -> None:
        super().__init__()

        def network() -> MLP:
            return MLP(observation_size + action_size, config.hidden_dim, config.hidden_layers, 1)

        self.config = config
        self.values = nn.ModuleList([network(), network()])
        self.targets = nn.ModuleList([network(), network()]).requires_grad_(False)
        self.targets.load_state_dict(self.values.state_dict())
        self.actor = MLP(observation_size, config.hidden_dim, config.hidden_layers, 2 * action_size)

    def forward(self, observation_BS: Tensor, action_BA: Tensor) -> Tensor:
        """min_i Q_i(s, a), (B,), in units of the training returns' deviation."""
        return self.both(observation_BS, action_BA).min(0).values

    def both(self, observation_BS: Tensor, action_BA: Tensor, target: bool = False) -> Tensor:
        """Q_1 and Q_2, (2, ..); leading dimensions as those of the inputs."""
        inputs = torch.cat([observation_BS, action_BA], -1)
        return torch.stack([value(inputs).squeeze(-1) for value in (self.targets if target else self.values)])

    def propose(self, observation_BS: Tensor, noise_BA: Tensor) -> tuple[Tensor, Tensor]:
        """An action in [-1, 1] of the actor that the critic is trained with, and its log-density (B,)."""
        mean_BA, log_std_BA = self.actor(observation_BS).chunk(2, -1)
        log_std_BA = log_std_BA.clamp(-5, 2)
        raw_BA = mean_BA + log_std_BA.exp() * noise_BA
        # log of the normal density, less that of the squashing: log(1 - tanh^2) = 2 (log 2 - u - softplus(-2u))
        normal_BA = -0.5 * noise_BA.pow(2) - log_std_BA - 0.5 * math.log(2 * math.pi)
        squash_BA = 2 * (math.log(2) - raw_BA - F.softplus(-2 * raw_BA))
        return raw_BA.tanh(), (normal_BA - squash_BA).sum(-1)

    @torch.no_grad()
    def follow(self) -> None:
        """Moves the copies a little towards the networks."""
        for target, value in zip(self.targets.parameters(), self.values.parameters(), strict=True):
            target.lerp_(value, self.config.target_rate)
