"""Stage 2: what the multi-scale transformer learns from (section 3.2, equations 5 and 7, Algorithm 5).

    L = cross-entropy of all true tokens / T + lambda ||D'(Z, R_0)_0 - (R_0, s_0)||^2 / X

Z is read off the predicted distributions through straight-through Gumbel-softmax, so the second term teaches the
transformer (and the adapters of D') and nothing of the frozen autoencoder. True tokens are fed in (teacher forcing),
as in VAR.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.config import TransformerConfig
from mage.data.windows import Windows
from mage.model.adapter import AdaptedDecoder, straight_through_gumbel
from mage.model.autoencoder import TrajectoryAutoencoder
from mage.model.transformer import MultiScaleTransformer
from mage.training.tokens import TrueTokens


class TransformerObjective(nn.Module):
    """The loss of stage 2 on a batch of windows. Its parameters are those of the transformer and of the adapters."""

    def __init__(
        self,
        transformer: MultiScaleTransformer,
        autoencoder: TrajectoryAutoencoder,
        config: TransformerConfig,
        windows: Windows,
        tokens: TrueTokens,
    ) -> None:
        super().__init__()
        self.config, self.windows, self.tokens = config, windows, tokens
        self.transformer = transformer
        self.adapted: AdaptedDecoder | None = None
        if config.condition_weight > 0:
            width = autoencoder.config.embed_dim
            self.adapted = AdaptedDecoder(autoencoder.decoder, width, config.adapter_dim).to(windows.rows_NX.device)
        # frozen, and kept out of the module tree so that it is neither trained nor saved with this stage
        self._autoencoder = [autoencoder.eval().requires_grad_(False)]

    @property
    def autoencoder(self) -> TrajectoryAutoencoder:
        """The frozen autoencoder of stage 1."""
        return self._autoencoder[0]

    def forward(self, indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns (loss, info); info holds every term, by name."""
        token_maps, condition_BX = self.tokens.take(indices_B), self.windows.rows_NX[indices_B]
        tokens_BT = torch.cat(token_maps, 1)
        logits_BTV = self.transformer(token_maps, condition_BX, self.autoencoder.quantizer)
        cross_entropy = F.cross_entropy(logits_BTV.flatten(0, 1), tokens_BT.flatten())
        loss, info = cross_entropy, {"cross_entropy": cross_entropy}
        if self.adapted is not None:
            condition = self.condition_loss(logits_BTV, condition_BX, generator)
            loss = loss + self.config.condition_weight * condition
            info["condition_error"] = condition
        info["loss"] = loss
        info["token_accuracy"] = (logits_BTV.argmax(-1) == tokens_BT).float().mean()
        return loss, {name: value.detach() for name, value in info.items()}

    def condition_loss(self, logits_BTV: Tensor, condition_BX: Tensor, generator: torch.Generator) -> Tensor:
        """L_cond (equation 7): mean square between the first decoded (R, s) and the condition, normalised units."""
        assert self.adapted is not None
        quantizer = self.autoencoder.quantizer
        choice_BTV = straight_through_gumbel(logits_BTV, self.config.gumbel_temperature, generator)
        codes_BTC = choice_BTV @ quantizer.codebook_VC
        scales = codes_BTC.split(self.transformer.schedule, dim=1)
        latent_BLC = torch.stack([quantizer.scale_up(codes, k) for k, codes in enumerate(scales)]).sum(0)
        decoded_BHX = self.adapted(latent_BLC, condition_BX[:, :1])
        return (decoded_BHX[:, 0] - condition_BX).pow(2).mean()

    @torch.no_grad()
    def diagnose(self, indices_B: Tensor) -> dict[str, Tensor]:
        """Action error on true and on generated tokens; the second is what acting depends on."""
        batch = self.windows.take(indices_B)
        model, condition_BX = self.autoencoder, batch.trajectory_BHX[:, 0]
        true_BLC = model.quantizer.decode(self.tokens.take(indices_B))
        _, generated_BLC = self.transformer.generate(condition_BX, model.quantizer)
        errors = {}
        for name, latent_BLC in (("true", true_BLC), ("generated", generated_BLC)):
            action_BA = model.inverse_dynamics(latent_BLC, condition_BX[:, 1:])
            errors[f"action_error_{name}_tokens"] = (action_BA - batch.action_BA).pow(2).mean()
        return errors
