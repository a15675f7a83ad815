"""Classifier-free guidance (Ho and Salimans, 2022): one network says what noise there is with a condition and without.

    eps = eps(x, 0) + w (eps(x, y) - eps(x, 0))        w = 1: as conditioned; 0: as without

It learns both, for the condition is left out of a share of what it is shown. A condition that is left out is an
embedding of zeros.

Shape suffixes: N plans, H horizon, D values of a step, X width of the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mage.nn.temporal_unet import TemporalUnet


class ConditionEmbedding(nn.Module):
    """A condition (N,) as a vector (N, X)."""

    def __init__(self, width: int, factor: int = 4) -> None:
        """`factor` is how much wider the hidden layer is."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, width),
            nn.Mish(),
            nn.Linear(width, factor * width),
            nn.Mish(),
            nn.Linear(factor * width, width),
        )

    def forward(self, condition_N: Tensor) -> Tensor:
        embedded_NX: Tensor = self.layers(condition_N.unsqueeze(1))
        return embedded_NX


class GuidedUnet(nn.Module):
    """Predicts the noise in plans (N, H, D), of which a number each is told, or nothing.

    Args:
        values: D.
        width: of both embeddings and, with the multipliers, of the resolutions.
        multipliers: of the width.
        shown: steps of a plan that every other step is shown.
    """

    def __init__(self, values: int, width: int, multipliers: tuple[int, ...], shown: Sequence[int] = ()) -> None:
        super().__init__()
        self.embed_condition = ConditionEmbedding(width)
        self.unet = TemporalUnet(values, width, multipliers, shown=shown, condition_width=width)

    def forward(self, plan_NHD: Tensor, level_N: Tensor, condition_N: Tensor, is_told_N: Tensor) -> Tensor:
        """`is_told_N` is 1 where the condition is told, and 0 where it is left out."""
        condition_NX = self.embed_condition(condition_N) * is_told_N.unsqueeze(1)
        noise_NHD: Tensor = self.unet(plan_NHD, level_N, condition_NX)
        return noise_NHD


def guided(network: nn.Module, plan_NHD: Tensor, level_N: Tensor, condition_N: Tensor, weight: float) -> Tensor:
    """The noise in plans, as the condition moves it `weight` times; both passes in one."""
    told_N = torch.ones_like(condition_N)
    both = network(
        plan_NHD.repeat(2, 1, 1),
        level_N.repeat(2),
        condition_N.repeat(2),
        torch.cat([told_N, torch.zeros_like(told_N)]),
    )
    told_NHD, untold_NHD = both.chunk(2)
    return untold_NHD + weight * (told_NHD - untold_NHD)
