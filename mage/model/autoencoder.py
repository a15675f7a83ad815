"""Multi-scale trajectory autoencoder (section 3.1) and latent inverse dynamics (equation 6).

Shape suffixes: B batch, H horizon, X = 1 + S values of a step (return-to-go first, then the observation), L latent
length l_K, P = stride * X values of a patch, C code width, D network width, A action dimension.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mage.config import AutoencoderConfig, InverseDynamicsConfig
from mage.model.blocks import Block, Embedding, position_parameter
from mage.model.quantizer import MultiScaleQuantizer


class Encoder(nn.Module):
    """E(tau, R_0) -> f: patches of `latent_stride` steps through bidirectional transformer blocks."""

    def __init__(self, config: AutoencoderConfig, step_dim: int) -> None:
        super().__init__()
        self.latent_length = config.latent_length
        self.embed = nn.Linear(config.latent_stride * step_dim, config.embed_dim)
        self.embed_return = Embedding(1, config.embed_dim)
        self.position_LD = position_parameter(config.latent_length, config.embed_dim)
        self.blocks = nn.ModuleList(
            [Block(config.embed_dim, config.num_heads, config.dropout) for _ in range(config.encoder_blocks)]
        )
        self.norm = nn.LayerNorm(config.embed_dim)
        self.project = nn.Linear(config.embed_dim, config.code_dim)
        # unit power: unbounded, latents grow a hundredfold and drown s_0 beside them in the inverse dynamics
        self.norm_latent = nn.LayerNorm(config.code_dim, elementwise_affine=False)

    def forward(self, trajectory_BHX: Tensor) -> Tensor:
        """(B, H, X) -> (B, L, C)."""
        patches_BLP = trajectory_BHX.reshape(len(trajectory_BHX), self.latent_length, -1)
        return_B1D = self.embed_return(trajectory_BHX[:, 0, :1]).unsqueeze(1)
        hidden_BLD = self.embed(patches_BLP) + self.position_LD + return_B1D
        for block in self.blocks:
            hidden_BLD = block(hidden_BLD)
        latent_BLC: Tensor = self.norm_latent(self.project(self.norm(hidden_BLD)))
        return latent_BLC


class Decoder(nn.Module):
    """D(Z, R_0) -> tau_hat. `between` is called after every block; the adapters of stage 2 go there (D')."""

    def __init__(self, config: AutoencoderConfig, step_dim: int) -> None:
        super().__init__()
        self.horizon, self.step_dim = config.horizon, step_dim
        self.embed = nn.Linear(config.code_dim, config.embed_dim)
        self.embed_return = Embedding(1, config.embed_dim)
        self.position_LD = position_parameter(config.latent_length, config.embed_dim)
        self.blocks = nn.ModuleList(
            [Block(config.embed_dim, config.num_heads, config.dropout) for _ in range(config.decoder_blocks)]
        )
        self.norm = nn.LayerNorm(config.embed_dim)
        self.project = nn.Linear(config.embed_dim, config.latent_stride * step_dim)

    def forward(
        self, latent_BLC: Tensor, return_to_go_B1: Tensor, between: Callable[[int, Tensor], Tensor] | None = None
    ) -> Tensor:
        """(B, L, C), (B, 1) -> (B, H, X)."""
        hidden_BLD = self.embed(latent_BLC) + self.position_LD + self.embed_return(return_to_go_B1).unsqueeze(1)
        for index, block in enumerate(self.blocks):
            hidden_BLD = block(hidden_BLD)
            if between is not None:
                hidden_BLD = between(index, hidden_BLD)
        patches_BLP: Tensor = self.project(self.norm(hidden_BLD))
        return patches_BLP.reshape(len(patches_BLP), self.horizon, self.step_dim)


class InverseDynamics(nn.Module):
    """a = I(sum of z_k): the action to take now, read off the latent trajectory (equation 6).

    With `inputs: latent_and_observation` it also sees s_0. That is ours, not the paper's: Z carries the behaviour
    policy's action noise, and a generated Z is one draw of it.
    """

    def __init__(
        self, config: InverseDynamicsConfig, autoencoder: AutoencoderConfig, observation_dim: int, action_dim: int
    ) -> None:
        super().__init__()
        self.sees_observation = config.inputs == "latent_and_observation"
        width = autoencoder.latent_length * autoencoder.code_dim + (observation_dim if self.sees_observation else 0)
        layers: list[nn.Module] = []
        for _ in range(config.hidden_layers):
            layers += [nn.Linear(width, config.hidden_dim), nn.GELU()]
            width = config.hidden_dim
        self.layers = nn.Sequential(*layers, nn.Linear(width, action_dim))

    def forward(self, latent_BLC: Tensor, observation_BS: Tensor) -> Tensor:
        """(B, L, C), (B, S) -> (B, A)."""
        features = latent_BLC.flatten(1)
        if self.sees_observation:
            features = torch.cat([features, observation_BS], 1)
        action_BA: Tensor = self.layers(features)
        return action_BA


class TrajectoryAutoencoder(nn.Module):
    """Everything that stage 1 trains and stage 2 freezes: encoder, quantizer, decoder and inverse dynamics."""

    def __init__(
        self, config: AutoencoderConfig, dynamics: InverseDynamicsConfig, observation_dim: int, action_dim: int
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, 1 + observation_dim)
        self.quantizer = MultiScaleQuantizer(config)
        self.decoder = Decoder(config, 1 + observation_dim)
        self.inverse_dynamics = InverseDynamics(dynamics, config, observation_dim, action_dim)

    @torch.no_grad()
    def encode(self, trajectory_BHX: Tensor) -> list[Tensor]:
        """Algorithm 1: a trajectory window to its K token maps, (B, l_k) each."""
        return self.quantizer.encode(self.encoder(trajectory_BHX))

    def decode(self, token_maps: list[Tensor], return_to_go_B1: Tensor) -> Tensor:
        """Algorithm 2: K token maps to a reconstructed window (B, H, X)."""
        trajectory_BHX: Tensor = self.decoder(self.quantizer.decode(token_maps), return_to_go_B1)
        return trajectory_BHX
