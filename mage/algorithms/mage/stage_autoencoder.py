"""Stage 1: what the multi-scale trajectory autoencoder learns from (section 3.1, equations 6 and A.2).

L = sum_t mask_t ||tau_hat_t - tau_t||^2 / (H X) + w ||I(z_1 + .. + z_j) - a_0||^2 / A
    + mean_k ||sg[f] - z_1 - .. - z_k||^2 + beta ||f - sg[Z]||^2

The paper's I reads Z, so j = K, unless `inverse_dynamics.scales` says otherwise.
With `reweight_by_return` the first two terms of a window are weighed by its R_0, scaled to [0, 1] (Table 23).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mage.algorithms.mage.autoencoder import TrajectoryAutoencoder
from mage.algorithms.mage.config import MageConfig
from mage.algorithms.mage.quantizer import codebook_use
from mage.algorithms.mage.sequence import Windows
from mage.interface import ONE, Info, Stage, minimise

COUNTED_WINDOWS = 4096
"""Over which the use of the codebook is counted, once, when the stage is done."""


class AutoencoderLearning:
    """Stage 1 on the windows of a dataset."""

    def __init__(self, autoencoder: TrajectoryAutoencoder, config: MageConfig, windows: Windows) -> None:
        self.autoencoder, self.config, self.windows = autoencoder, config, windows

    def stage(self) -> Stage:
        """As the trainer runs it; configurations that agree in `shared_key` share what it leaves."""
        return Stage(
            "autoencoder",
            self.config.training.autoencoder,
            {ONE: [self.autoencoder]},
            minimise(self.loss),
            self.diagnose,
            tells=("reconstruction_error", "inverse_dynamics_error", "perplexity_all"),
            end=self.codebook_use,
            shared_by=self.config.shared_key(),
            acts=False,
            stacks=True,
        )

    def loss(self, rows_B: Tensor, random: torch.Generator | None) -> tuple[Tensor, Info]:
        """Returns (loss, info); info holds every term, by name.

        Given random numbers, the codebook moves by its moving averages; everything else does down the gradient.
        """
        batch = self.windows.take(rows_B)
        model, return_B1 = self.autoencoder, batch.condition_BY[:, :1]
        latent_BLC, scales = model.encoder(batch.trajectory_BHX, return_B1), model.scales_read
        quantized = model.quantizer.quantize(latent_BLC, random)
        read_BLC = quantized.latent_BLC if scales is None else model.quantizer.coarse(latent_BLC, quantized, scales)
        rebuilt_BHX = model.decoder(quantized.latent_BLC, return_B1)
        error_BHX = (rebuilt_BHX - batch.trajectory_BHX).pow(2) * batch.mask_BH.unsqueeze(-1)
        # explicit inverse dynamics learns on true states, as is usual
        action_BA = model.act(read_BLC, batch.condition_BY, batch.trajectory_BHX)
        reweight = self.config.training.reweight_by_return
        weight_B = self.windows.steps.weights(rows_B) if reweight else torch.ones_like(return_B1[:, 0])
        # at the last step of an episode s_1 is but s_0 repeated, and nothing says where a_0 led
        leads_B = batch.mask_BH[:, 1] if self.config.inverse_dynamics.inputs == "trajectory" else 1.0
        # over B H X, padding included: then the mean over workers' shards is the mean over the batch
        reconstruction = (weight_B * error_BHX.mean((1, 2))).mean()
        inverse_dynamics = (leads_B * weight_B * (action_BA - batch.action_BA).pow(2).mean(1)).mean()
        loss = reconstruction + self.config.inverse_dynamics.loss_weight * inverse_dynamics + quantized.loss
        info = {
            "loss": loss,
            "reconstruction_error": reconstruction,
            "inverse_dynamics_error": inverse_dynamics,
            "quantizer_loss": quantized.loss,
        }
        return loss, info | {f"residual_scale{k + 1}": norm for k, norm in enumerate(quantized.residual_norms)}

    @torch.no_grad()
    def diagnose(self, rows_B: Tensor) -> Info:
        """Codebook use (%) and perplexity per scale on these windows, and restarts of dead codes so far."""
        use = {name: torch.tensor(value) for name, value in self._use(rows_B).items()}
        return use | {"code_restarts": self.autoencoder.quantizer.restarts.cpu()}

    def codebook_use(self) -> tuple[Mapping[str, float | str], str]:
        """How the dataset uses the codebook, counted when the stage is done."""
        rows_B = self.windows.steps.spread(COUNTED_WINDOWS)
        use, size = self._use(rows_B), self.config.autoencoder.codebook_size
        return {"stage": "codebook", **use}, (
            f"codebook: {len(rows_B)} windows of the dataset use {use['codes_used_all']:.0f} % of {size} codes, "
            f"perplexity {use['perplexity_all']:.0f}"
        )

    def _use(self, rows_B: Tensor) -> dict[str, float]:
        batch = self.windows.take(rows_B)
        token_maps = self.autoencoder.encode(batch.trajectory_BHX, batch.condition_BY[:, :1])
        return codebook_use(token_maps, self.config.autoencoder.codebook_size)
