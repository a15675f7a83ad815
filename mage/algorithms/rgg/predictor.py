"""The predictor of restoration gaps, which reads what Diffuser's denoiser has made of a plan, and what a gap is due to.

Shape suffixes: N plans, H horizon (h where the predictor is narrowest), D values of a step, C channels, E embedded
level of noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mage.nn.temporal_unet import Narrowing, halved


class GapHead(Narrowing):
    """What the down path of a denoiser says of noisy plans (N, C, H), narrowed to their gaps (N,).

    Args:
        horizon: of the plans.
        width: of the denoiser.
        multipliers: of the denoiser.
    """

    def __init__(self, horizon: int, width: int, multipliers: Sequence[int]) -> None:
        super().__init__()
        self._make_end(width * multipliers[-1], halved(horizon, len(multipliers) - 1), width)

    def forward(self, x_NCH: Tensor, time_NE: Tensor) -> Tensor:
        return self.number(self.narrowed(x_NCH, time_NE), time_NE)


def grad_cam(number_N: Tensor, narrowed_NCh: Tensor, horizon: int) -> Tensor:
    """How much of a number each step of a plan is, (N, H): |sum over channels of their mean gradient by activation|
    (Selvaraju et al., 2017, without the ReLU), from where the network is narrowest, interpolated over time."""
    (gradient_NCh,) = torch.autograd.grad(number_N.sum(), narrowed_NCh, create_graph=True)
    map_N1h = (gradient_NCh.mean(2, keepdim=True) * narrowed_NCh).sum(1, keepdim=True)
    return F.interpolate(map_N1h, horizon, mode="linear").squeeze(1).abs()


def saliency(number_N: Tensor, plan_NHD: Tensor) -> Tensor:
    """How much a number depends on each step of a plan, (N, H): |gradient|, summed over the values of the step."""
    (gradient_NHD,) = torch.autograd.grad(number_N.sum(), plan_NHD, create_graph=True)
    return gradient_NHD.abs().sum(2)


def total_variation(map_NH: Tensor) -> Tensor:
    """Sum over time of how far neighbouring steps differ, (N,)."""
    return map_NH.diff(dim=1).abs().sum(1)
