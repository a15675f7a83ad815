"""Learned dynamics: an ensemble of MLPs that predict how a state changes.

    s' = s + mean_delta + std_delta f((s - mean) / std, a),   clipped to the range of the data

Shape suffixes: M members, N rows, B batch, S state size, A action size, I inputs, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST_STD = 1e-6


class Ensemble(nn.Module):
    """M MLPs of one shape with SiLU, as one batched product a layer; they differ in how they begin."""

    def __init__(self, members: int, inputs: int, hidden_dim: int, hidden_layers: int, outputs: int) -> None:
        super().__init__()
        self.members = members
        shapes = list(pairwise([inputs, *[hidden_dim] * hidden_layers, outputs]))
        self.weights = nn.ParameterList([torch.empty(members, *shape) for shape in shapes])
        self.biases = nn.ParameterList([torch.empty(members, 1, width) for _, width in shapes])
        with torch.no_grad():
            for weight, bias in zip(self.weights, self.biases, strict=True):
                bound = 1 / math.sqrt(weight.shape[1])  # as PyTorch's linear layers
                weight.uniform_(-bound, bound)
                bias.uniform_(-bound, bound)

    def forward(self, inputs_MNI: Tensor) -> Tensor:
        """(M, N, I) -> (M, N, O)."""
        hidden = inputs_MNI
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, F.silu(hidden) if number else hidden, weight)
        return hidden


class Dynamics(nn.Module):
    """What follows a state and an action, as each member of an ensemble has it; states in the environment's units.

    Units and range of the data are part of its state_dict: `fit` sets them before it is trained.
    """

    mean_S: Tensor
    std_S: Tensor
    mean_delta_S: Tensor
    std_delta_S: Tensor
    low_S: Tensor
    high_S: Tensor

    def __init__(self, state: int, action: int, members: int, hidden_dim: int, hidden_layers: int) -> None:
        super().__init__()
        self.ensemble = Ensemble(members, state + action, hidden_dim, hidden_layers, state)
        for name, value in (("mean", 0.0), ("mean_delta", 0.0), ("low", -math.inf)):
            self.register_buffer(f"{name}_S", torch.full((state,), value))
        for name, value in (("std", 1.0), ("std_delta", 1.0), ("high", math.inf)):
            self.register_buffer(f"{name}_S", torch.full((state,), value))

    @property
    def members(self) -> int:
        """M."""
        return self.ensemble.members

    def fit(self, parts: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Takes range and units from states and those that follow them, in parts (.., S) each."""
        rows, sums, squares = 0, torch.zeros(()).double(), torch.zeros(()).double()
        lows, highs = [], []
        for state_NS, next_NS in parts:
            both_NT = torch.cat([state_NS, next_NS - state_NS], 1).double()
            rows, sums, squares = rows + len(both_NT), sums + both_NT.sum(0), squares + both_NT.pow(2).sum(0)
            low_S, high_S = torch.cat([state_NS, next_NS]).aminmax(dim=0)
            lows.append(low_S)
            highs.append(high_S)
        self.low_S, self.high_S = torch.stack(lows).amin(0), torch.stack(highs).amax(0)
        mean_T = sums / rows
        std_T = (squares / rows - mean_T.pow(2)).clamp_min(0).sqrt()
        std_T = torch.where(std_T < LEAST_STD, 1.0, std_T)
        self.mean_S, self.mean_delta_S = mean_T.float().chunk(2)
        self.std_S, self.std_delta_S = std_T.float().chunk(2)

    def forward(self, state_MNS: Tensor, action_MNA: Tensor) -> Tensor:
        """What each member says of its own rows, (M, N, S)."""
        changed_MNS = self._change(state_MNS, action_MNA) * self.std_delta_S + self.mean_delta_S
        return torch.clamp(state_MNS + changed_MNS, self.low_S, self.high_S)

    def error(self, state_BS: Tensor, action_BA: Tensor, next_BS: Tensor) -> Tensor:
        """The squared error of each member, in units of the variance of changes, (M, B)."""
        wanted_BS = (next_BS - state_BS - self.mean_delta_S) / self.std_delta_S
        predicted_MBS = self._change(self._for_each(state_BS), self._for_each(action_BA))
        return (predicted_MBS - wanted_BS).pow(2).mean(-1)

    def one_member_each(self, rows_BK: Tensor) -> Tensor:
        """Rows (B, K, ..) shared out over the members, (M, B * ceil(K / M), ..); what is left over is filled with 0."""
        batch, number = rows_BK.shape[:2]
        each = -(-number // self.members)
        padded = rows_BK.new_zeros(batch, each * self.members, *rows_BK.shape[2:])
        padded[:, :number] = rows_BK
        return padded.unflatten(1, (each, self.members)).movedim(2, 0).flatten(1, 2)

    def together_again(self, shared_MN: Tensor, batch: int, number: int) -> Tensor:
        """The inverse of `one_member_each`, (B, K, ..)."""
        return shared_MN.unflatten(1, (batch, -1)).movedim(0, 2).flatten(1, 2)[:, :number]

    @torch.no_grad()
    def rollout_errors(self, state_BHS: Tensor, action_BHA: Tensor) -> Tensor:
        """How far each step of recorded walks lies from what the members make of its first state and the actions.

        The squared error in units of the states' variance, the mean over members, walks and dimensions: (H - 1,).
        """
        now_MBS, errors = self._for_each(state_BHS[:, 0]), []
        for step in range(1, state_BHS.shape[1]):
            now_MBS = self(now_MBS, self._for_each(action_BHA[:, step - 1]))
            errors.append(((now_MBS - state_BHS[:, step]) / self.std_S).pow(2).mean())
        return torch.stack(errors)

    def _change(self, state_MNS: Tensor, action_MNA: Tensor) -> Tensor:
        changed: Tensor = self.ensemble(torch.cat([(state_MNS - self.mean_S) / self.std_S, action_MNA], -1))
        return changed

    def _for_each(self, rows: Tensor) -> Tensor:
        return rows.expand(self.members, *rows.shape)
