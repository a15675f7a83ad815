"""Values of states and goals, learned without actions by hierarchical implicit Q-learning (Park et al., NeurIPS 2023).

Shape suffixes: B batch, S state size, G size of a goal or of what represents it; 2 the two heads.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mage.nn.mlp import tanh_gelu, xavier_mlp


class GoalValues(nn.Module):
    """V_1 and V_2 of states and goals."""

    def __init__(
        self,
        state: int,
        goal: int,
        hidden_dim: int,
        hidden_layers: int,
        activation: Callable[[], nn.Module] = tanh_gelu,
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            xavier_mlp(state + goal, hidden_dim, hidden_layers, 1, activation, norm=True) for _ in range(2)
        )

    def forward(self, state_BS: Tensor, goal_BG: Tensor) -> Tensor:
        """(2, ..), of (.., S) and (.., G)."""
        inputs = torch.cat([state_BS, goal_BG], -1)
        return torch.stack([head(inputs).squeeze(-1) for head in self.heads])


def goal_value_loss(
    value_2B: Tensor, now_2B: Tensor, next_2B: Tensor, goes_on_B: Tensor, discount: float, expectile: float
) -> Tensor:
    """sum_j mean |tau - 1(adv < 0)| (q_j - V_j)^2, with q_j = r + gamma m V'_j(n), adv = r + gamma m min_j V'_j(n) -
    mean_j V'_j, and r = -1, m = 1 but at the goal, where both are 0.

    Args:
        value_2B: V_j of the states; it alone has a gradient.
        now_2B: V'_j of the states.
        next_2B: V'_j of the next states n.
        goes_on_B: m.
        discount: gamma.
        expectile: tau.
    """
    with torch.no_grad():
        reward_B, kept_B = -goes_on_B, discount * goes_on_B
        advantage_B = reward_B + kept_B * next_2B.amin(0) - now_2B.mean(0)
        side_B = torch.where(advantage_B < 0, 1 - expectile, expectile)
        wanted_2B = reward_B + kept_B * next_2B
    return (side_B * (wanted_2B - value_2B).pow(2)).mean(1).sum()
