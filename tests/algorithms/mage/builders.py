"""Small untrained networks, the same for the same seed, and latents and conditions to feed them."""

from typing import Any

import torch
from torch import Tensor

from mage.algorithms.mage.autoencoder import TrajectoryAutoencoder
from mage.algorithms.mage.network_config import AutoencoderConfig, InverseDynamicsConfig, TransformerConfig
from mage.algorithms.mage.quantizer import MultiScaleQuantizer
from mage.algorithms.mage.transformer import MultiScaleTransformer

OBSERVATION_SIZE, ACTION_SIZE = 5, 2


def autoencoder_config(
    scales: tuple[int, ...] = (1, 3, 8), codebook_size: int = 16, **changes: Any
) -> AutoencoderConfig:
    values = {
        "horizon": scales[-1] * 2,
        "latent_stride": 2,
        "num_scales": len(scales),
        "scales": scales,
        "codebook_size": codebook_size,
        "code_dim": 8,
        "embed_dim": 16,
        "num_heads": 2,
        "encoder_blocks": 1,
        "decoder_blocks": 2,
    }
    return AutoencoderConfig.model_validate(values | changes)


def transformer_config(**changes: Any) -> TransformerConfig:
    return TransformerConfig.model_validate({"depth": 2, "embed_dim": 16, "num_heads": 2, "adapter_dim": 4} | changes)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def conditions(batch: int = 4, seed: int = 0) -> Tensor:
    """(R_0, s_0) of a batch."""
    return random(batch, 1 + OBSERVATION_SIZE, seed=seed)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def quantizer(scales: tuple[int, ...] = (1, 3, 8), seed: int = 0) -> MultiScaleQuantizer:
    """With scale matrices a little off their start, as after training."""
    torch.manual_seed(seed)
    made = MultiScaleQuantizer(autoencoder_config(scales))
    for matrix in [*made.down, *made.up]:
        matrix.data += 0.1 * torch.randn_like(matrix)
    made.codebook_VC.normal_()
    return made


def autoencoder(
    scales: tuple[int, ...] = (1, 3, 8),
    inputs: str = "latent",
    seed: int = 0,
    read: int | None = None,
    **changes: Any,
) -> TrajectoryAutoencoder:
    torch.manual_seed(seed)
    sizes = {"hidden_dim": 16, "hidden_layers": 1}
    dynamics = InverseDynamicsConfig.model_validate({"inputs": inputs, "scales": read} | sizes)
    config = autoencoder_config(scales, **changes)
    return TrajectoryAutoencoder(config, dynamics, OBSERVATION_SIZE, ACTION_SIZE).eval()


def transformer(
    scales: tuple[int, ...] = (1, 3, 8), depth: int = 2, seed: int = 0, **changes: Any
) -> MultiScaleTransformer:
    """With sharp logits, so that argmax tokens differ from place to place."""
    torch.manual_seed(seed)
    config = transformer_config(depth=depth, **changes)
    made = MultiScaleTransformer(config, autoencoder_config(scales), OBSERVATION_SIZE).eval()
    for parameter in made.parameters():
        parameter.data *= 3
    return made


def token_maps(scales: tuple[int, ...] = (1, 3, 8), batch: int = 4, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(16, (batch, length), generator=generator) for length in scales]
