"""Condition-guided refinement: adapters between the frozen decoder's blocks, D' of equation 7 (section 3.2).

Shape suffixes: B batch, L latent length, C code width, D network width, H horizon, X values of a modelled step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.algorithms.mage.autoencoder import Decoder
from mage.algorithms.mage.network_config import TransformerConfig


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
    """D'(Z, R_0): the decoder of stage 1 with one adapter after each of its blocks. Only the adapters are its
    parameters; without adapters (`condition_path: decoder`, Table 22) it is the decoder itself. Where D does not see
    R_0 (`return_in_decoder: false`, Table 7), neither does D'.
    """

    def __init__(self, decoder: Decoder, width: int, config: TransformerConfig) -> None:
        super().__init__()
        adapters = len(decoder.blocks) if config.condition_path == "adapters" else 0
        self.adapters = nn.ModuleList([Adapter(width, config.adapter_dim) for _ in range(adapters)])
        # kept out of the module tree: the decoder belongs to the autoencoder and is saved with it, once
        self._decoder = [decoder]

    @property
    def decoder(self) -> Decoder:
        """The decoder of stage 1."""
        return self._decoder[0]

    def forward(self, latent_BLC: Tensor, return_to_go_B1: Tensor) -> Tensor:
        """(B, L, C), (B, 1) -> (B, H, X)."""

        # a decoder without R_0 has adapters without it: else they would copy it, and L_cond ask nothing of Z for it
        heard_B1 = torch.zeros_like(return_to_go_B1) if self.decoder.embed_return is None else return_to_go_B1

        def adapt(index: int, hidden_BLD: Tensor) -> Tensor:
            adapted: Tensor = self.adapters[index](hidden_BLD, heard_B1)
            return adapted

        trajectory_BHX: Tensor = self.decoder(latent_BLC, return_to_go_B1, adapt if len(self.adapters) else None)
        return trajectory_BHX
