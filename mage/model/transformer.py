"""Multi-scale transformer (section 3.2, equations 4 and 5).

p(m_1..m_K | s_0, R_0) = prod_k p(m_k | m_<k, s_0, R_0): the tokens of one scale are predicted in parallel, from all
coarser scales and the condition. As in VAR, the input of scale k > 1 is scale_down(z_1 + .. + z_{k-1}, l_k), so that
every token of scale k starts from what the coarser scales say at its own place in time.

Shape suffixes: B batch, S observation dimension, L latent length, l tokens of one scale, T tokens of all scales, C
code width, V codebook size, D network width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mage.config import AutoencoderConfig, TransformerConfig
from mage.model.blocks import Block, Embedding, position_parameter
from mage.model.quantizer import MultiScaleQuantizer


class MultiScaleTransformer(nn.Module):
    """Predicts token maps coarse to fine, conditioned on (s_0, R_0) at every scale."""

    mask_TT: Tensor

    def __init__(self, config: TransformerConfig, autoencoder: AutoencoderConfig, observation_dim: int) -> None:
        super().__init__()
        self.schedule = autoencoder.schedule
        width, tokens = config.embed_dim, sum(self.schedule)
        self.embed_condition = Embedding(1 + observation_dim, width)
        self.embed_code = nn.Linear(autoencoder.code_dim, width)
        if len(self.schedule) == 1:  # with one scale nothing is fed back: no parameter may wait for a gradient
            self.embed_code.requires_grad_(False)
        self.position_TD = position_parameter(tokens, width)
        self.scale_KD = position_parameter(len(self.schedule), width)
        self.blocks = nn.ModuleList([Block(width, config.num_heads, config.dropout) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, autoencoder.codebook_size)
        self.register_buffer("mask_TT", block_causal_mask(self.schedule), persistent=False)

    def forward(self, token_maps: list[Tensor], condition_BX: Tensor, quantizer: MultiScaleQuantizer) -> Tensor:
        """Logits (B, T, V) of every token of every scale, in one pass over true token maps (teacher forcing).

        Args:
            token_maps: m_1..m_K; the finest is not looked at.
            condition_BX: (B, 1 + S), R_0 and s_0, normalised.
            quantizer: of the frozen autoencoder.
        """
        condition_BD = self.embed_condition(condition_BX)
        inputs = [self._first_scale(condition_BD)]
        built_BLC: Tensor | None = None
        for k in range(1, len(self.schedule)):
            z_BLC = quantizer.scale_up(quantizer.lookup(token_maps[k - 1]), k - 1)
            built_BLC = z_BLC if built_BLC is None else built_BLC + z_BLC
            inputs.append(self._scale_input(k, built_BLC, condition_BD, quantizer))
        hidden_BTD = torch.cat(inputs, 1)
        for block in self.blocks:
            hidden_BTD = block(hidden_BTD, self.mask_TT)
        logits_BTV: Tensor = self.head(self.norm(hidden_BTD))
        return logits_BTV

    @torch.no_grad()
    def generate(
        self, condition_BX: Tensor, quantizer: MultiScaleQuantizer, choose: TokenChoice | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Generates K token maps with a key-value cache: one pass per scale, each over that scale's tokens only.

        Returns the token maps and Z = z_1 + .. + z_K (B, L, C).
        """
        choose = choose or TokenChoice()
        condition_BD = self.embed_condition(condition_BX)
        tokens = sum(self.schedule)
        caches = [block.new_cache(len(condition_BX), tokens) for block in self.blocks if isinstance(block, Block)]
        hidden_BlD = self._first_scale(condition_BD)
        token_maps: list[Tensor] = []
        built_BLC: Tensor | None = None
        for k in range(len(self.schedule)):
            if built_BLC is not None:
                hidden_BlD = self._scale_input(k, built_BLC, condition_BD, quantizer)
            for block, cache in zip(self.blocks, caches, strict=True):
                # no mask: the cache holds coarser scales only, and tokens of one scale all see each other
                hidden_BlD = block(hidden_BlD, cache=cache)
            token_maps.append(choose(self.head(self.norm(hidden_BlD))))
            z_BLC = quantizer.scale_up(quantizer.lookup(token_maps[-1]), k)
            built_BLC = z_BLC if built_BLC is None else built_BLC + z_BLC
        assert built_BLC is not None
        return token_maps, built_BLC

    def _first_scale(self, condition_BD: Tensor) -> Tensor:
        tokens = self.schedule[0]
        return condition_BD.unsqueeze(1) + self.position_TD[:tokens] + self.scale_KD[0]

    def _scale_input(self, k: int, built_BLC: Tensor, condition_BD: Tensor, quantizer: MultiScaleQuantizer) -> Tensor:
        start = sum(self.schedule[:k])
        position_lD = self.position_TD[start : start + self.schedule[k]] + self.scale_KD[k]
        code_BlD = self.embed_code(quantizer.scale_down(built_BLC, k))
        return code_BlD + position_lD + condition_BD.unsqueeze(1)


class TokenChoice:
    """Turns logits into tokens: the likeliest code, or a draw at some temperature among the k likeliest.

    Every row of a batch draws from a generator of its own, so that an episode does not depend on its neighbours.
    """

    def __init__(
        self, temperature: float = 1.0, top_k: int | None = None, generators: Sequence[torch.Generator] | None = None
    ) -> None:
        self.temperature, self.top_k, self.generators = temperature, top_k, generators

    def __call__(self, logits_BlV: Tensor) -> Tensor:
        """(B, l, V) -> (B, l)."""
        if self.generators is None:
            return logits_BlV.argmax(-1)
        if self.top_k is not None and self.top_k < logits_BlV.shape[-1]:
            smallest = logits_BlV.topk(self.top_k, -1).values[..., -1:]
            logits_BlV = logits_BlV.masked_fill(logits_BlV < smallest, -torch.inf)
        uniform = torch.stack([torch.rand(logits_BlV.shape[1:], generator=own) for own in self.generators])
        return (logits_BlV / self.temperature + gumbel(uniform.to(logits_BlV.device))).argmax(-1)


def gumbel(uniform: Tensor) -> Tensor:
    """Gumbel noise from uniform noise."""
    return -(-uniform.clamp(1e-10, 1 - 1e-7).log()).log()


def block_causal_mask(schedule: tuple[int, ...]) -> Tensor:
    """(T, T), True where a token may look: at its own and all coarser scales, never at a finer one."""
    scale_T = torch.repeat_interleave(torch.arange(len(schedule)), torch.tensor(schedule))
    return scale_T[:, None] >= scale_T[None, :]
