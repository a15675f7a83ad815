"""Stage 1: what the multi-scale trajectory autoencoder learns from (section 3.1, equations 6 and A.2).

L = sum_t mask_t ||tau_hat_t - tau_t||^2 / (H X) + w ||I(Z) - a_0||^2 / A
    + mean_k ||sg[f] - z_1 - .. - z_k||^2 + beta ||f - sg[Z]||^2

With `reweight_by_return` the first two terms of a window are weighed by its R_0, scaled to [0, 1] (Table 23).
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

    def __init__(
        self,
        autoencoder: TrajectoryAutoencoder,
        config: InverseDynamicsConfig,
        windows: Windows,
        reweight: bool = False,
    ) -> None:
        super().__init__()
        self.autoencoder, self.config, self.windows = autoencoder.requires_grad_(True), config, windows
        self.reweight = reweight

    def forward(self, indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns (loss, info); info holds every term, by name."""
        batch = self.windows.take(indices_B)
        model, return_B1 = self.autoencoder, batch.condition_BY[:, :1]
        quantized = model.quantizer.quantize(model.encoder(batch.trajectory_BHX, return_B1), generator)
        rebuilt_BHX = model.decoder(quantized.latent_BLC, return_B1)
        error_BHX = (rebuilt_BHX - batch.trajectory_BHX).pow(2) * batch.mask_BH.unsqueeze(-1)
        # explicit inverse dynamics learns on true states, as is usual
        action_BA = model.act(quantized.latent_BLC, batch.condition_BY, batch.trajectory_BHX)
        weight_B = self.windows.weights(indices_B) if self.reweight else torch.ones_like(return_B1[:, 0])
        # over B H X, padding included: then the mean over workers' shards is the mean over the batch
        reconstruction = (weight_B * error_BHX.mean((1, 2))).mean()
        inverse_dynamics = (weight_B * (action_BA - batch.action_BA).pow(2).mean(1)).mean()
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
        quantizer, batch = self.autoencoder.quantizer, self.windows.take(indices_B)
        token_maps = self.autoencoder.encode(batch.trajectory_BHX, batch.condition_BY[:, :1])
        use = codebook_use(token_maps, len(quantizer.codebook_VC))
        return {name: torch.tensor(value) for name, value in use.items()} | {"code_restarts": quantizer.restarts.cpu()}
