"""The network of Trajectory Transformer: a GPT over steps [s, a, r, V], one token a dimension.

No token may look at a value, not even the value's own: values know the future. The keys of values are therefore left
out, of the training mask and of the cache alike, and the value reaches only what follows it, as that token's input.

Shape suffixes: B batch, T tokens, D tokens of a step, H steps, C = N + 1 classes (the last one: the episode is over),
W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mage.algorithms.tt.config import TrajectoryTransformerConfig
from mage.nn.blocks import Block, KeyValueCache
from mage.nn.min_gpt import START, initialise, linear_weights


class TokenTransformer(nn.Module):
    """What comes next, of every token; token i of a step is read by head i, which predicts token i + 1 modulo D.

    Args:
        config: its sizes.
        dimensions: D.
    """

    def __init__(self, config: TrajectoryTransformerConfig, dimensions: int) -> None:
        super().__init__()
        width = config.embed_dim
        self.dimensions, self.bins = dimensions, config.bins
        self.embed = nn.Embedding(dimensions * config.bins + 1, width)
        self.position = nn.Parameter(torch.zeros(config.window * dimensions - 1, width))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList([Block(width, config.num_heads, config.dropout) for _ in range(config.depth)])
        self.norm = nn.LayerNorm(width)
        self.head_DWC = nn.Parameter(START * torch.randn(dimensions, width, config.bins + 1))
        initialise(self)

    @property
    def decayed(self) -> list[nn.Parameter]:
        """The weights that decay."""
        return [*linear_weights(self), self.head_DWC]

    def forward(self, token_BT: Tensor) -> Tensor:
        """Logits (B, T, C) of what follows each token of windows that begin with a step."""
        hidden_BTW = self._hidden(token_BT, 0, None)
        batch, tokens, width = hidden_BTW.shape
        lacking = -tokens % self.dimensions
        hidden_BHDW = nn.functional.pad(hidden_BTW, (0, 0, 0, lacking)).view(batch, -1, self.dimensions, width)
        return torch.einsum("bhdw,dwc->bhdc", hidden_BHDW, self.head_DWC).flatten(1, 2)[:, :tokens]

    def next(self, token_BT: Tensor, first: int = 0, caches: list[KeyValueCache] | None = None) -> Tensor:
        """Logits (B, C) of what follows the last of these tokens, before which `caches` hold `first` others."""
        hidden_BW = self._hidden(token_BT, first, caches)[:, -1]
        return hidden_BW @ self.head_DWC[(first + token_BT.shape[1] - 1) % self.dimensions]

    def new_caches(self, batch: int, tokens: int) -> list[KeyValueCache]:
        """For so many tokens, those of values among them."""
        shown = tokens - tokens // self.dimensions
        return [block.new_cache(batch, shown) for block in self.blocks]  # type: ignore[operator]

    def _hidden(self, token_BT: Tensor, first: int, caches: list[KeyValueCache] | None) -> Tensor:
        place_T = torch.arange(first, first + token_BT.shape[1], device=token_BT.device)
        offset_T = place_T % self.dimensions * self.bins
        stop = self.dimensions * self.bins
        row_BT = torch.where(token_BT == self.bins, stop, token_BT + offset_T)
        hidden_BTW = self.dropout(self.embed(row_BT) + self.position[place_T])
        shown_T, mask_TT = self._is_shown(place_T).nonzero().squeeze(1), None
        if len(place_T) > 1:
            seen_T = torch.arange(int(place_T[-1]) + 1, device=token_BT.device)
            mask_TT = seen_T[self._is_shown(seen_T)] <= place_T.unsqueeze(1)
        for number, block in enumerate(self.blocks):
            hidden_BTW = block(hidden_BTW, mask_TT, caches[number] if caches else None, shown_T)
        hidden_BTW = self.norm(hidden_BTW)
        return hidden_BTW

    def _is_shown(self, place_T: Tensor) -> Tensor:
        return place_T % self.dimensions != self.dimensions - 1


class TokenStream:
    """Sequences that grow token by token, of which the network sees the last steps: whole ones, and the one at hand.

    A step that no longer fits is dropped, and positions begin anew; what is cached is then of no use. So the network is
    shown the same whether there is a cache or not.

    Attributes:
        token_NT: of each row, all that it has grown by so far.

    Args:
        network: what continues them.
        token_NT: whole steps, and the observation at hand.
        context: steps that the network sees, with the one at hand.
        cached: whether keys and values are remembered.
    """

    def __init__(self, network: TokenTransformer, token_NT: Tensor, context: int, cached: bool) -> None:
        self.network, self.token_NT, self.cached = network, token_NT, cached
        self.longest = context * network.dimensions - 1
        self.start = self.read = 0
        self.caches: list[KeyValueCache] | None = None
        self.logits_NC: Tensor | None = None

    def next(self) -> Tensor:
        """Logits (N, C) of the next token."""
        if self.logits_NC is None:
            self.logits_NC = self._read_on() if self.cached else self._read_all()
        return self.logits_NC

    def push(self, token_N: Tensor) -> None:
        """Goes on by one token each."""
        self.token_NT, self.logits_NC = torch.cat([self.token_NT, token_N.unsqueeze(1)], 1), None

    def select(self, row_N: Tensor) -> None:
        """Goes on with those rows, which may be fewer or more than there were."""
        self.token_NT = self.token_NT[row_N]
        self.logits_NC = None if self.logits_NC is None else self.logits_NC[row_N]
        for cache in self.caches or ():
            cache.select(row_N)

    def _read_all(self) -> Tensor:
        return self.network.next(self.token_NT[:, self._first_shown() :])

    def _read_on(self) -> Tensor:
        rows, length = self.token_NT.shape
        if self.caches is None or self._first_shown() > self.start:
            self.caches = self.network.new_caches(rows, self.longest)
            self.start = self.read = self._first_shown()
        logits_NC = self.network.next(self.token_NT[:, self.read :], self.read - self.start, self.caches)
        self.read = length
        return logits_NC

    def _first_shown(self) -> int:
        dimensions, lacks = self.network.dimensions, self.token_NT.shape[1] - self.longest
        return -(-max(0, lacks) // dimensions) * dimensions
