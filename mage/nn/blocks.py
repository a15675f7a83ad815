"""The transformer block shared by the encoder, the decoder and the multi-scale transformer.

Shape suffixes: B batch, T tokens, M remembered tokens (cache), D width, N heads, E width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class KeyValueCache:
    """Keys and values of the tokens one attention layer has seen, in buffers made once for all T tokens."""

    def __init__(self, keys_BNTE: Tensor, values_BNTE: Tensor) -> None:
        self.keys_BNTE, self.values_BNTE = keys_BNTE, values_BNTE
        self.length = 0

    def append(self, key_BNTE: Tensor, value_BNTE: Tensor) -> tuple[Tensor, Tensor]:
        """Remembers new tokens and returns everything remembered so far."""
        end = self.length + key_BNTE.shape[2]
        self.keys_BNTE[:, :, self.length : end] = key_BNTE
        self.values_BNTE[:, :, self.length : end] = value_BNTE
        self.length = end
        return self.keys_BNTE[:, :, :end], self.values_BNTE[:, :, :end]

    def select(self, row_N: Tensor) -> None:
        """Goes on with those rows of the batch, which may be fewer or more than there were."""
        self.keys_BNTE, self.values_BNTE = self.keys_BNTE[row_N], self.values_BNTE[row_N]


class SelfAttention(nn.Module):
    """Multi-head self-attention, masked or not, with an optional key-value cache."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    def forward(
        self,
        x_BTD: Tensor,
        mask_TT: Tensor | None = None,
        cache: KeyValueCache | None = None,
        shown: Tensor | None = None,
    ) -> Tensor:
        """`mask_TT` is True where a row may look at a column; with a cache, x attends to all it holds and to itself.

        `shown` are the places of the tokens of x that may be looked at, if not all: the columns, and what is cached.
        """
        batch, tokens, width = x_BTD.shape
        heads = self.project_in(x_BTD).view(batch, tokens, 3, self.num_heads, width // self.num_heads)
        query_BNTE, key_BNTE, value_BNTE = heads.permute(2, 0, 3, 1, 4)
        if shown is not None:
            key_BNTE, value_BNTE = key_BNTE[:, :, shown], value_BNTE[:, :, shown]
        if cache is not None:
            key_BNTE, value_BNTE = cache.append(key_BNTE, value_BNTE)
        dropout = self.dropout if self.training else 0.0
        mixed_BNTE = F.scaled_dot_product_attention(query_BNTE, key_BNTE, value_BNTE, mask_TT, dropout)
        return self.project_out(mixed_BNTE.transpose(1, 2).reshape(batch, tokens, width))


class Block(nn.Module):
    """Pre-norm transformer block: x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = SelfAttention(width, num_heads, dropout)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x_BTD: Tensor,
        mask_TT: Tensor | None = None,
        cache: KeyValueCache | None = None,
        shown: Tensor | None = None,
    ) -> Tensor:
        """The arguments are those of `SelfAttention`."""
        x_BTD = x_BTD + self.dropout(self.attention(self.norm_attention(x_BTD), mask_TT, cache, shown))
        return x_BTD + self.dropout(self.mlp(self.norm_mlp(x_BTD)))

    def new_cache(self, batch: int, tokens: int) -> KeyValueCache:
        """An empty cache for `tokens` tokens."""
        weight = self.attention.project_in.weight
        heads = self.attention.num_heads
        shape = (batch, heads, tokens, weight.shape[1] // heads)
        return KeyValueCache(weight.new_empty(shape), weight.new_empty(shape))


class MLP(nn.Module):
    """A multilayer perceptron with GELU between its layers."""

    def __init__(self, inputs: int, hidden_dim: int, hidden_layers: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(hidden_layers):
            layers += [nn.Linear(inputs, hidden_dim), nn.GELU()]
            inputs = hidden_dim
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layers(inputs)
        return outputs


class Embedding(MLP):
    """A small MLP that turns a condition vector into an embedding."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width, 1, width)


def position_parameter(length: int, width: int) -> nn.Parameter:
    """Learned position embeddings, small at the start."""
    return nn.Parameter(0.02 * torch.randn(length, width))


def block_causal_mask(schedule: tuple[int, ...]) -> Tensor:
    """(T, T), True where a token may look: at its own and all coarser scales, never at a finer one."""
    scale_T = torch.repeat_interleave(torch.arange(len(schedule)), torch.tensor(schedule))
    return scale_T[:, None] >= scale_T[None, :]
