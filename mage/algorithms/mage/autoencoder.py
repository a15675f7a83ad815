"""Multi-scale trajectory autoencoder (section 3.1) and the inverse dynamics beside it (equation 6).

Shape suffixes: B batch, H horizon, X values of a modelled step, Y = 1 + S values of the condition (R_0, s_0), L latent
length l_K, P = stride * X values of a patch, C code width, D network width, A action dimension.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mage.algorithms.mage.network_config import AutoencoderConfig, InverseDynamicsConfig
from mage.algorithms.mage.quantizer import MultiScaleQuantizer
from mage.algorithms.mage.sequence import step_layout, step_size
from mage.nn.blocks import MLP, Block, Embedding, position_parameter


class Encoder(nn.Module):
    """E(tau, R_0) -> f: patches of `latent_stride` steps through bidirectional transformer blocks."""

    def __init__(self, config: AutoencoderConfig, step_size: int) -> None:
        super().__init__()
        self.latent_length = config.latent_length
        self.embed = nn.Linear(config.latent_stride * step_size, config.embed_dim)
        self.embed_return = Embedding(1, config.embed_dim)
        self.position_LD = position_parameter(config.latent_length, config.embed_dim)
        self.blocks = nn.ModuleList(
            [Block(config.embed_dim, config.num_heads, config.dropout) for _ in range(config.encoder_blocks)]
        )
        self.norm = nn.LayerNorm(config.embed_dim)
        self.project = nn.Linear(config.embed_dim, config.code_dim)
        # unit power: unbounded, latents grow a hundredfold and drown s_0 beside them in the inverse dynamics
        self.norm_latent = nn.LayerNorm(config.code_dim, elementwise_affine=False)

    def forward(self, trajectory_BHX: Tensor, return_to_go_B1: Tensor) -> Tensor:
        """(B, H, X), (B, 1) -> (B, L, C)."""
        patches_BLP = trajectory_BHX.reshape(len(trajectory_BHX), self.latent_length, -1)
        hidden_BLD = self.embed(patches_BLP) + self.position_LD + self.embed_return(return_to_go_B1).unsqueeze(1)
        for block in self.blocks:
            hidden_BLD = block(hidden_BLD)
        latent_BLC: Tensor = self.norm_latent(self.project(self.norm(hidden_BLD)))
        return latent_BLC


class Decoder(nn.Module):
    """D(Z, R_0) -> tau_hat. `between` is called after every block; the adapters of stage 2 go there (D')."""

    def __init__(self, config: AutoencoderConfig, step_size: int) -> None:
        super().__init__()
        self.horizon, self.step_size = config.horizon, step_size
        self.embed = nn.Linear(config.code_dim, config.embed_dim)
        self.embed_return = Embedding(1, config.embed_dim) if config.return_in_decoder else None
        self.position_LD = position_parameter(config.latent_length, config.embed_dim)
        self.blocks = nn.ModuleList(
            [Block(config.embed_dim, config.num_heads, config.dropout) for _ in range(config.decoder_blocks)]
        )
        self.norm = nn.LayerNorm(config.embed_dim)
        self.project = nn.Linear(config.embed_dim, config.latent_stride * step_size)

    def forward(
        self, latent_BLC: Tensor, return_to_go_B1: Tensor, between: Callable[[int, Tensor], Tensor] | None = None
    ) -> Tensor:
        """(B, L, C), (B, 1) -> (B, H, X)."""
        hidden_BLD = self.embed(latent_BLC) + self.position_LD
        if self.embed_return is not None:
            hidden_BLD = hidden_BLD + self.embed_return(return_to_go_B1).unsqueeze(1)
        for index, block in enumerate(self.blocks):
            hidden_BLD = block(hidden_BLD)
            if between is not None:
                hidden_BLD = between(index, hidden_BLD)
        patches_BLP: Tensor = self.project(self.norm(hidden_BLD))
        return patches_BLP.reshape(len(patches_BLP), self.horizon, self.step_size)


class TrajectoryAutoencoder(nn.Module):
    """Everything that stage 1 trains and stage 2 freezes: encoder, quantizer, decoder and inverse dynamics."""

    def __init__(
        self, config: AutoencoderConfig, dynamics: InverseDynamicsConfig, observation_size: int, action_size: int
    ) -> None:
        super().__init__()
        self.config, self.dynamics = config, dynamics
        self.layout = step_layout(config.sequence, observation_size, action_size)
        size = step_size(config.sequence, observation_size, action_size)
        self.encoder = Encoder(config, size)
        self.quantizer = MultiScaleQuantizer(config)
        self.decoder = Decoder(config, size)
        latent = config.latent_length * config.code_dim
        inputs = {
            "latent": latent,
            "latent_and_observation": latent + observation_size,
            "latent_and_condition": latent + 1 + observation_size,
            "trajectory": 2 * observation_size,
        }
        self.inverse_dynamics = MLP(inputs[dynamics.inputs], dynamics.hidden_dim, dynamics.hidden_layers, action_size)

    @torch.no_grad()
    def encode(self, trajectory_BHX: Tensor, return_to_go_B1: Tensor) -> list[Tensor]:
        """Algorithm 1: a trajectory window to its K token maps, (B, l_k) each."""
        return self.quantizer.encode(self.encoder(trajectory_BHX, return_to_go_B1))

    def decode(self, token_maps: list[Tensor], return_to_go_B1: Tensor) -> Tensor:
        """Algorithm 2: K token maps to a reconstructed window (B, H, X)."""
        trajectory_BHX: Tensor = self.decoder(self.quantizer.decode(token_maps), return_to_go_B1)
        return trajectory_BHX

    @property
    def scales_read(self) -> int | None:
        """How many scales, coarsest first, I reads; None is all of them, that is Z, from which s_1 is decoded, too."""
        scales = self.dynamics.scales or self.config.num_scales
        reads_all = self.dynamics.inputs == "trajectory" or scales >= self.config.num_scales
        return None if reads_all else scales

    def read(self, token_maps: list[Tensor], latent_BLC: Tensor) -> Tensor:
        """What I reads of a plan, (B, L, C): its Z, or z_1 + .. + z_j with `inverse_dynamics.scales`."""
        scales = self.scales_read
        return latent_BLC if scales is None else self.quantizer.decode(token_maps[:scales])

    def act(
        self,
        latent_BLC: Tensor,
        condition_BY: Tensor,
        trajectory_BHX: Tensor | None = None,
        decoder: nn.Module | None = None,
    ) -> Tensor:
        """The action to take now, (B, A), read off a latent trajectory Z = z_1 + .. + z_K (equation 6), or off what
        `read` leaves of it.

        By `inverse_dynamics.inputs` it is I(Z); I(Z, s_0) or I(Z, R_0, s_0), which are ours: Z carries the behaviour
        policy's action noise, and a generated Z is one draw of it; or the explicit I(s_0, s_1) of Table 19, with s_1
        from `trajectory_BHX` or else decoded from Z by `decoder`, which is D' as soon as there is one, D by default.
        """
        features = [latent_BLC.flatten(1)]
        if self.dynamics.inputs == "latent_and_observation":
            features.append(condition_BY[:, 1:])
        elif self.dynamics.inputs == "latent_and_condition":
            features.append(condition_BY)
        elif self.dynamics.inputs == "trajectory":
            if trajectory_BHX is None:
                trajectory_BHX = (decoder or self.decoder)(latent_BLC, condition_BY[:, :1])
            features = [condition_BY[:, 1:], trajectory_BHX[:, 1, self.layout["state"]]]
        action_BA: Tensor = self.inverse_dynamics(torch.cat(features, 1))
        return action_BA
