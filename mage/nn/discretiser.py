"""Values as tokens: each dimension by itself, in bins of equal counts or of equal widths.

Bins of equal counts (quantiles) have two traps. Where many values are equal, such as the zeros of a sparse reward,
edges repeat, and what lies between the last two of them is one bin, however wide: 0 and 1 would be one token. Such a
dimension gets bins of equal widths. And taking every so-manieth of the sorted values makes too few bins of little data;
edges are therefore interpolated.

Shape suffixes: M rows, D dimensions, N bins; `..` any leading axes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

Bins = Literal["quantiles", "widths"]


class Discretiser(nn.Module):
    """Tokens 0..N-1 of values, and the middle of its bin for each token. The edges are saved with the weights.

    Args:
        dimensions: D.
        bins: N, of every dimension.
    """

    edge_DE: Tensor

    def __init__(self, dimensions: int, bins: int) -> None:
        super().__init__()
        self.bins = bins
        self.register_buffer("edge_DE", torch.linspace(0, 1, bins + 1).repeat(dimensions, 1))

    def fit(self, values_MD: np.ndarray, kind: Bins) -> None:
        """Sets the N + 1 edges of each dimension: equal counts between them where none repeats, else equal widths."""
        for dimension, column_M in enumerate(values_MD.T):
            edge_E = np.linspace(column_M.min(), column_M.max(), self.bins + 1, dtype=np.float32)
            if kind == "quantiles":
                quantile_E = np.quantile(column_M, np.linspace(0, 1, self.bins + 1)).astype(np.float32)
                edge_E = quantile_E if (np.diff(quantile_E) > 0).all() else edge_E
            self.edge_DE[dimension] = torch.from_numpy(edge_E).to(self.edge_DE.device)

    def encode(self, values: Tensor, first: int = 0) -> Tensor:
        """Values (.., d) of the dimensions from `first` on -> tokens: the last edge that is not above each."""
        edge_DE = self.edge_DE[first : first + values.shape[-1]]
        flat_DM = values.reshape(-1, len(edge_DE)).T.contiguous()
        token_DM = torch.searchsorted(edge_DE, flat_DM, right=True) - 1
        return token_DM.clamp_(0, self.bins - 1).T.reshape(values.shape)

    def decode(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Tokens (.., d) of the dimensions from `first` on -> the middles of their bins."""
        middle_DN = self.middles()[first : first + tokens.shape[-1]]
        return middle_DN[torch.arange(len(middle_DN), device=tokens.device), tokens]

    def middles(self) -> Tensor:
        """Of all bins, (D, N)."""
        return (self.edge_DE[:, 1:] + self.edge_DE[:, :-1]) / 2
