"""The advantage of n steps of the data over a value of where they began: what is asked for is relative to the state.

    V:  |tau - 1(x < 0)| x^2,    x = sum_{i < m} gamma^i r_{t+i} + gamma^m V'(s_{t+m}) - V(s_t)
    u_t = (sum_{i < m} gamma^i r_{t+i} + gamma^m V(s_{t+m}) - V(s_t)) / deviation, cut at +-clip

V is the expectile tau of returns over n steps, which go on with V' (a copy that follows V) at a time limit, too, and
not after a terminal step (`mage.data.n_step`). As V goes on from one episode's states to another's, u is high where the
steps are good ones for their state, whatever came of their episode later. It is not shifted: 0 is what V expects.

Shape suffixes: N steps of the data, B batch, S observation size, Q quantiles that are kept.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mage.data.condition import ConditionConfig
from mage.data.n_step import NStepReturns
from mage.nn.average import Average
from mage.nn.critics import expectile_loss, relu_mlp

DEFAULT_QUANTILE = 0.95
"""Of the data's advantages, asked for where nothing is said."""

QUANTILES = 1001
ROWS_AT_A_TIME = 8192


class Advantage(nn.Module):
    """V, the copy that follows it, and what is known of the data's advantages once V is learned.

    Args:
        config: of the condition.
        observation_size: S.
    """

    return_mean: Tensor
    return_deviation: Tensor
    deviation: Tensor
    quantiles_Q: Tensor

    def __init__(self, config: ConditionConfig, observation_size: int) -> None:
        super().__init__()
        self.config = config
        self.value = relu_mlp(observation_size, config.hidden_dim, config.hidden_layers, outputs=1)
        self.target = Average(self.value, config.target_rate)
        # V in units of the data's returns: it begins as their mean, however far from 0 that is
        self.register_buffer("return_mean", torch.tensor(0.0))
        self.register_buffer("return_deviation", torch.tensor(1.0))
        self.register_buffer("deviation", torch.tensor(1.0))
        self.register_buffer("quantiles_Q", torch.zeros(QUANTILES))

    def forward(self, observation_BS: Tensor) -> Tensor:
        """V(s) of normalised observations, (B,), in units of the learned reward."""
        return self._in_units(self.value(observation_BS))

    def _in_units(self, value_B1: Tensor) -> Tensor:
        return self.return_mean + self.return_deviation * value_B1.squeeze(-1)

    def begin(self, returns: NStepReturns) -> None:
        """Takes the units of V from the data."""
        mean, deviation = returns.mean_and_deviation()
        self.return_mean.fill_(mean)
        self.return_deviation.fill_(deviation)

    def loss(self, returns: NStepReturns, rows_B: Tensor) -> Tensor:
        """Of V on the steps of those rows, in units of the returns' deviation."""
        ahead, data = returns.take(rows_B), returns.data
        with torch.no_grad():
            next_B = self._in_units(self.target(data.observations(ahead.row_B)))
        above_B = ahead.reward_B + ahead.factor_B * next_B - self(data.observations(rows_B))
        return expectile_loss(above_B / self.return_deviation, self.config.expectile).mean()

    def end(self, returns: NStepReturns) -> None:
        """Takes the deviation of the advantages from the data, and the quantiles that they then have."""
        raw_N = self._advantages(returns)[returns.known]
        self.deviation.fill_(float(raw_N.double().std(correction=0)) or 1.0)
        label_N = self._cut(raw_N).cpu().numpy()
        found_Q = np.quantile(label_N, np.linspace(0, 1, QUANTILES))
        self.quantiles_Q.copy_(torch.from_numpy(found_Q.astype(np.float32)))

    def labels(self, returns: NStepReturns) -> Tensor:
        """u of every step of the data, (N,); 0 where nothing is known of what lies ahead."""
        return self._cut(self._advantages(returns))

    def quantile(self, share: float) -> float:
        """The u that this share of the data's steps have at most."""
        return float(np.interp(share, np.linspace(0, 1, QUANTILES), self.quantiles_Q.cpu().numpy()))

    @torch.no_grad()
    def _advantages(self, returns: NStepReturns) -> Tensor:
        data = returns.data
        chunks = torch.arange(len(data), device=data.device).split(ROWS_AT_A_TIME)
        value_N = torch.cat([self(data.observations(rows)) for rows in chunks])
        found = []
        for rows_B in chunks:
            ahead = returns.take(rows_B)
            found.append(ahead.reward_B + ahead.factor_B * value_N[ahead.row_B] - value_N[rows_B])
        return torch.cat(found)

    def _cut(self, raw_N: Tensor) -> Tensor:
        return (raw_N / self.deviation).clamp(-self.config.clip, self.config.clip)
