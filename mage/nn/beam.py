"""Beams: several paths an environment, whose rows lie one environment after the other, and how they grow and are cut.

Every environment draws from its own generator, so that its paths depend on no other's.

Shape suffixes: B environments, P paths of each, N = B P rows, K tokens that may follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def uniform(generators: Sequence[torch.Generator], *shape: int, device: torch.device) -> Tensor:
    """Uniform numbers (B * shape[0], *shape[1:]), of each environment from its own generator."""
    return torch.cat([torch.rand(shape, generator=own, device=own.device) for own in generators]).to(device)


def draw(probability_NK: Tensor, uniform_N: Tensor) -> Tensor:
    """Tokens (N,), by their probabilities, which need not add up to 1: where their running sum passes the number."""
    sum_NK = probability_NK.cumsum(-1)
    # a number below 1 times the whole may be rounded up to it
    level_N1 = (uniform_N.unsqueeze(1) * sum_NK[:, -1:]).minimum(sum_NK[:, -1:] * (1 - 1e-6))
    return torch.searchsorted(sum_NK, level_N1, right=True).squeeze(1)


def likeliest(probability_NK: Tensor, cut: float | None = None, most: int | None = None) -> Tensor:
    """Probabilities (N, K) of which only the likeliest tokens' are left.

    Args:
        probability_NK: adding up to 1.
        cut: share of the mass that is dropped, the least likely first: the last token at which the running sum is
            still below it goes, and all that are no likelier, unless that were all.
        most: how many are kept.
    """
    if cut is not None:
        sorted_NK = probability_NK.sort(-1).values
        below_N1 = (sorted_NK.cumsum(-1) < cut).sum(-1, keepdim=True)
        last_N1 = sorted_NK.gather(-1, (below_N1 - 1).clamp_min(0)).masked_fill(below_N1 == 0, -1.0)
        kept_NK = probability_NK > last_N1
        kept_NK |= ~kept_NK.any(-1, keepdim=True)
        probability_NK = probability_NK * kept_NK
    if most is not None and most < probability_NK.shape[-1]:
        least_N1 = probability_NK.topk(most, -1).values[:, -1:]
        probability_NK = probability_NK * (probability_NK >= least_N1)
    return probability_NK


def best(score_N: Tensor, environments: int, keep: int) -> Tensor:
    """The rows (environments * keep,) of the highest scores of each environment, the best first."""
    score_BP = score_N.view(environments, -1)
    path_BW = score_BP.topk(keep, -1).indices
    first_B1 = torch.arange(environments, device=score_N.device).unsqueeze(1) * score_BP.shape[1]
    return (first_B1 + path_BW).flatten()
