"""Multi-scale transformer (section 3.2, equations 4 and 5).

p(m_1..m_K | s_0, R_0) = prod_k p(m_k | m_<k, s_0, R_0): the tokens of one scale are predicted in parallel, from all
coarser scales and the condition. As in VAR, the input of scale k > 1 is scale_down(z_1 + .. + z_{k-1}, l_k), so that
every token of scale k starts from what the coarser scales say at its own place in time.

Shape suffixes: B batch, Y = 1 + S values of the condition, L latent length, l tokens of one scale, T tokens of all
scales, C code width, V codebook size, D network width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mage.algorithms.mage.heard_condition import ConditionBins
from mage.algorithms.mage.network_config import AutoencoderConfig, TransformerConfig
from mage.algorithms.mage.quantizer import MultiScaleQuantizer
from mage.algorithms.mage.token_choice import Choice, TokenChoice
from mage.nn.blocks import Block, Embedding, block_causal_mask, position_parameter


class Told(NamedTuple):
    """A condition as the first scale, the finer ones and every block get it."""

    first_B1D: Tensor
    finer_B1D: Tensor
    block_NB1D: Tensor | None


class MultiScaleTransformer(nn.Module):
    """Predicts token maps coarse to fine, conditioned on (s_0, R_0) at every scale."""

    mask_TT: Tensor

    def __init__(self, config: TransformerConfig, autoencoder: AutoencoderConfig, observation_size: int) -> None:
        super().__init__()
        self.config, self.schedule = config, autoencoder.schedule
        width, tokens = config.embed_dim, sum(self.schedule)
        self.embed_condition = Embedding(observation_size + (config.return_condition != "none"), width)
        self.embed_finer: Embedding | None = None
        if config.return_condition == "first_scale" and len(self.schedule) > 1:
            self.embed_finer = Embedding(observation_size, width)
        self.bins: ConditionBins | None = None
        if config.condition_bins:
            self.bins = ConditionBins(config.condition_bins, config.depth, width)
        self.embed_code = nn.Linear(autoencoder.code_dim, width)
        if len(self.schedule) == 1:  # with one scale nothing is fed back: no parameter may wait for a gradient
            self.embed_code.requires_grad_(False)
        self.position_TD = position_parameter(tokens, width)
        self.scale_KD = position_parameter(len(self.schedule), width)
        self.blocks = nn.ModuleList([Block(width, config.num_heads, config.dropout) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, autoencoder.codebook_size)
        self.register_buffer("mask_TT", block_causal_mask(self.schedule), persistent=False)

    def forward(self, token_maps: list[Tensor], condition_BY: Tensor, quantizer: MultiScaleQuantizer) -> Tensor:
        """Logits (B, T, V) of every token of every scale, in one pass over true token maps (teacher forcing).

        Args:
            token_maps: m_1..m_K; the finest is not looked at.
            condition_BY: (B, 1 + S), R_0 (nan where none is told, see `heard_condition`) and s_0, normalised.
            quantizer: of the frozen autoencoder.
        """
        told = self.embed_conditions(condition_BY)
        inputs, built_BLC = [self._scale_input(0, None, told, quantizer)], None
        for k in range(1, len(self.schedule)):
            built_BLC = add(built_BLC, quantizer.scale_up(quantizer.lookup(token_maps[k - 1]), k - 1))
            inputs.append(self._scale_input(k, built_BLC, told, quantizer))
        return self._logits(inputs, told)

    def unroll(
        self, condition_BY: Tensor, quantizer: MultiScaleQuantizer, draw: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Algorithm 5 as printed: every scale is predicted from the codes drawn at the coarser ones, with gradients.

        Args:
            draw: logits (B, l, V) -> weights of the codes (B, l, V), differentiable.

        Returns:
            Logits (B, T, V) and Z (B, L, C).
        """
        told = self.embed_conditions(condition_BY)
        inputs: list[Tensor] = []
        logits: list[Tensor] = []
        built_BLC: Tensor | None = None
        for k in range(len(self.schedule)):
            inputs.append(self._scale_input(k, built_BLC, told, quantizer))
            # all coarser scales again: a cache that is written in place would break their gradients
            logits.append(self._logits(inputs, told)[:, -self.schedule[k] :])
            built_BLC = add(built_BLC, quantizer.scale_up(draw(logits[-1]) @ quantizer.codebook_VC, k))
        assert built_BLC is not None
        return torch.cat(logits, 1), built_BLC

    @torch.no_grad()
    def generate(
        self,
        condition_BY: Tensor,
        quantizer: MultiScaleQuantizer,
        choose: Choice | None = None,
        given: Sequence[Tensor] = (),
    ) -> tuple[list[Tensor], Tensor]:
        """Generates K token maps with a key-value cache: one pass per scale, each over that scale's tokens only.

        Args:
            condition_BY: (R_0, s_0), normalised.
            quantizer: of the frozen autoencoder.
            choose: turns logits into tokens; by default the likeliest.
            given: the coarsest token maps m_1..m_j, from which it goes on.

        Returns:
            The token maps and Z = z_1 + .. + z_K (B, L, C).
        """
        choose = choose or TokenChoice()
        told = self.embed_conditions(condition_BY)
        tokens = sum(self.schedule)
        caches = [block.new_cache(len(condition_BY), tokens) for block in self.blocks if isinstance(block, Block)]
        token_maps: list[Tensor] = []
        built_BLC: Tensor | None = None
        for k in range(len(self.schedule)):
            hidden_BlD = self._scale_input(k, built_BLC, told, quantizer)
            for number, (block, cache) in enumerate(zip(self.blocks, caches, strict=True)):
                # no mask: the cache holds coarser scales only, and tokens of one scale all see each other
                hidden_BlD = block(hear(hidden_BlD, told, number), cache=cache)
            if k < len(given):
                tokens_Bl, code_BlC = given[k], quantizer.lookup(given[k])
            else:
                tokens_Bl, code_BlC = choose(self.head(self.norm(hidden_BlD)), quantizer.codebook_VC)
            token_maps.append(tokens_Bl)
            built_BLC = add(built_BLC, quantizer.scale_up(code_BlC, k))
        assert built_BLC is not None
        return token_maps, built_BLC

    def embed_conditions(self, condition_BY: Tensor) -> Told:
        """The condition as the first scale and as the finer scales see it (Tables 7 and 23), and every block (ours)."""
        block_NB1D = None
        if self.bins is not None:
            block_NB1D = self.bins(condition_BY[:, 0])
            condition_BY = condition_BY.nan_to_num()
        seen = condition_BY[:, 1:] if self.config.return_condition == "none" else condition_BY
        first_B1D = self.embed_condition(seen).unsqueeze(1)
        finer_B1D = first_B1D if self.embed_finer is None else self.embed_finer(condition_BY[:, 1:]).unsqueeze(1)
        return Told(first_B1D, finer_B1D, block_NB1D)

    def _scale_input(self, k: int, built_BLC: Tensor | None, told: Told, quantizer: MultiScaleQuantizer) -> Tensor:
        """What enters the blocks at scale k + 1: position and condition, and what the coarser scales have built."""
        start = sum(self.schedule[:k])
        position_lD = self.position_TD[start : start + self.schedule[k]] + self.scale_KD[k]
        if built_BLC is None:
            return told.first_B1D + position_lD
        return self.embed_code(quantizer.scale_down(built_BLC, k)) + position_lD + told.finer_B1D

    def _logits(self, inputs: list[Tensor], told: Told) -> Tensor:
        hidden_BTD = torch.cat(inputs, 1)
        tokens = hidden_BTD.shape[1]
        for number, block in enumerate(self.blocks):
            hidden_BTD = block(hear(hidden_BTD, told, number), self.mask_TT[:tokens, :tokens])
        logits_BTV: Tensor = self.head(self.norm(hidden_BTD))
        return logits_BTV


def hear(hidden_BlD: Tensor, told: Told, block: int) -> Tensor:
    """What enters a block, by its number."""
    return hidden_BlD if told.block_NB1D is None else hidden_BlD + told.block_NB1D[block]


def add(built_BLC: Tensor | None, z_BLC: Tensor) -> Tensor:
    """The running sum z_1 + .. + z_k."""
    return z_BLC if built_BLC is None else built_BLC + z_BLC
