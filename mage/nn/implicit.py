"""The losses of implicit Q-learning's values (Kostrikov, Nair, Levine, ICLR 2022), for whatever learns from them.

    L_V = |tau - 1(u < 0)| u^2,    u = min_i Q'_i(s, a) - V(s)
    L_Q = (Q_i(s, a) - r - gamma (1 - terminal) V(s'))^2, the mean over i = 1, 2

Shape suffixes: B batch, S observation size, A action size; 2 the two Q functions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mage.data.transitions import Batch
from mage.nn.average import Average
from mage.nn.critics import TwinQ, expectile_loss


class ImplicitLosses(NamedTuple):
    """Of V and of Q, both of the weights before a step; and u and V(s), (B,) each."""

    value: Tensor
    critic: Tensor
    advantage_B: Tensor
    value_B: Tensor


def implicit_losses(
    value: nn.Module, critic: TwinQ, target: Average, batch: Batch, discount: float, expectile: float
) -> ImplicitLosses:
    """Each loss has a gradient in its own network alone.

    Args:
        value: (B, S) -> (B, 1).
        critic: Q.
        target: Q'.
        batch: transitions.
        discount: gamma.
        expectile: tau.
    """
    value_B = value(batch.observation_BS).squeeze(-1)
    with torch.no_grad():
        next_value_B = value(batch.next_observation_BS).squeeze(-1)
        wanted_B = batch.reward_B + discount * (1 - batch.terminal_B) * next_value_B
        judged_B = target(batch.observation_BS, batch.action_BA).amin(0)
    advantage_B = judged_B - value_B
    value_2B = critic(batch.observation_BS, batch.action_BA)
    return ImplicitLosses(
        value=expectile_loss(advantage_B, expectile).mean(),
        critic=(value_2B - wanted_B).pow(2).mean(),
        advantage_B=advantage_B,
        value_B=value_B,
    )
