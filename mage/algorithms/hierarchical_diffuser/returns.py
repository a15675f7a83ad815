"""What the values of plans learn: what is paid from the start of a plan to the end of its episode.

Shape suffixes: N steps of the data, B batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mage.algorithms.hierarchical_diffuser.config import PlanValuesConfig
from mage.data.steps import Steps
from mage.data.transitions import GOAL_REWARD


class Returns:
    """Discounted returns of the rest of episodes, in their own units or in deviations of the data's.

    Args:
        data: its steps.
        own: what else is counted.
        mean: of the data's returns.
        deviation: of the data's returns.
    """

    def __init__(self, data: Steps, own: PlanValuesConfig, mean: Tensor, deviation: Tensor) -> None:
        self.data, self.own, self.mean, self.deviation = data, own, mean, deviation
        rows_N = torch.arange(len(data), device=data.device)
        arrived_N = (data.rewards(rows_N) >= GOAL_REWARD).long()
        so_far_N = arrived_N.cumsum(0)
        first_N = rows_N - data.timesteps(rows_N)
        self.failed_N = so_far_N[data.last_rows(rows_N)] == so_far_N[first_N] - arrived_N[first_N]

    def __call__(self, rows_B: Tensor) -> Tensor:
        """Of the episodes of those rows from there on, (B,)."""
        own, last_B, discount = self.own, self.data.last_rows(rows_B), self.data.discount
        left_B = last_B - rows_B
        steps_B = left_B + 1.0 if discount == 1 else (1 - discount ** (left_B + 1.0)) / (1 - discount)
        penalty_B = (
            own.termination_penalty * self.data.is_terminal(last_B) + own.failure_penalty * self.failed_N[rows_B]
        )
        paid_B = self.data.conditions(rows_B)[:, 0] * self.deviation + self.mean
        return_B = paid_B + own.reward_shift * steps_B - penalty_B * discount**left_B
        return (return_B - self.mean) / self.deviation if own.in_deviations else return_B
