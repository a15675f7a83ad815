"""Stage 1: what the multi-scale trajectory autoencoder learns from (section 3.1, equations 6 and A.2).

L = sum_t mask_t ||tau_hat_t - tau_t||^2 / (H X) + w ||I(Z) - a_0||^2 / A
    + mean_k ||sg[f] - z_1 - .. - z_k||^2 + beta ||f - sg[Z]||^2
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mage.config import InverseDynamicsConfig
from mage.data.windows import Windows
from mage.model.autoencoder import TrajectoryAutoencoder
from mage.model.quantizer import codebook_use


class AutoencoderObjective(nn.Module):
    """The loss of stage 1 on a batch of windows; calling it also moves the codebook."""

    def __init__(self, autoencoder: TrajectoryAutoencoder, config: InverseDynamicsConfig, windows: Windows) -> None:
        super().__init__()
        self.autoencoder, self.config, self.windows = autoencoder.requires_grad_(True), config, windows

    def forward(self, indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns (loss, info); info holds every term, by name."""
        batch = self.windows.take(indices_B)
        model = self.autoencoder
        quantized = model.quantizer.quantize(model.encoder(batch.trajectory_BHX), generator)
        rebuilt_BHX = model.decoder(quantized.latent_BLC, batch.trajectory_BHX[:, 0, :1])
        error_BHX = (rebuilt_BHX - batch.trajectory_BHX).pow(2) * batch.mask_BH.unsqueeze(-1)
        # over B H X, padding included: then the mean over workers' shards is the mean over the batch
        reconstruction = error_BHX.mean()
        action_BA = model.inverse_dynamics(quantized.latent_BLC, batch.trajectory_BHX[:, 0, 1:])
        inverse_dynamics = (action_BA - batch.action_BA).pow(2).mean()
        loss = reconstruction + self.config.loss_weight * inverse_dynamics + quantized.loss
        info = {
            "loss": loss,
            "reconstruction_error": reconstruction,
            "inverse_dynamics_error": inverse_dynamics,
            "quantizer_loss": quantized.loss,
        }
        info |= {f"residual_scale{k + 1}": norm for k, norm in enumerate(quantized.residual_norms)}
        return loss, {name: value.detach() for name, value in info.items()}

    @torch.no_grad()
    def diagnose(self, indices_B: Tensor) -> dict[str, Tensor]:
        """Codebook use (%) and perplexity per scale on these windows, and restarts of dead codes so far."""
        quantizer = self.autoencoder.quantizer
        use = codebook_use(
            self.autoencoder.encode(self.windows.take(indices_B).trajectory_BHX), len(quantizer.codebook_VC)
        )
        return {name: torch.tensor(value) for name, value in use.items()} | {"code_restarts": quantizer.restarts.cpu()}
