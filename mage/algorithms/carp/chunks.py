"""The windows that CARP learns from: a chunk of actions, and the observations at its first steps.

Shape suffixes: B batch, W chunks, N steps of a chunk, n observations that are seen, S values of one, A action size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mage.algorithms.carp.config import CarpConfig
from mage.data.normalisers import Normaliser, to_limits
from mage.data.plans import ROWS_AT_A_TIME
from mage.data.steps import Steps
from mage.errors import MageError

LEAST_RANGE = 5e-2


class Chunk(NamedTuple):
    """Raw, in the environment's units."""

    observation_BnS: Tensor
    action_BNA: Tensor


class Chunks:
    """The chunks of the data, numbered from 0.

    The last of the observed steps is the one to act at. A chunk may begin before its episode and end after it by as
    much as is observed before that step, and executed after it; its first and last steps are repeated there.

    Raises:
        MageError: no episode has a chunk.
    """

    def __init__(self, data: Steps, config: CarpConfig) -> None:
        own = config.chunk
        self.data, self.observed, self.horizon = data, own.observed, config.horizon
        lacking = self.horizon - (own.observed - 1) - own.executed
        rows = torch.arange(len(data), device=data.device)
        self._row_W = rows[data.last_rows(rows) - rows >= lacking]
        if not len(self._row_W):
            raise MageError(
                f"no episode of this data has the {lacking + 1} steps that a chunk needs; set tokenizer.scales"
            )

    def __len__(self) -> int:
        return len(self._row_W)

    def take(self, numbers_B: Tensor) -> Chunk:
        """The chunks of those numbers."""
        row_B = self._row_W[numbers_B]
        first_B1 = (row_B - self.data.timesteps(row_B)).unsqueeze(1)
        last_B1 = self.data.last_rows(row_B).unsqueeze(1)
        step_N = torch.arange(self.horizon, device=row_B.device) - (self.observed - 1)
        row_BN = (row_B.unsqueeze(1) + step_N).clamp(first_B1, last_B1)
        return Chunk(self.data.recorded_observations(row_BN[:, : self.observed]), self.data.actions(row_BN))

    def spread(self, count: int) -> Tensor:
        """The numbers of at most so many chunks, evenly spread over the data."""
        return torch.linspace(0, len(self) - 1, min(count, len(self)), dtype=torch.float64).long()

    def limits(self) -> tuple[Normaliser, Normaliser]:
        """To [-1, 1] by the limits of the data, observations and actions; what hardly varies keeps its unit."""
        return limits(self._parts(self.data.recorded_observations)), limits(self._parts(self.data.actions))

    def _parts(self, read: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        for rows in torch.arange(len(self.data), device=self.data.device).split(ROWS_AT_A_TIME):
            yield read(rows)


def limits(parts: Iterator[Tensor]) -> Normaliser:
    """By the limits of the data, without clipping what is restored."""
    centre_D, scale_D, _ = to_limits(parts)
    return Normaliser(centre_D, torch.where(2 * scale_D < LEAST_RANGE, 1.0, scale_D), bounded=False)
