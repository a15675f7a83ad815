"""The steps of a dataset as tensors: any rows of it, normalised when they are taken, and the windows and transitions
that start there.

Shape suffixes: N steps over all episodes, B batch, H horizon, S observation size, A action size, Y = 1 + S values of a
condition (R, s).
"""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mage.data.trajectories import Statistics, Trajectories
from mage.errors import MageError


class Transitions(NamedTuple):
    """A batch of steps (s, a, r, s', terminal). `reward_B` is in units of the returns' deviation."""

    observation_BS: Tensor
    action_BA: Tensor
    reward_B: Tensor
    next_observation_BS: Tensor
    terminal_B: Tensor


class Steps:
    """All steps of a dataset; a batch is index arithmetic, and is normalised when it is taken.

    A window of steps never crosses into the next episode: past the end its episode's last row repeats with mask 0.

    On a CPU observations and actions are the trajectories' own arrays, so that processes which map the same file, or
    the same object of Ray's store, share their memory; on a GPU they are copied there, once. What is handed out is
    always a copy. `rows` may have any shape (...), its values lie in 0..N-1.
    """

    def __init__(self, trajectories: Trajectories, statistics: Statistics, device: torch.device | str = "cpu") -> None:
        starts = trajectories.episode_starts
        returns = trajectories.returns_to_go
        low, high = returns.min(), returns.max()
        self.discount, self._device = trajectories.task.discount, torch.device(device)
        self._return_N = self._place(returns)
        self._observation_NS = self._place(trajectories.observations)
        self._action_NA = self._place(trajectories.actions)
        self._reward_N = self._place(trajectories.rewards)
        self._start_E, self._end_E = self._place(starts[:-1]), self._place(starts[1:])
        self._terminal_E = self._place(trajectories.terminations)
        self._mean_Y = self._place(np.concatenate([statistics.return_to_go_mean, statistics.observation_mean]))
        self._std_Y = self._place(np.concatenate([statistics.return_to_go_std, statistics.observation_std]))
        self._lowest_return, self._return_range = self._place(np.array([low, high - low or 1.0], returns.dtype))

    def __len__(self) -> int:
        return len(self._return_N)

    @property
    def device(self) -> torch.device:
        """Where batches are made."""
        return self._return_N.device

    def returns(self) -> Tensor:
        """The normalised return-to-go of every row, (N,)."""
        return (self._return_N - self._mean_Y[0]) / self._std_Y[0]

    def conditions(self, rows: Tensor) -> Tensor:
        """(R, s) of those rows, normalised, (..., Y)."""
        flat = rows.reshape(-1)
        raw = torch.cat([self._return_N[flat].unsqueeze(1), self._observation_NS.index_select(0, flat)], 1)
        return raw.sub_(self._mean_Y).div_(self._std_Y).view(*rows.shape, -1)

    def observations(self, rows: Tensor) -> Tensor:
        """The observations at those rows, normalised, (..., S)."""
        flat = rows.reshape(-1)
        raw = self._observation_NS.index_select(0, flat)
        return raw.sub_(self._mean_Y[1:]).div_(self._std_Y[1:]).view(*rows.shape, -1)

    def recorded_observations(self, rows: Tensor) -> Tensor:
        """The observations at those rows, as the environment gave them, (..., S)."""
        return self._observation_NS[rows]

    def normalised(self, observation_BS: Tensor) -> Tensor:
        """Observations in the environment's units, (B, S), as those of rows are."""
        return (observation_BS - self._mean_Y[1:]) / self._std_Y[1:]

    def rewards(self, rows: Tensor) -> Tensor:
        """The rewards of those rows, as recorded, (...)."""
        return self._reward_N[rows]

    def is_terminal(self, rows: Tensor) -> Tensor:
        """1 where the step at that row leads to a terminal state, else 0, (...)."""
        return (self._terminal_E[self._episodes(rows)] & (rows == self.last_rows(rows))).to(self._return_N.dtype)

    def complete_rows(self) -> Tensor:
        """The rows of which it is known where they lead: all but the last ones before a time limit."""
        cut_E = (self._end_E - 1)[~self._terminal_E]
        keep_N = torch.ones(len(self), dtype=torch.bool, device=self.device)
        keep_N[cut_E] = False
        return keep_N.nonzero().squeeze(1)

    def actions(self, rows: Tensor) -> Tensor:
        """The actions taken at those rows, (..., A)."""
        return self._action_NA[rows]

    def weights(self, rows: Tensor) -> Tensor:
        """The return-to-go of those rows, from 0 for the lowest of the dataset to 1 for the highest, (...)."""
        return (self._return_N[rows] - self._lowest_return) / self._return_range

    def timesteps(self, rows: Tensor) -> Tensor:
        """How many steps of their episode lie before those rows, (...)."""
        return rows - self._start_E[self._episodes(rows)]

    def last_rows(self, rows: Tensor) -> Tensor:
        """The last row of the episode of each of those rows, (...)."""
        return self._end_E[self._episodes(rows)] - 1

    def window_rows(self, indices_B: Tensor, horizon: int, stride: int = 1) -> tuple[Tensor, Tensor]:
        """The rows (B, H) of the windows that start at those rows, and their mask: 0 past the end of the episode.

        Of the steps only every `stride`-th is taken.
        """
        if horizon < 1:
            raise MageError(f"The horizon of a window is {horizon}; it has to be at least 1.")
        last_B1 = self.last_rows(indices_B)[:, None]
        wanted_BH = indices_B[:, None] + stride * torch.arange(horizon, device=self.device)
        return torch.minimum(wanted_BH, last_B1), (wanted_BH <= last_B1).to(self._return_N.dtype)

    def spread(self, count: int) -> Tensor:
        """At most `count` rows, evenly spread over the dataset."""
        count, last = min(len(self), count), len(self) - 1
        # in single precision the last one may be rounded up
        return torch.linspace(0, last, count, dtype=torch.float64).long().to(self.device)

    def transitions(self, indices_B: Tensor) -> Transitions:
        """The steps at those rows. The last step before a time limit leads, for want of better, to its own state."""
        episode_B = self._episodes(indices_B)
        last_B = self._end_E[episode_B] - 1
        return Transitions(
            observation_BS=self.conditions(indices_B)[:, 1:],
            action_BA=self.actions(indices_B),
            reward_B=self._reward_N[indices_B] / self._std_Y[0],
            next_observation_BS=self.conditions(torch.minimum(indices_B + 1, last_B))[:, 1:],
            terminal_B=(self._terminal_E[episode_B] & (indices_B == last_B)).to(self._return_N.dtype),
        )

    def _episodes(self, rows: Tensor) -> Tensor:
        return torch.searchsorted(self._end_E, rows.contiguous(), right=True)

    def _place(self, array: np.ndarray) -> Tensor:
        """On the device; where that is the CPU, without a copy."""
        with warnings.catch_warnings():
            # nothing here writes to them, and memory that is shared is read-only
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(array).to(self._device)
