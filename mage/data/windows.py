"""Trajectory windows tau = ((R_0, s_0) ... (R_{H-1}, s_{H-1})) (paper: section 3.1), one starting at every timestep.

Shape suffixes: N steps over all episodes, B batch, H horizon, S observation size, X = 1 + S (return-to-go first),
A action size.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mage.data.trajectories import Statistics, Trajectories, returns_to_go
from mage.errors import MageError


class Batch(NamedTuple):
    """A batch of windows; action_BA is the action taken at each window's first step."""

    trajectory_BHX: Tensor
    mask_BH: Tensor
    action_BA: Tensor


class Windows:
    """All windows of a dataset, normalised and kept on the device; a batch is index arithmetic.

    A window never crosses into the next episode: past the end its episode's last row repeats with mask 0.
    """

    def __init__(
        self, trajectories: Trajectories, statistics: Statistics, horizon: int, device: torch.device | str = "cpu"
    ) -> None:
        if horizon < 1:
            raise MageError(f"The horizon of a window is {horizon}; it has to be at least 1.")
        starts = trajectories.episode_starts
        returns = returns_to_go(trajectories.rewards, starts, trajectories.task.discount)
        self.horizon = horizon
        self.rows_NX = torch.from_numpy(statistics.normalise(returns, trajectories.observations)).to(device)
        self.actions_NA = torch.tensor(trajectories.actions, device=device)
        self.last_row_N = torch.from_numpy(np.repeat(starts[1:] - 1, np.diff(starts))).to(device)
        self._offsets_H = torch.arange(horizon, device=device)

    def __len__(self) -> int:
        return len(self.rows_NX)

    def take(self, indices_B: Tensor) -> Batch:
        """The windows that start at those rows, each in 0..N-1."""
        last_B1 = self.last_row_N[indices_B][:, None]
        wanted_BH = indices_B[:, None] + self._offsets_H
        return Batch(
            trajectory_BHX=self.rows_NX[torch.minimum(wanted_BH, last_B1)],
            mask_BH=(wanted_BH <= last_B1).to(self.rows_NX.dtype),
            action_BA=self.actions_NA[indices_B],
        )
