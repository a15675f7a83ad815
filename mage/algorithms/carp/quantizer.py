"""Residual quantizers of several scales (VAR, Tian et al., 2024, algorithms 1 and 2), one for each action value.

    f_0 = 0,  m_k = argmax_v cos(down(f - f_{k-1}, l_k), e_v),  f_k = f_{k-1} + phi_k(up(e_{m_k}, L))
    phi_k(h) = h / 2 + Conv_k(h) / 2
    L_vq = sum_A mean_k [beta MSE(f, sg[f_k]) + MSE(f_k, sg[f])]

Codes learn by gradient, as phi does. Down averages, up is bicubic. Codes are found by their direction alone, so their
length is free, and the quantizers hold what it must be.

Shape suffixes: B batch, A action values, C code width, L latents of a chunk, l tokens of a scale, K scales, T tokens of
all scales, V codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Quantized(NamedTuple):
    """Latents as tokens.

    Attributes:
        tokens: per scale, (B, A, l).
        sums: per scale, f_k (B, A, C, L), with gradients to codes and phi.
        latent_BACL: f_K with the straight-through gradient to the encoder, for the decoder.
        loss: L_vq.
    """

    tokens: list[Tensor]
    sums: list[Tensor]
    latent_BACL: Tensor
    loss: Tensor


class Quantizers(nn.Module):
    """Writes the latents of each action value as tokens of its own codebook, coarse to fine.

    Args:
        values: A.
        codes: V.
        width: C.
        scales: l_1..l_K; the last is L.
        commitment_weight: beta.
    """

    code_AVC: nn.Parameter
    down_LT: Tensor
    up_TL: Tensor
    first_A1: Tensor

    def __init__(self, values: int, codes: int, width: int, scales: Sequence[int], commitment_weight: float) -> None:
        super().__init__()
        self.scales, self.commitment_weight = tuple(scales), commitment_weight
        self.code_AVC = nn.Parameter(torch.empty(values, codes, width).uniform_(-1 / codes, 1 / codes))
        mixing = [nn.Conv1d(values * width, values * width, 3, padding=1, groups=values) for _ in scales]
        self.mix = nn.ModuleList(mixing)
        length = self.scales[-1]
        # as matrices: the bicubic gradient of torch is another one every time on a GPU
        down = torch.cat([resampling(length, scale, "area") for scale in self.scales], 1)
        up = torch.cat([resampling(scale, length, "bicubic") for scale in self.scales], 0)
        self.register_buffer("down_LT", down, persistent=False)
        self.register_buffer("up_TL", up, persistent=False)
        self.register_buffer("first_A1", codes * torch.arange(values).unsqueeze(1), persistent=False)

    def quantize(self, latent_BACL: Tensor) -> Quantized:
        """With all that the loss needs."""
        target_BACL = latent_BACL.detach()
        built_BACL = torch.zeros_like(target_BACL)
        tokens, sums, loss = [], [], latent_BACL.new_zeros(())
        for k in range(len(self.scales)):
            tokens.append(self.nearest(self.scale_down(target_BACL - built_BACL.detach(), k)))
            built_BACL = built_BACL + self.contribution(tokens[-1], k)
            sums.append(built_BACL)
            commitment = mean_of_each(latent_BACL - built_BACL.detach())
            loss = loss + self.commitment_weight * commitment + mean_of_each(built_BACL - target_BACL)
        straight_BACL = latent_BACL + (built_BACL.detach() - target_BACL)
        return Quantized(tokens, sums, straight_BACL, loss / len(self.scales))

    def build(self, tokens: Sequence[Tensor]) -> list[Tensor]:
        """f_1, f_2, .. (B, A, C, L) of the tokens (B, A, l) of so many scales."""
        sums: list[Tensor] = []
        for k, token_BAl in enumerate(tokens):
            added_BACL = self.contribution(token_BAl, k)
            sums.append(sums[-1] + added_BACL if sums else added_BACL)
        return sums

    def contribution(self, token_BAl: Tensor, k: int) -> Tensor:
        """phi_k(up(codes)), (B, A, C, L)."""
        h_BXL = (self.lookup(token_BAl) @ self.up_TL.split(self.scales)[k]).flatten(1, 2)
        mixed_BXL: Tensor = 0.5 * h_BXL + 0.5 * self.mix[k](h_BXL)
        return mixed_BXL.unflatten(1, (token_BAl.shape[1], -1))

    def scale_down(self, latent_BACL: Tensor, k: int) -> Tensor:
        """(B, A, C, L) -> (B, A, C, l)."""
        return latent_BACL @ self.down_LT.split(self.scales, 1)[k]

    @torch.no_grad()
    def nearest(self, sought_BACl: Tensor) -> Tensor:
        """The codes of the most similar direction, (B, A, l); the length of what is sought changes none."""
        unit_AVC = F.normalize(self.code_AVC, dim=-1)
        return torch.einsum("bacl,avc->balv", sought_BACl, unit_AVC).argmax(-1)

    def lookup(self, token_BAl: Tensor) -> Tensor:
        """(B, A, l) -> codes (B, A, C, l)."""
        return F.embedding(token_BAl + self.first_A1, self.code_AVC.flatten(0, 1)).transpose(-1, -2)


def mean_of_each(difference_BACL: Tensor) -> Tensor:
    """The mean square of each action value, summed: they learn apart, each as if it were alone."""
    return difference_BACL.pow(2).mean() * difference_BACL.shape[1]


def resampling(length: int, wanted: int, mode: str) -> Tensor:
    """(length, wanted): what `F.interpolate` of that mode does to values in time, as a matrix."""
    basis = torch.eye(length).view(length, 1, length, 1)
    return F.interpolate(basis, size=(wanted, 1), mode=mode).view(length, wanted)
