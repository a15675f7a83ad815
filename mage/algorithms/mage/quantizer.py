"""Multi-scale residual vector quantizer (section 3.1, Algorithms 1 and 2, equations 3 and A.2).

Shape suffixes: B batch, L latent length l_K, l tokens of one scale, C code width, V codebook size, N all latents of a
batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.algorithms.mage.network_config import AutoencoderConfig
from mage.distributed import all_reduce, broadcast


@dataclass
class Quantized:
    """A batch of latent sequences written as token maps.

    Attributes:
        token_maps: per scale, (B, l_k) integers: M = (m_1..m_K).
        latent_BLC: the sum of all z_k, with the straight-through gradient to the encoder.
        sums: per scale, z_1 + .. + z_k, (B, L, C), without gradients.
        residual_norms: per scale, the mean square of what is left after it.
        loss: commitment and scale-matrix terms of equation A.2.
    """

    token_maps: list[Tensor]
    latent_BLC: Tensor
    sums: list[Tensor]
    residual_norms: list[Tensor]
    loss: Tensor


class MultiScaleQuantizer(nn.Module):
    """Writes a latent sequence as K token maps, coarse to fine, over one shared codebook.

    Scale k explains what scales 1..k-1 left over: m_k = nearest(scale_down(f, l_k)), f <- f - scale_up(codebook[m_k]).
    Scale-down and scale-up are linear projections over time that start as averaging and interpolation. The codebook
    is carried by moving averages of the latents assigned to each code; a code that no latent chooses any more is
    restarted on a latent of the batch at hand, and counted in `restarts`.
    """

    codebook_VC: Tensor
    code_count_V: Tensor
    code_sum_VC: Tensor
    restarts: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.schedule = config.schedule
        length = config.latent_length
        self.down = nn.ParameterList([nn.Parameter(averaging_matrix(scale, length)) for scale in self.schedule])
        self.up = nn.ParameterList([nn.Parameter(interpolation_matrix(length, scale)) for scale in self.schedule])
        self.register_buffer("codebook_VC", 0.1 * torch.randn(config.codebook_size, config.code_dim))
        self.register_buffer("code_count_V", torch.zeros(config.codebook_size))
        self.register_buffer("code_sum_VC", torch.zeros(config.codebook_size, config.code_dim))
        self.register_buffer("restarts", torch.zeros((), dtype=torch.long))

    def scale_down(self, latent_BLC: Tensor, k: int) -> Tensor:
        """(B, L, C) -> (B, l_k, C)."""
        return torch.einsum("lL,BLC->BlC", self.down[k], latent_BLC)

    def scale_up(self, codes_BlC: Tensor, k: int) -> Tensor:
        """(B, l_k, C) -> (B, L, C)."""
        return torch.einsum("Ll,BlC->BLC", self.up[k], codes_BlC)

    def nearest(self, latents_BlC: Tensor) -> Tensor:
        """Equation 3: the index of the nearest code of every latent."""
        flat_NC = latents_BlC.reshape(-1, latents_BlC.shape[-1])
        distance_NV = self.codebook_VC.pow(2).sum(1) - 2 * flat_NC @ self.codebook_VC.T
        return distance_NV.argmin(1).view(latents_BlC.shape[:-1])

    def lookup(self, token_map_Bl: Tensor) -> Tensor:
        """(B, l) -> (B, l, C)."""
        return F.embedding(token_map_Bl, self.codebook_VC)

    @torch.no_grad()
    def encode(self, latent_BLC: Tensor) -> list[Tensor]:
        """Algorithm 1. Returns one (B, l_k) integer map a scale."""
        return self.quantize(latent_BLC).token_maps

    def decode(self, token_maps: list[Tensor]) -> Tensor:
        """Algorithm 2 up to the decoder: sum of scale_up(codebook[m_k]) over the scales given, (B, L, C)."""
        return torch.stack([self.scale_up(self.lookup(tokens), k) for k, tokens in enumerate(token_maps)]).sum(0)

    def quantize(self, latent_BLC: Tensor, generator: torch.Generator | None = None) -> Quantized:
        """Algorithm 1 with what training needs.

        With a `generator` the codebook learns from this batch. Codes receive no gradient; the scale matrices learn to
        rebuild the latent, ||sg[f] - z_1 - .. - z_k||^2, and the encoder commits to what was built, beta ||f - sg[z_1
        + .. + z_K]||^2.
        """
        target_BLC = latent_BLC.detach()
        built_BLC = torch.zeros_like(target_BLC)
        token_maps, sums, norms, inputs, loss = [], [], [], [], latent_BLC.new_zeros(())
        for k in range(len(self.schedule)):
            low_BlC = self.scale_down(target_BLC - built_BLC.detach(), k)
            tokens_Bl = self.nearest(low_BlC.detach())
            code_BlC = low_BlC + (self.lookup(tokens_Bl) - low_BlC).detach()
            built_BLC = built_BLC + self.scale_up(code_BlC, k)
            loss = loss + F.mse_loss(built_BLC, target_BLC) / len(self.schedule)
            token_maps.append(tokens_Bl)
            sums.append(built_BLC.detach())
            norms.append((target_BLC - built_BLC).detach().pow(2).mean())
            inputs.append(low_BlC.detach())
        built_BLC = built_BLC.detach()
        loss = loss + self.config.commitment_weight * F.mse_loss(latent_BLC, built_BLC)
        if generator is not None:
            self._learn_codes(inputs, token_maps, generator)
        return Quantized(token_maps, latent_BLC + (built_BLC - target_BLC), sums, norms, loss)

    def coarse(self, latent_BLC: Tensor, quantized: Quantized, scales: int) -> Tensor:
        """z_1 + .. + z_j of so many scales, (B, L, C), with a straight-through gradient to the encoder.

        The gradient goes by what these scales can hold of the latent: none reaches what only finer ones hold.
        """
        held_BLC = torch.zeros_like(latent_BLC)
        for k in range(scales):  # one by one: a slice of a ParameterList is made of copies, as they were at its time
            low_BlC = torch.einsum("lL,BLC->BlC", self.down[k].detach(), latent_BLC - held_BLC)
            held_BLC = held_BLC + torch.einsum("Ll,BlC->BLC", self.up[k].detach(), low_BlC)
        return quantized.sums[scales - 1] + (held_BLC - held_BLC.detach())

    @torch.no_grad()
    def _learn_codes(self, inputs: list[Tensor], token_maps: list[Tensor], generator: torch.Generator) -> None:
        latents_NC = torch.cat([low.reshape(-1, low.shape[-1]) for low in inputs])
        tokens_N = torch.cat([tokens.reshape(-1) for tokens in token_maps])
        count_V = torch.zeros_like(self.code_count_V).index_add_(0, tokens_N, torch.ones_like(latents_NC[:, 0]))
        sum_VC = torch.zeros_like(self.code_sum_VC).index_add_(0, tokens_N, latents_NC)
        all_reduce(count_V)
        all_reduce(sum_VC)
        decay = self.config.codebook_decay
        self.code_count_V.mul_(decay).add_(count_V, alpha=1 - decay)
        self.code_sum_VC.mul_(decay).add_(sum_VC, alpha=1 - decay)
        self._restart_dead_codes(latents_NC, generator)
        chosen_V1 = self.code_count_V.unsqueeze(1) > 1e-5  # the others stay where they are
        mean_VC = self.code_sum_VC / self.code_count_V.clamp_min(1e-5).unsqueeze(1)
        self.codebook_VC.copy_(torch.where(chosen_V1, mean_VC, self.codebook_VC))

    def _restart_dead_codes(self, latents_NC: Tensor, generator: torch.Generator) -> None:
        dead_V = self.code_count_V < self.config.dead_code_threshold
        chosen_V = torch.randint(len(latents_NC), dead_V.shape, generator=generator, device=generator.device)
        fresh_VC = latents_NC[chosen_V.to(latents_NC.device)]
        broadcast(fresh_VC)
        # a restarted code starts with the weight of one choice a batch, so that it lives long enough to be chosen
        self.code_count_V.copy_(torch.where(dead_V, torch.ones_like(self.code_count_V), self.code_count_V))
        self.code_sum_VC.copy_(torch.where(dead_V.unsqueeze(1), fresh_VC, self.code_sum_VC))
        self.restarts += dead_V.sum()


def averaging_matrix(rows: int, columns: int) -> Tensor:
    """(rows, columns): row i averages the stretch of columns that it covers; the identity for rows == columns."""
    edges = torch.linspace(0, columns, rows + 1)
    left, right = edges[:-1, None], edges[1:, None]
    cell = torch.arange(columns)
    overlap = (torch.minimum(right, cell + 1) - torch.maximum(left, cell)).clamp_min(0)
    return overlap / overlap.sum(1, keepdim=True)


def interpolation_matrix(rows: int, columns: int) -> Tensor:
    """(rows, columns): linear interpolation of `columns` points to `rows`; the identity for rows == columns."""
    basis = torch.eye(columns).unsqueeze(0)
    return F.interpolate(basis, size=rows, mode="linear", align_corners=False).squeeze(0).T.contiguous()


def codebook_use(token_maps: list[Tensor], codebook_size: int) -> dict[str, float]:
    """Share of codes used (%) and perplexity (codes), per scale and over all scales."""
    info = {}
    for name, tokens in [*((f"scale{k + 1}", m) for k, m in enumerate(token_maps)), ("all", torch.cat(token_maps, 1))]:
        share_V = torch.bincount(tokens.reshape(-1), minlength=codebook_size).double() / tokens.numel()
        entropy = -(share_V * share_V.clamp_min(1e-12).log()).sum()
        info[f"codes_used_{name}"] = 100.0 * float((share_V > 0).double().mean())
        info[f"perplexity_{name}"] = float(entropy.exp())
    return info
