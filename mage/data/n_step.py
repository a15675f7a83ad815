"""Returns over n steps, which go on with a value where they end: at a time limit too, never after a terminal step.

    R^n_t = sum_{i < m} gamma^i r_{t+i} + gamma^m V(s_{t+m}),    m = n, or what is left of the episode

Where the last step before a time limit has led is not in the data, so an episode that was cut goes on with the value
of its last recorded state, m steps away, and from that state itself nothing is known (m = 0).

Shape suffixes: N steps of the data, B batch, n steps of a return.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mage.data.steps import Steps
from mage.data.trajectories import returns_to_go
from mage.data.transitions import RewardConfig, learned_rewards, terminal_steps
from mage.errors import MageError


class Ahead(NamedTuple):
    """The next m steps of some rows: their discounted rewards, what the value after them counts (gamma^m, or 0 after a
    terminal step), and the row that it is the value of. (B,) each.
    """

    reward_B: Tensor
    factor_B: Tensor
    row_B: Tensor


class NStepReturns:
    """What lies ahead of every step of a dataset, in units of the learned reward.

    Args:
        data: its steps, with their discount.
        horizon: n.
        reward: what is learned of the rewards.
        terminal_at_goal: a step that brings the reward 1 is terminal, even where the recording went on.

    Attributes:
        known: the rows of which anything is known that lies ahead.

    Raises:
        MageError: it is known of none.
    """

    def __init__(
        self, data: Steps, horizon: int, reward: RewardConfig | None = None, terminal_at_goal: bool = False
    ) -> None:
        self.data, self.horizon = data, horizon
        self._reward_N = learned_rewards(data, reward or RewardConfig())
        self._terminal_N = terminal_steps(data, terminal_at_goal).long()
        rows_N = torch.arange(len(data), device=data.device)
        stops_N = (self._terminal_N > 0) | (rows_N == data.last_rows(rows_N))
        # the first stop at or after each row
        self._stop_N = torch.where(stops_N, rows_N, len(data)).flip(0).cummin(0).values.flip(0)
        self.known = rows_N[(self._stop_N > rows_N) | (self._terminal_N > 0)]
        if not len(self.known):
            raise MageError("every episode of this data is one step before a time limit: no value can be learned of it")

    def take(self, rows_B: Tensor) -> Ahead:
        """What lies ahead of those rows."""
        stop_B, gamma = self._stop_N[rows_B], self.data.discount
        steps_B = (stop_B - rows_B + self._terminal_N[stop_B]).clamp_max(self.horizon)
        step_n = torch.arange(self.horizon, device=rows_B.device)
        paid_Bn = self._reward_N[(rows_B[:, None] + step_n).clamp_max(len(self.data) - 1)]
        counts_Bn = (step_n < steps_B[:, None]) * torch.pow(gamma, step_n.float())
        end_B = rows_B + steps_B
        goes_on_B = end_B <= stop_B
        return Ahead(
            reward_B=(paid_Bn * counts_Bn).sum(1),
            factor_B=goes_on_B * torch.pow(gamma, steps_B.float()),
            row_B=torch.minimum(end_B, stop_B),
        )

    def mean_and_deviation(self) -> tuple[float, float]:
        """Of the returns up to the recorded ends, as a measure of what values may be; a deviation of 0 is 1."""
        is_first_N = (self.data.timesteps(torch.arange(len(self.data), device=self.data.device)) == 0).cpu().numpy()
        starts = np.append(np.flatnonzero(is_first_N), len(self.data))
        returns = returns_to_go(self._reward_N.cpu().numpy(), starts, self.data.discount).astype(np.float64)
        return float(returns.mean()), float(returns.std()) or 1.0
