"""Trajectory windows tau = ((R_0, s_0) ... (R_{H-1}, s_{H-1})) (paper: section 3.1), one starting at every timestep.

What a step holds is a choice (Table 6): the paper's (R, s), or s, a, (R, s, a).

Shape suffixes: N steps over all episodes, B batch, H horizon, S observation size, A action size, X values of a modelled
step, Y = 1 + S values of a condition (R, s).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mage.data.trajectories import Statistics, Trajectories, returns_to_go
from mage.errors import MageError


class Batch(NamedTuple):
    """A batch of windows; condition_BY is (R_0, s_0) and action_BA the action taken at each window's first step."""

    trajectory_BHX: Tensor
    mask_BH: Tensor
    condition_BY: Tensor
    action_BA: Tensor


class Transitions(NamedTuple):
    """A batch of steps (s, a, r, s', terminal), for the critic. `reward_B` is in units of the returns' deviation."""

    observation_BS: Tensor
    action_BA: Tensor
    reward_B: Tensor
    next_observation_BS: Tensor
    terminal_B: Tensor


class Windows:
    """All windows of a dataset, normalised and kept on the device; a batch is index arithmetic.

    A window never crosses into the next episode: past the end its episode's last row repeats with mask 0.
    """

    def __init__(
        self,
        trajectories: Trajectories,
        statistics: Statistics,
        horizon: int,
        device: torch.device | str = "cpu",
        sequence: str = "return_state",
    ) -> None:
        if horizon < 1:
            raise MageError(f"The horizon of a window is {horizon}; it has to be at least 1.")
        starts = trajectories.episode_starts
        returns = returns_to_go(trajectories.rewards, starts, trajectories.task.discount)
        lengths = np.diff(starts)
        self.horizon, self.sequence = horizon, sequence
        self.conditions_NY = torch.from_numpy(statistics.normalise(returns, trajectories.observations)).to(device)
        self.actions_NA = torch.tensor(trajectories.actions, device=device)
        self.rewards_N = torch.tensor(trajectories.rewards / statistics.return_to_go_std[0], device=device)
        self.last_row_N = torch.from_numpy(np.repeat(starts[1:] - 1, lengths)).to(device)
        self.timestep_N = torch.arange(len(returns), device=device) - torch.from_numpy(
            np.repeat(starts[:-1], lengths)
        ).to(device)
        self.terminal_N = torch.from_numpy(np.repeat(trajectories.terminations, lengths)).to(device)
        low, high = returns.min(), returns.max()
        self.weight_N = torch.from_numpy((returns - low) / max(high - low, 1e-6)).to(device)
        self._offsets_H = torch.arange(horizon, device=device)

    def __len__(self) -> int:
        return len(self.conditions_NY)

    @property
    def device(self) -> torch.device:
        """Where the data lies."""
        return self.conditions_NY.device

    def rows(self, indices_B: Tensor) -> tuple[Tensor, Tensor]:
        """The rows (B, H) of the windows that start at those rows, and their mask: 0 past the end of the episode."""
        last_B1 = self.last_row_N[indices_B][:, None]
        wanted_BH = indices_B[:, None] + self._offsets_H
        return torch.minimum(wanted_BH, last_B1), (wanted_BH <= last_B1).to(self.conditions_NY.dtype)

    def take(self, indices_B: Tensor) -> Batch:
        """The windows that start at those rows, each in 0..N-1."""
        rows_BH, mask_BH = self.rows(indices_B)
        conditions_BHY = self.conditions_NY[rows_BH]
        parts = {
            "return": conditions_BHY[..., :1],
            "state": conditions_BHY[..., 1:],
            "action": self.actions_NA[rows_BH],
        }
        return Batch(
            trajectory_BHX=torch.cat([parts[name] for name in self.sequence.split("_")], -1),
            mask_BH=mask_BH,
            condition_BY=conditions_BHY[:, 0],
            action_BA=self.actions_NA[indices_B],
        )

    def transitions(self, indices_B: Tensor) -> Transitions:
        """The steps at those rows. The last step before a time limit leads, for want of better, to its own state."""
        last_B = self.last_row_N[indices_B]
        return Transitions(
            observation_BS=self.conditions_NY[indices_B, 1:],
            action_BA=self.actions_NA[indices_B],
            reward_B=self.rewards_N[indices_B],
            next_observation_BS=self.conditions_NY[torch.minimum(indices_B + 1, last_B), 1:],
            terminal_B=(self.terminal_N[indices_B] & (indices_B == last_B)).to(self.conditions_NY.dtype),
        )


def step_layout(sequence: str, observation_size: int, action_size: int) -> dict[str, slice]:
    """Where the return, the state and the action lie in a modelled step, for those that it holds."""
    sizes = {"return": 1, "state": observation_size, "action": action_size}
    layout, start = {}, 0
    for name in sequence.split("_"):
        layout[name] = slice(start, start + sizes[name])
        start += sizes[name]
    return layout


def step_size(sequence: str, observation_size: int, action_size: int) -> int:
    """X, the values of a modelled step."""
    return max(part.stop for part in step_layout(sequence, observation_size, action_size).values())
