"""From logits to codes: the ways in which generated token maps are chosen, and Algorithm 5's differentiable draw.

Shape suffixes: B batch, l tokens of one scale, V codebook size, C code width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mage.algorithms.mage.config import PolicyConfig

Uniform = Callable[[torch.Size], Tensor]
"""Uniform noise of a shape (B, l, V), from whatever generators."""


Choice = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Logits (B, l, V) and the codebook (V, C) -> tokens (B, l) and codes (B, l, C)."""


class TokenChoice:
    """Turns logits into tokens and codes: greedy, sampled, or the expectation of the code (`PolicyConfig.sampling`).

    The expected code, sum_v p(v) e_v, is ours: greedy tokens snap to the likeliest plan of the data, with the action
    noise of whoever followed it; the mean over plans averages that noise out.
    """

    def __init__(self, config: PolicyConfig | None = None, uniform: Uniform | None = None) -> None:
        self.config, self.uniform = config or PolicyConfig(), uniform

    def __call__(self, logits_BlV: Tensor, codebook_VC: Tensor) -> tuple[Tensor, Tensor]:
        """(B, l, V), (V, C) -> tokens (B, l) and codes (B, l, C)."""
        config = self.config
        if config.top_k is not None and config.top_k < logits_BlV.shape[-1]:
            smallest = logits_BlV.topk(config.top_k, -1).values[..., -1:]
            logits_BlV = logits_BlV.masked_fill(logits_BlV < smallest, -torch.inf)
        if config.sampling == "sample":
            assert self.uniform is not None, "sampling needs noise"
            logits_BlV = logits_BlV / config.temperature + gumbel(self.uniform(logits_BlV.shape).to(logits_BlV.device))
        tokens_Bl = logits_BlV.argmax(-1)
        if config.sampling == "expected":
            return tokens_Bl, (logits_BlV / config.temperature).softmax(-1) @ codebook_VC
        return tokens_Bl, F.embedding(tokens_Bl, codebook_VC)

    def pass_over(self, rows: int, lengths: Sequence[int], codes: int) -> None:
        """Draws the noise of scales that nobody reads, so that what is drawn after them is what it is with them."""
        if self.uniform is not None:
            for length in lengths:
                self.uniform(torch.Size((rows, length, codes)))


def row_by_row(generators: Sequence[torch.Generator]) -> Uniform:
    """Noise of which every row comes from a generator of its own: an episode does not depend on its neighbours."""
    return lambda shape: torch.stack([torch.rand(shape[1:], generator=own) for own in generators])


def all_rows(generator: torch.Generator) -> Uniform:
    """Noise from one generator."""
    return lambda shape: torch.rand(shape, generator=generator, device=generator.device)


def gumbel(uniform: Tensor) -> Tensor:
    """Gumbel noise from uniform noise."""
    return -(-uniform.clamp(1e-10, 1 - 1e-7).log()).log()


def straight_through_gumbel(logits_BTV: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Algorithm 5, lines 14-17: one-hot in the forward pass, softmax of the perturbed logits in the backward pass."""
    uniform = all_rows(generator)(logits_BTV.shape).to(logits_BTV.device)
    soft_BTV = ((logits_BTV + gumbel(uniform)) / temperature).softmax(-1)
    hard_BTV = F.one_hot(soft_BTV.argmax(-1), soft_BTV.shape[-1]).to(soft_BTV.dtype)
    return hard_BTV - soft_BTV.detach() + soft_BTV
