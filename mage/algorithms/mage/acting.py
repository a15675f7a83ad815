"""Generating token maps step after step: what `MultiScaleTransformer.generate` computes, to the bit, in fewer calls.

Small batches wait for Python and for buffers more than for products. So what does not change between the steps of a
batch of episodes is made once: the cache of keys and values, every view of it, and positions. The products are those of
the plain pass, of the same shapes and strides, for any other may differ in its last bit and an episode with it.

Shape suffixes: B batch, Y = 1 + S values of the condition, L latent length, l tokens of one scale, T tokens of all
scales, C code width, D network width, N heads, E width of a head.
"""

from __future__ import annotations

from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.algorithms.mage.products import linear, norm
from mage.algorithms.mage.quantizer import MultiScaleQuantizer
from mage.algorithms.mage.token_choice import Choice
from mage.algorithms.mage.transformer import MultiScaleTransformer, add, hear
from mage.nn.blocks import Block


class Generation:
    """Token maps for batches of one size, with the weights as they are when it is made.

    Args:
        transformer: in evaluation mode.
        quantizer: of the frozen autoencoder.
        batch: B, rows that are generated together.
        scales: the coarsest that are wanted; by default all.
        in_8_bits: the products of the transformer's blocks; tokens may then be others than those of the plain pass.
    """

    def __init__(
        self,
        transformer: MultiScaleTransformer,
        quantizer: MultiScaleQuantizer,
        batch: int,
        scales: int | None = None,
        in_8_bits: bool = False,
    ) -> None:
        self.transformer, self.quantizer = transformer, quantizer
        lengths = transformer.schedule[:scales]
        ends = list(accumulate(lengths))
        with torch.inference_mode():
            positions = transformer.position_TD.split(transformer.schedule)[: len(lengths)]
            self.positions = [
                own_lD + scale_D for own_lD, scale_D in zip(positions, transformer.scale_KD, strict=False)
            ]
            self.blocks = [
                PreparedBlock(cast(Block, block), batch, lengths, ends, in_8_bits) for block in transformer.blocks
            ]
            self.embed_code, self.head = linear(transformer.embed_code), linear(transformer.head)
            self.norm = norm(transformer.norm)

    @torch.inference_mode()
    def __call__(self, condition_BY: Tensor, choose: Choice) -> tuple[list[Tensor], Tensor]:
        """The token maps and Z = z_1 + .. + z_K (B, L, C) of so many scales."""
        quantizer = self.quantizer
        told = self.transformer.embed_conditions(condition_BY)
        token_maps: list[Tensor] = []
        built_BLC: Tensor | None = None
        for k, position_lD in enumerate(self.positions):
            if built_BLC is None:
                hidden_BlD = told.first_B1D + position_lD
            else:
                hidden_BlD = self.embed_code(quantizer.scale_down(built_BLC, k)) + position_lD + told.finer_B1D
            for number, block in enumerate(self.blocks):
                hidden_BlD = block(hear(hidden_BlD, told, number), k)
            tokens_Bl, code_BlC = choose(self.head(self.norm(hidden_BlD)), quantizer.codebook_VC)
            token_maps.append(tokens_Bl)
            built_BLC = add(built_BLC, quantizer.scale_up(code_BlC, k))
        assert built_BLC is not None
        return token_maps, built_BLC


class PreparedBlock:
    """A transformer block with its cache: what `Block.forward` computes of the tokens of scale k, after the coarser."""

    def __init__(self, block: Block, batch: int, lengths: tuple[int, ...], ends: list[int], in_8_bits: bool) -> None:
        weight = block.attention.project_in.weight
        heads = block.attention.num_heads
        shape = (batch, heads, ends[-1], weight.shape[1] // heads)
        cache_2BNTE = weight.new_empty((2, *shape))
        self.new = [cache_2BNTE[..., end - length : end, :] for length, end in zip(lengths, ends, strict=True)]
        self.known = [(cache_2BNTE[0, ..., :end, :], cache_2BNTE[1, ..., :end, :]) for end in ends]
        self.split = [(batch, length, 3, heads, shape[-1]) for length in lengths]
        self.joined = [(batch, length, weight.shape[1]) for length in lengths]
        self.norm_attention, self.norm_mlp = norm(block.norm_attention), norm(block.norm_mlp)
        layers = (block.attention.project_in, block.attention.project_out, block.mlp[0], block.mlp[2])
        products = [linear(cast(nn.Linear, layer), in_8_bits) for layer in layers]
        self.project_in, self.project_out, self.widen, self.narrow = products

    def __call__(self, x_BlD: Tensor, k: int) -> Tensor:
        """(B, l, D) -> (B, l, D)."""
        heads_3BNlE = self.project_in(self.norm_attention(x_BlD)).view(self.split[k]).permute(2, 0, 3, 1, 4)
        self.new[k].copy_(heads_3BNlE[1:])
        key_BNTE, value_BNTE = self.known[k]
        if key_BNTE.shape[2] == 1:  # all the weight there is falls on the only token
            mixed_BNlE = value_BNTE
        else:
            mixed_BNlE = F.scaled_dot_product_attention(heads_3BNlE[0], key_BNTE, value_BNTE)
        x_BlD = x_BlD + self.project_out(mixed_BNlE.transpose(1, 2).reshape(self.joined[k]))
        return x_BlD + self.narrow(F.gelu(self.widen(self.norm_mlp(x_BlD))))
