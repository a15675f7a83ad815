"""The tokenizers of action chunks (Gong et al., 2024, section 3.1), one for each action value.

Each is a small VQ-VAE over time of one value, and knows of no other. They lie side by side in grouped convolutions, the
channels of a value together, so that all learn in one pass, each as it would alone.

Shape suffixes: B batch, A action values, N steps of a chunk, L = N / 4 latents, C code width, X channels of all values.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.algorithms.carp.config import TokenizerConfig
from mage.algorithms.carp.quantizer import Quantizers

GAIN = 0.5


class Tokenizers(nn.Module):
    """Chunks of actions as tokens and back.

    Args:
        config: their sizes.
        values: A.
    """

    def __init__(self, config: TokenizerConfig, values: int) -> None:
        super().__init__()
        self.values = values
        width, code = config.width, config.code_dim
        self.encoder = nn.Sequential(
            convolution(values, 1, width),
            Residual(values, width, 2 * width),
            Halve(values, 2 * width),
            Residual(values, 2 * width, 2 * width),
            Residual(values, 2 * width, 4 * width),
            Halve(values, 4 * width),
            Residual(values, 4 * width, 4 * width),
            norm(values, 4 * width),
            nn.SiLU(),
            convolution(values, 4 * width, code),
            convolution(values, code, code),
        )
        self.quantizers = Quantizers(values, config.codes, code, config.scales, config.commitment_weight)
        self.decoder = nn.Sequential(
            convolution(values, code, code),
            norm(values, code),
            nn.SiLU(),
            convolution(values, code, 4 * width),
            Residual(values, 4 * width, 4 * width),
            double(values, 4 * width),
            Residual(values, 4 * width, 2 * width),
            Residual(values, 2 * width, 2 * width),
            double(values, 2 * width),
            Residual(values, 2 * width, width),
            convolution(values, width, 1),
        )
        initialise(self, values)

    def encode(self, action_BNA: Tensor) -> Tensor:
        """(B, N, A) -> latents (B, A, C, L)."""
        latent_BXL: Tensor = self.encoder(action_BNA.transpose(1, 2))
        return latent_BXL.unflatten(1, (self.values, -1))

    def decode(self, latent_BACL: Tensor) -> Tensor:
        """(B, A, C, L) -> (B, N, A)."""
        value_BAN: Tensor = self.decoder(latent_BACL.flatten(1, 2))
        return value_BAN.transpose(1, 2)

    @torch.no_grad()
    def tokens(self, action_BNA: Tensor) -> list[Tensor]:
        """(B, N, A) -> per scale, (B, A, l)."""
        return self.quantizers.quantize(self.encode(action_BNA)).tokens


class Residual(nn.Module):
    """x + what two convolutions make of it, each after a norm over the channels and steps of a value."""

    def __init__(self, values: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            norm(values, inputs),
            nn.SiLU(),
            convolution(values, inputs, outputs),
            norm(values, outputs),
            nn.SiLU(),
            convolution(values, outputs, outputs),
        )
        self.shortcut = nn.Identity() if inputs == outputs else convolution(values, inputs, outputs, size=1)

    def forward(self, x_BXN: Tensor) -> Tensor:
        y_BXN: Tensor = self.shortcut(x_BXN) + self.layers(x_BXN)
        return y_BXN


class Halve(nn.Module):
    """Half as many steps; a zero is laid after the last."""

    def __init__(self, values: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(values * width, values * width, 3, stride=2, groups=values)

    def forward(self, x_BXN: Tensor) -> Tensor:
        y_BXN: Tensor = self.convolution(F.pad(x_BXN, (0, 1)))
        return y_BXN


def double(values: int, width: int) -> nn.ConvTranspose1d:
    """Twice as many steps."""
    return nn.ConvTranspose1d(values * width, values * width, 3, stride=2, padding=1, output_padding=1, groups=values)


def convolution(values: int, inputs: int, outputs: int, size: int = 3) -> nn.Conv1d:
    """Over time, of each value by itself."""
    return nn.Conv1d(values * inputs, values * outputs, size, padding=size // 2, groups=values)


def norm(values: int, width: int) -> nn.GroupNorm:
    """Over the channels and steps of a value."""
    return nn.GroupNorm(values, values * width, eps=1e-6)


def initialise(network: nn.Module, values: int) -> None:
    """Weights after Glorot, as of a convolution of one value, and biases at 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            each = module.weight.unflatten(0, (values, -1))
            for weight in each:
                nn.init.xavier_normal_(weight.detach(), GAIN)
            assert module.bias is not None
            nn.init.zeros_(module.bias)


def in_order(maps_BAXl: Tensor) -> Tensor:
    """What each action value has at each time of a scale, (B, A, X, l), as a sequence (B, l A, X), times outermost."""
    return maps_BAXl.permute(0, 3, 1, 2).flatten(1, 2)


def sequence(tokens: Sequence[Tensor]) -> Tensor:
    """The tokens of all scales, (B, A, l) each, as one sequence (B, T)."""
    return torch.cat([token_BAl.transpose(1, 2).flatten(1) for token_BAl in tokens], 1)
