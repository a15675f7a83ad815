"""Restoration gaps: how far from a plan Diffuser comes out when it has noised the plan and denoised it again.

    gap = min over m of sum over time and states (restored_m - plan)^2       normalised; actions do not count

Diffuser's plans and their gaps are made once, in parts that have random numbers of their own: the same in every
process, and when a training is continued.

Shape suffixes: N plans, H horizon, D values of a step, B batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mage.data.trajectories import MINIMUM_STD

PART = 128

Restore = Callable[[Tensor], Tensor]
"""Plans (N, H, D) -> the same, noised and denoised, with new random numbers at every call."""


def restoration_gaps(restore: Restore, plan_NHD: Tensor, actions: int, restorations: int) -> Tensor:
    """The gaps (N,) of plans whose first values of a step are actions."""
    gap_N = torch.full((len(plan_NHD),), torch.inf, device=plan_NHD.device)
    for _ in range(restorations):
        error_NHS = (restore(plan_NHD) - plan_NHD)[..., actions:]
        gap_N = torch.minimum(gap_N, error_NHS.pow(2).sum((1, 2)))
    return gap_N


class Judged(NamedTuple):
    """Plans (N, H, D) and their gaps (N,)."""

    plan_NHD: Tensor
    gap_N: Tensor


class JudgedPlans:
    """Diffuser's own plans and their gaps, by number; made when the first is asked for, and kept.

    Args:
        make: so many of them, by those random numbers.
        count: how many there are.
        seed: of all of them, (), from which follows that of each part.
        in_deviations: gaps are given less their mean, in units of their deviation.
    """

    def __init__(
        self, make: Callable[[int, torch.Generator], Judged], count: int, seed: Tensor, in_deviations: bool
    ) -> None:
        self.make, self.count, self.seed, self.in_deviations = make, count, seed, in_deviations

    def take(self, numbers_B: Tensor) -> Judged:
        """Some of them."""
        return Judged(self.all.plan_NHD[numbers_B], self.all.gap_N[numbers_B])

    @property
    def all(self) -> Judged:
        """All of them."""
        return self._made[0]

    @property
    def mean_gap(self) -> Tensor:
        """Of all, as it is, ()."""
        return self._made[1]

    @cached_property
    def _made(self) -> tuple[Judged, Tensor]:
        """Every process makes its own: they are the same."""
        sizes = [min(PART, self.count - start) for start in range(0, self.count, PART)]
        # a part depends on how many there are in it: sizes of products decide how their sums are rounded
        parts = [self.make(size, self._generator(number)) for number, size in enumerate(sizes)]
        plan_NHD, gap_N = (torch.cat(each) for each in zip(*parts, strict=True))
        mean = gap_N.mean()
        if self.in_deviations:
            gap_N = (gap_N - mean) / gap_N.std(correction=0).clamp_min(MINIMUM_STD)
        return Judged(plan_NHD, gap_N), mean

    def _generator(self, part: int) -> torch.Generator:
        seed = np.random.SeedSequence([int(self.seed), part]).generate_state(1)
        return torch.Generator(self.seed.device).manual_seed(int(seed[0]))
