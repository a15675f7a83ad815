"""Rewards, and the values that follow them, as models of trajectories learn them (Janner et al., 2021).

V_t = r_{t+1} + gamma r_{t+2} + .. up to the end of the recorded episode, without r_t: what a step is worth is then
r_t + gamma V_t. Nothing is bootstrapped where a recording was cut, and V of the last step is 0.

Shape suffix: N steps.
"""

from __future__ import annotations

import numpy as np
import torch

from mage.data.steps import Steps
from mage.data.trajectories import returns_to_go


def rewards_and_next_values(
    data: Steps, discount: float, terminal_reward: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """r_t and V_t, (N,) each, in the environment's units.

    Args:
        data: the steps.
        discount: gamma.
        terminal_reward: in place of what a step that ends in a terminal state has brought; None: as recorded.
    """
    row_N = torch.arange(len(data), device=data.device)
    reward_N = data.rewards(row_N).cpu().numpy().copy()
    if terminal_reward is not None:
        reward_N[data.is_terminal(row_N).cpu().numpy() > 0] = terminal_reward
    is_first_N = (data.timesteps(row_N) == 0).cpu().numpy()
    return_N = returns_to_go(reward_N, np.append(np.flatnonzero(is_first_N), len(data)), discount)
    follows_N = np.append(~is_first_N[1:], False)
    return reward_N, np.where(follows_N, np.append(return_N[1:], 0), 0).astype(np.float32)
