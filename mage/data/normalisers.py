"""What brings every value of a plan to one scale: its limits in the data to [-1, 1], or its deviation to 1.

Shape suffixes: N rows, D values.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from mage.data.trajectories import MINIMUM_STD


class Normaliser(NamedTuple):
    """x -> (x - centre) / scale. A value that is constant in the data becomes 0 and keeps its unit.

    Attributes:
        centre_D: of each value.
        scale_D: of each value, never 0.
        bounded: whether what is restored is first clipped to [-1, 1].
    """

    centre_D: Tensor
    scale_D: Tensor
    bounded: bool

    def normalise(self, values: Tensor) -> Tensor:
        """(.., D) -> (.., D)."""
        return (values - self.centre_D) / self.scale_D

    def restore(self, values: Tensor) -> Tensor:
        """The values that were normalised to these."""
        return (values.clamp(-1, 1) if self.bounded else values) * self.scale_D + self.centre_D


def to_limits(parts: Iterable[Tensor]) -> Normaliser:
    """From the smallest value to the largest, to [-1, 1]; the data in parts (N, D)."""
    extremes = [torch.stack(part.aminmax(dim=0)) for part in parts]
    low_D, high_D = torch.stack(extremes).amin(0)[0], torch.stack(extremes).amax(0)[1]
    return Normaliser((low_D + high_D) / 2, _safe((high_D - low_D) / 2), True)


def to_deviations(parts: Iterable[Tensor]) -> Normaliser:
    """To mean 0 and deviation 1; the data in parts (N, D)."""
    rows, sums_D, squares_D = 0, torch.zeros(()), torch.zeros(())
    for part in parts:
        exact_ND = part.double()
        rows, sums_D = rows + len(part), sums_D + exact_ND.sum(0)
        squares_D = squares_D + exact_ND.pow(2).sum(0)
    mean_D = sums_D / rows
    deviation_D = (squares_D / rows - mean_D.pow(2)).clamp_min(0).sqrt()
    return Normaliser(mean_D.float(), _safe(deviation_D.float()), False)


def _safe(scale_D: Tensor) -> Tensor:
    return torch.where(scale_D < MINIMUM_STD, 1.0, scale_D)
