"""A codebook that moving averages carry (van den Oord et al., 2017, appendix A.1): no gradient moves it.

    n <- d n + (1 - d) count,  m <- d m + (1 - d) sum of what chose the code,  code = m / n

A code that nothing chooses stays where it is, for n and m shrink alike; but single precision has an end, after which
m / n is no number and the nearest to everything. So below a floor of n a code is left as it is.

Shape suffixes: V codes, C their width, N features; `..` any leading axes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.distributed import all_reduce

LEAST_COUNT = 1e-5


class Codebook(nn.Module):
    """Codes, the nearest of which stands for a feature.

    Args:
        codes: V.
        width: C.
        decay: d.
    """

    code_VC: Tensor
    count_V: Tensor
    sum_VC: Tensor

    def __init__(self, codes: int, width: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("code_VC", torch.empty(codes, width).uniform_(-1 / codes, 1 / codes))
        self.register_buffer("count_V", torch.ones(codes))
        self.register_buffer("sum_VC", self.code_VC.clone())

    def nearest(self, feature: Tensor) -> Tensor:
        """(.., C) -> the numbers of the nearest codes (..)."""
        flat_NC = feature.reshape(-1, feature.shape[-1])
        distance_NV = self.code_VC.pow(2).sum(1) - 2 * flat_NC @ self.code_VC.T
        return distance_NV.argmin(1).view(feature.shape[:-1])

    def lookup(self, tokens: Tensor) -> Tensor:
        """Numbers (..) -> codes (.., C)."""
        return F.embedding(tokens, self.code_VC)

    @torch.no_grad()
    def learn(self, feature: Tensor, tokens: Tensor) -> None:
        """Moves the codes towards the features (.., C) that chose them, those of all workers."""
        flat_NC, token_N = feature.detach().reshape(-1, feature.shape[-1]), tokens.reshape(-1)
        count_V = torch.zeros_like(self.count_V).index_add_(0, token_N, torch.ones_like(flat_NC[:, 0]))
        sum_VC = torch.zeros_like(self.sum_VC).index_add_(0, token_N, flat_NC)
        all_reduce(count_V)
        all_reduce(sum_VC)
        self.count_V.mul_(self.decay).add_(count_V, alpha=1 - self.decay)
        self.sum_VC.mul_(self.decay).add_(sum_VC, alpha=1 - self.decay)
        is_alive_V1 = self.count_V.unsqueeze(1) > LEAST_COUNT
        mean_VC = self.sum_VC / self.count_V.clamp_min(LEAST_COUNT).unsqueeze(1)
        self.code_VC.copy_(torch.where(is_alive_V1, mean_VC, self.code_VC))
        # what is left of a dead code must not underflow: one choice brings it back to where it is
        self.sum_VC.copy_(torch.where(is_alive_V1, self.sum_VC, self.code_VC * LEAST_COUNT))
        self.count_V.clamp_min_(LEAST_COUNT)
