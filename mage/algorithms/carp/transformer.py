"""The transformer that predicts tokens coarse to fine (Gong et al., 2024, section 3.2): VAR's, with observations.

p(m_1..m_K | o) = prod_k p(m_k | m_<k, o): all tokens of a scale are predicted at once. Scale 1 begins with what is
observed, scale k with the sum of the coarser ones, averaged to its length; observations also scale and shift all that
a block reads, and scale what it adds.

Shape suffixes: B batch, O numbers observed, A action values, l tokens of a scale and a value, T tokens of all scales, C
code width, L latents, V codes, D network width, N heads, E width of a head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.algorithms.carp.config import PredictorConfig
from mage.algorithms.carp.quantizer import Quantizers
from mage.algorithms.carp.tokenizer import in_order
from mage.nn.blocks import KeyValueCache, block_causal_mask

FIRST_SCALE, LARGEST_SCALE = 4.0, 100.0
"""Of the attention's logits, in place of 1 / sqrt(E): directions are compared, and how sharply is learned."""

GAMMA_START, ADA_START, HEAD_START = 1e-3, 0.5, 0.02
EPSILON = 1e-6


class Predictor(nn.Module):
    """Logits of all tokens of a chunk.

    Args:
        config: its sizes.
        observed: O.
        values: A.
        quantizers: whose tokens are predicted; they are not kept.
    """

    mask_TT: Tensor

    def __init__(self, config: PredictorConfig, observed: int, values: int, quantizers: Quantizers) -> None:
        super().__init__()
        self.values = values
        self.lengths = [scale * values for scale in quantizers.scales]
        codes, code_dim = quantizers.code_AVC.shape[1:]
        width, tokens = config.embed_dim, sum(self.lengths)
        self.embed_observation = nn.Linear(observed, width)
        self.embed_code = nn.Linear(code_dim, width)
        self.start_lD = nn.Parameter(torch.empty(self.lengths[0], width))
        self.position_TD = nn.Parameter(torch.empty(tokens, width))
        self.scale_KD = nn.Parameter(torch.empty(len(self.lengths), width))
        last = config.drop_path * config.depth / 24
        dropped = torch.linspace(0, last, config.depth).tolist()
        self.blocks = nn.ModuleList([Block(width, config.num_heads, share) for share in dropped])
        self.modulate = nn.Linear(width, 2 * width)
        self.head = nn.Linear(width, codes)
        self.register_buffer("mask_TT", block_causal_mask(tuple(self.lengths)), persistent=False)
        self._initialise(width)

    def forward(self, observation_BO: Tensor, sums: Sequence[Tensor], quantizers: Quantizers) -> Tensor:
        """Logits (B, T, V), every scale from the true coarser ones (teacher forcing).

        Args:
            observation_BO: the last observations, normalised.
            sums: f_1, f_2, .. (B, A, C, L), of all scales but the last; more are not looked at.
            quantizers: of the frozen tokenizers.
        """
        condition_BD = self.embed_observation(observation_BO)
        scales = range(len(self.lengths))
        inputs = [self._input(k, condition_BD, sums[k - 1] if k else None, quantizers) for k in scales]
        hidden_BTD = torch.cat(inputs, 1)
        for block in self.blocks:
            hidden_BTD = block(hidden_BTD, condition_BD, self.mask_TT)
        return self._logits(hidden_BTD, condition_BD)

    @torch.no_grad()
    def generate(self, observation_BO: Tensor, quantizers: Quantizers) -> tuple[list[Tensor], Tensor]:
        """The likeliest tokens of each scale (B, A, l), given those of the coarser ones, and f_K (B, A, C, L)."""
        condition_BD = self.embed_observation(observation_BO)
        caches = [block.new_cache(len(condition_BD), sum(self.lengths)) for block in self.blocks]  # type: ignore[operator]
        tokens: list[Tensor] = []
        built_BACL: Tensor | None = None
        for k in range(len(self.lengths)):
            hidden_BlD = self._input(k, condition_BD, built_BACL, quantizers)
            for block, cache in zip(self.blocks, caches, strict=True):
                # no mask: the cache holds coarser scales only, and tokens of one scale all see each other
                hidden_BlD = block(hidden_BlD, condition_BD, cache=cache)
            token_Bl = self._logits(hidden_BlD, condition_BD).argmax(-1)
            tokens.append(token_Bl.unflatten(1, (-1, self.values)).transpose(1, 2))
            added_BACL = quantizers.contribution(tokens[-1], k)
            built_BACL = added_BACL if built_BACL is None else built_BACL + added_BACL
        assert built_BACL is not None
        return tokens, built_BACL

    def _input(self, k: int, condition_BD: Tensor, built_BACL: Tensor | None, quantizers: Quantizers) -> Tensor:
        position_lD = self.position_TD.split(self.lengths)[k] + self.scale_KD[k]
        if built_BACL is None:
            return condition_BD.unsqueeze(1) + self.start_lD + position_lD
        embedded_BlD: Tensor = self.embed_code(in_order(quantizers.scale_down(built_BACL, k)))
        return embedded_BlD + position_lD

    def _logits(self, hidden_BTD: Tensor, condition_BD: Tensor) -> Tensor:
        scale_B1D, shift_B1D = self.modulate(F.silu(condition_BD)).unsqueeze(1).chunk(2, -1)
        logits_BTV: Tensor = self.head(modulated(hidden_BTD, scale_B1D, shift_B1D))
        return logits_BTV

    def _initialise(self, width: int) -> None:
        std = math.sqrt(1 / width / 3)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for parameter in (self.start_lD, self.position_TD, self.scale_KD):
            nn.init.trunc_normal_(parameter, std=std)
        with torch.no_grad():
            self.head.weight.mul_(HEAD_START)
            self.modulate.weight.mul_(ADA_START)
            for block in self.blocks:
                assert isinstance(block, Block)
                block.damp(1 / math.sqrt(2 * len(self.blocks)))


class Block(nn.Module):
    """x + gamma attention(scale norm(x) + shift), then the same of an MLP; all three come from the condition.

    Args:
        width: D.
        num_heads: N.
        dropped: share of the rows for which, in training, a half of it is left out.
    """

    def __init__(self, width: int, num_heads: int, dropped: float) -> None:
        super().__init__()
        self.width, self.num_heads, self.dropped = width, num_heads, dropped
        self.modulate = nn.Linear(width, 6 * width)
        self.project_in = nn.Linear(width, 3 * width, bias=False)
        self.bias_2D = nn.Parameter(torch.zeros(2, width))
        self.log_scale_N11 = nn.Parameter(torch.full((num_heads, 1, 1), math.log(FIRST_SCALE)))
        self.project_out = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(
        self,
        x_BTD: Tensor,
        condition_BD: Tensor,
        mask_TT: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """`mask_TT` is True where a row may look at a column; with a cache, x attends to all it holds and to itself."""
        gamma, gamma_mlp, scale, scale_mlp, shift, shift_mlp = (
            self.modulate(F.silu(condition_BD)).unsqueeze(1).chunk(6, -1)
        )
        x_BTD = x_BTD + self._drop(self._attention(modulated(x_BTD, scale, shift), mask_TT, cache) * gamma)
        hidden_BTX = F.gelu(self.widen(modulated(x_BTD, scale_mlp, shift_mlp)), approximate="tanh")
        return x_BTD + self._drop(self.narrow(hidden_BTX) * gamma_mlp)

    def new_cache(self, batch: int, tokens: int) -> KeyValueCache:
        """An empty cache for `tokens` tokens."""
        shape = (batch, self.num_heads, tokens, self.width // self.num_heads)
        return KeyValueCache(self.bias_2D.new_empty(shape), self.bias_2D.new_empty(shape))

    def damp(self, factor: float) -> None:
        """Makes what it adds small at the start."""
        self.project_out.weight.mul_(factor)
        self.narrow.weight.mul_(factor)
        self.modulate.weight[: 2 * self.width].mul_(GAMMA_START)
        self.modulate.weight[2 * self.width :].mul_(ADA_START)

    def _attention(self, x_BTD: Tensor, mask_TT: Tensor | None, cache: KeyValueCache | None) -> Tensor:
        batch, tokens, _ = x_BTD.shape
        query_bias_D, value_bias_D = self.bias_2D
        bias_X = torch.cat([query_bias_D, torch.zeros_like(query_bias_D), value_bias_D])
        heads = (self.project_in(x_BTD) + bias_X).view(batch, tokens, 3, self.num_heads, -1)
        query_BNTE, key_BNTE, value_BNTE = heads.permute(2, 0, 3, 1, 4)
        sharpness_N11 = self.log_scale_N11.clamp_max(math.log(LARGEST_SCALE)).exp()
        query_BNTE, key_BNTE = F.normalize(query_BNTE, dim=-1) * sharpness_N11, F.normalize(key_BNTE, dim=-1)
        if cache is not None:
            key_BNTE, value_BNTE = cache.append(key_BNTE, value_BNTE)
        mixed_BNTE = F.scaled_dot_product_attention(query_BNTE, key_BNTE, value_BNTE, mask_TT, scale=1.0)
        mixed_BTD: Tensor = self.project_out(mixed_BNTE.transpose(1, 2).reshape(batch, tokens, -1))
        return mixed_BTD

    def _drop(self, added_BTD: Tensor) -> Tensor:
        return added_BTD * F.dropout(added_BTD.new_ones(len(added_BTD), 1, 1), self.dropped, self.training)


def modulated(x_BTD: Tensor, scale_B1D: Tensor, shift_B1D: Tensor) -> Tensor:
    """The norm of x, without weights of its own, scaled and shifted."""
    return F.layer_norm(x_BTD, x_BTD.shape[-1:], eps=EPSILON) * (1 + scale_B1D) + shift_B1D
