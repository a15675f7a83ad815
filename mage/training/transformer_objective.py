"""Stage 2: what the multi-scale transformer learns from (section 3.2, equations 5 and 7, Algorithm 5).

    L = cross-entropy of all true tokens / T + lambda ||D'(Z, R_0)_0 - (R_0, s_0)||^2 / Y

Z is read off the predicted distributions through straight-through Gumbel-softmax, so the second term teaches the
transformer (and the adapters of D') and nothing of the frozen autoencoder. True tokens are fed in (teacher forcing),
as in VAR; with `coarser_tokens: generated` every scale is predicted from the draws of the coarser ones, as Algorithm 5
is printed.

Shape suffixes: B batch, T tokens of all scales, V codebook size, L latent length, C code width, Y = 1 + S values of the
condition (R_0, s_0).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.config import PolicyConfig
from mage.data.windows import Windows
from mage.model.adapter import AdaptedDecoder
from mage.model.autoencoder import TrajectoryAutoencoder
from mage.model.tokens import TokenChoice, all_rows, straight_through_gumbel
from mage.model.transformer import MultiScaleTransformer
from mage.training.tokens import TrueTokens


class TransformerObjective(nn.Module):
    """The loss of stage 2 on a batch of windows.

    Its parameters are those of the transformer and of the adapters; with `condition_path: decoder` those of the decoder
    in their place (Table 22).
    """

    def __init__(
        self,
        transformer: MultiScaleTransformer,
        autoencoder: TrajectoryAutoencoder,
        adapted_decoder: AdaptedDecoder | None,
        windows: Windows,
        tokens: TrueTokens,
        policy: PolicyConfig,
        reweight: bool = False,
    ) -> None:
        super().__init__()
        self.config, self.windows, self.tokens = transformer.config, windows, tokens
        self.policy, self.reweight = policy, reweight
        self.transformer, self.adapted_decoder = transformer, adapted_decoder
        # frozen, and kept out of the module tree so that it is not trained with this stage
        self._autoencoder = [autoencoder.eval().requires_grad_(False)]
        if adapted_decoder is not None and self.config.condition_path == "decoder":
            self.decoder = autoencoder.decoder.requires_grad_(True)

    @property
    def autoencoder(self) -> TrajectoryAutoencoder:
        """The frozen autoencoder of stage 1."""
        return self._autoencoder[0]

    def forward(self, indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns (loss, info); info holds every term, by name."""
        token_maps, condition_BY = self.tokens.take(indices_B), self.windows.conditions(indices_B)
        tokens_BT = torch.cat(token_maps, 1)
        logits_BTV, latent_BLC = self._predict(token_maps, condition_BY, generator)
        entropy_BT = F.cross_entropy(logits_BTV.transpose(1, 2), tokens_BT, reduction="none")
        if self.reweight:
            entropy_BT = entropy_BT * self.windows.weights(indices_B).unsqueeze(1)
        cross_entropy = entropy_BT.mean()
        loss, info = cross_entropy, {"cross_entropy": cross_entropy}
        if latent_BLC is not None:
            condition = self.condition_loss(latent_BLC, condition_BY)
            loss = loss + self.config.condition_weight * condition
            info["condition_error"] = condition
        info["loss"] = loss
        info["token_accuracy"] = (logits_BTV.argmax(-1) == tokens_BT).float().mean()
        return loss, {name: value.detach() for name, value in info.items()}

    def _predict(
        self, token_maps: list[Tensor], condition_BY: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Logits of all scales and, where L_cond wants it, Z (B, L, C) of their Gumbel draws."""
        quantizer = self.autoencoder.quantizer
        if self.config.coarser_tokens == "generated":
            logits_BTV, latent_BLC = self.transformer.unroll(
                condition_BY, quantizer, lambda logits: self._draw(logits, generator)
            )
            return logits_BTV, latent_BLC if self.adapted_decoder is not None else None
        logits_BTV = self.transformer(token_maps, condition_BY, quantizer)
        if self.adapted_decoder is None:
            return logits_BTV, None
        codes_BTC = self._draw(logits_BTV, generator) @ quantizer.codebook_VC
        scales = codes_BTC.split(self.transformer.schedule, dim=1)
        return logits_BTV, torch.stack([quantizer.scale_up(codes, k) for k, codes in enumerate(scales)]).sum(0)

    def _draw(self, logits_BTV: Tensor, generator: torch.Generator) -> Tensor:
        return straight_through_gumbel(logits_BTV, self.config.gumbel_temperature, generator)

    def condition_loss(self, latent_BLC: Tensor, condition_BY: Tensor) -> Tensor:
        """L_cond (equation 7): mean square between the first decoded (R, s) and the condition, normalised units."""
        assert self.adapted_decoder is not None
        return condition_error(
            self.adapted_decoder,
            latent_BLC,
            condition_BY,
            self.autoencoder.layout,
            with_return=self.config.return_in_condition_loss,
        )

    @torch.no_grad()
    def diagnose(self, indices_B: Tensor) -> dict[str, Tensor]:
        """Action error on true and on generated tokens; the second is what acting depends on."""
        batch = self.windows.take(indices_B)
        model = self.autoencoder
        choose = TokenChoice(self.policy, all_rows(torch.Generator().manual_seed(0)))
        latents = {
            "true": model.quantizer.decode(self.tokens.take(indices_B)),
            "generated": self.transformer.generate(batch.condition_BY, model.quantizer, choose)[1],
        }
        return {
            f"action_error_{name}_tokens": (model.act(latent_BLC, batch.condition_BY) - batch.action_BA).pow(2).mean()
            for name, latent_BLC in latents.items()
        }


def condition_error(
    decoder: nn.Module, latent_BLC: Tensor, condition_BY: Tensor, layout: dict[str, slice], with_return: bool = True
) -> Tensor:
    """Mean square between the first decoded step and the condition, over what both hold of (R_0, s_0)."""
    first_BX = decoder(latent_BLC, condition_BY[:, :1])[:, 0]
    wanted = {"return": condition_BY[:, :1], "state": condition_BY[:, 1:]}
    names = [name for name in layout if name == "state" or (name == "return" and with_return)]
    errors = [first_BX[:, layout[name]] - wanted[name] for name in names]
    return torch.cat(errors, 1).pow(2).mean()
