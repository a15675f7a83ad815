"""What makes a transformer hear its condition (ours): an embedding of its own in every block, and guidance.

    block i:  x + e_i(bin of R_0)                         bins hold equal shares of the values of R_0 (or u)
    logits:   (1 + w) logits(s_0, R_0) - w logits(s_0)    classifier-free guidance (Ho and Salimans, 2022), as in VAR

In the input of every scale R_0 is one of 1 + S values of one vector. In training a share of the windows has none: a
bin of its own, and 0 in that vector, which teaches logits(s_0).

Shape suffixes: B batch, Y = 1 + S values of a condition (R_0, s_0), N transformer blocks, D their width, Q bins, l
tokens of one scale, V codebook size, C code width, L latent length.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mage.algorithms.mage.token_choice import Choice

NOTHING = float("nan")
"""R_0 where none is told."""


class ConditionBins(nn.Module):
    """A vector for every block and bin, at first 0.

    Attributes:
        edge_Q: between bins, normalised as R_0 is; not a number until `learn`.
    """

    edge_Q: Tensor

    def __init__(self, bins: int, blocks: int, width: int) -> None:
        super().__init__()
        self.register_buffer("edge_Q", torch.full((bins - 1,), NOTHING))
        self.vector_NQD = nn.Parameter(torch.zeros(blocks, bins + 1, width))

    def learn(self, condition_B: Tensor) -> None:
        """Sets the bins to equal shares of the values among these R_0: one that many share, such as 0, counts once."""
        shares_Q = torch.linspace(0, 1, len(self.edge_Q) + 2, device=condition_B.device)[1:-1]
        self.edge_Q.copy_(torch.quantile(condition_B.unique(), shares_Q))

    def forward(self, condition_B: Tensor) -> Tensor:
        """(N, B, 1, D)."""
        bin_B = torch.bucketize(condition_B.nan_to_num(), self.edge_Q)
        bin_B = bin_B.masked_fill(condition_B.isnan(), self.vector_NQD.shape[1] - 1)
        return self.vector_NQD[:, bin_B].unsqueeze(2)


def untold(condition_BY: Tensor) -> Tensor:
    """The same states, and no R_0."""
    return torch.cat([torch.full_like(condition_BY[:, :1], NOTHING), condition_BY[:, 1:]], 1)


def dropped(condition_BY: Tensor, share: float, random: torch.Generator) -> Tensor:
    """Some of the conditions without their R_0."""
    is_dropped_B1 = torch.rand((len(condition_BY), 1), generator=random, device=random.device) < share
    return torch.where(is_dropped_B1.to(condition_BY.device), untold(condition_BY), condition_BY)


class GuidedChoice:
    """Chooses tokens for rows of which the second half are the first, untold; both halves get the same ones."""

    def __init__(self, choose: Choice, weight: float) -> None:
        self.choose, self.weight = choose, weight

    def __call__(self, logits_BlV: Tensor, codebook_VC: Tensor) -> tuple[Tensor, Tensor]:
        """As `TokenChoice`."""
        told_BlV, untold_BlV = logits_BlV.chunk(2)
        tokens_Bl, code_BlC = self.choose((1 + self.weight) * told_BlV - self.weight * untold_BlV, codebook_VC)
        return tokens_Bl.repeat(2, 1), code_BlC.repeat(2, 1, 1)


def rows_a_plan(weight: float) -> int:
    """How many rows are generated for a plan with guidance of that weight; 0 is none."""
    return 2 if weight else 1


Generate = Callable[[Tensor, Choice], tuple[list[Tensor], Tensor]]
"""(conditions (B, Y), choice of tokens) -> token maps and Z (B, L, C)."""


def generate_guided(
    generate: Generate, condition_BY: Tensor, choose: Choice, weight: float
) -> tuple[list[Tensor], Tensor]:
    """Token maps and Z with guidance of that weight."""
    if not weight:
        return generate(condition_BY, choose)
    both_BY = torch.cat([condition_BY, untold(condition_BY)])
    token_maps, latent_BLC = generate(both_BY, GuidedChoice(choose, weight))
    states = len(condition_BY)
    return [tokens_Bl[:states] for tokens_Bl in token_maps], latent_BLC[:states]
