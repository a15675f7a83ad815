"""Condition-guided refinement: adapters between the frozen decoder's blocks, D' of equation 7 (section 3.2).

Shape suffixes: B batch, L latent length, C code width, D network width, H horizon, X = 1 + S values of a step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.model.autoencoder import Decoder
from mage.model.transformer import gumbel


class Adapter(nn.Module):
    """Houlsby bottleneck modulated by R_0: h + up(gelu(down(h) + condition(R_0))); zero at the start.

    It sees R_0 only, as equation 7 has it. Given s_0 as well it would write s_0 into the output whatever Z says, and
    L_cond would be satisfied without teaching the transformer anything.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.condition = nn.Linear(1, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden_BLD: Tensor, return_to_go_B1: Tensor) -> Tensor:
        inner = F.gelu(self.down(hidden_BLD) + self.condition(return_to_go_B1).unsqueeze(1))
        adapted_BLD: Tensor = hidden_BLD + self.up(inner)
        return adapted_BLD


class AdaptedDecoder(nn.Module):
    """D'(Z, R_0): a frozen decoder with one adapter after each of its blocks. Only the adapters are its parameters."""

    def __init__(self, decoder: Decoder, width: int, bottleneck: int) -> None:
        super().__init__()
        self.adapters = nn.ModuleList([Adapter(width, bottleneck) for _ in decoder.blocks])
        # kept out of the module tree: the decoder belongs to the autoencoder and is saved with it, once
        self._decoder = [decoder]

    def forward(self, latent_BLC: Tensor, return_to_go_B1: Tensor) -> Tensor:
        """(B, L, C), (B, 1) -> (B, H, X)."""

        def adapt(index: int, hidden_BLD: Tensor) -> Tensor:
            adapted: Tensor = self.adapters[index](hidden_BLD, return_to_go_B1)
            return adapted

        trajectory_BHX: Tensor = self._decoder[0](latent_BLC, return_to_go_B1, adapt)
        return trajectory_BHX


def straight_through_gumbel(logits_BTV: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Algorithm 5, lines 14-17: one-hot in the forward pass, softmax of the perturbed logits in the backward pass."""
    uniform = torch.rand(logits_BTV.shape, generator=generator, device=generator.device).to(logits_BTV.device)
    soft_BTV = ((logits_BTV + gumbel(uniform)) / temperature).softmax(-1)
    hard_BTV = F.one_hot(soft_BTV.argmax(-1), soft_BTV.shape[-1]).to(soft_BTV.dtype)
    return hard_BTV - soft_BTV.detach() + soft_BTV
