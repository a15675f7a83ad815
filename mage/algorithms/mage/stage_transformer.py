"""Stage 2: what the multi-scale transformer learns from (section 3.2, equations 5 and 7, Algorithm 5).

    L = cross-entropy of all true tokens / T + lambda ||D'(Z, R_0)_0 - (R_0, s_0)||^2 / Y

Z is read off the predicted distributions through straight-through Gumbel-softmax, so the second term teaches the
transformer (and the adapters of D') and nothing of the frozen autoencoder. The cross-entropy is teacher-forced, as in
VAR. Draws of that pass correct the true coarser scales, so that their sum is a Z that is never generated: with
`condition_latent: free_running` Z comes from a pass of its own, in which every scale is predicted from the draws of
the coarser ones. With `coarser_tokens: generated` there is that pass alone, as Algorithm 5 is printed; its
cross-entropy then asks for the true residual of a sum that was drawn.

Conditioned on an advantage u instead of R_0, everything is told u, and L_cond is on s_0 alone: no step holds u.

Shape suffixes: B batch, T tokens of all scales, V codebook size, L latent length, C code width, Y = 1 + S values of the
condition (R_0, s_0).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.algorithms.mage.adapter import AdaptedDecoder
from mage.algorithms.mage.autoencoder import TrajectoryAutoencoder
from mage.algorithms.mage.config import MageConfig
from mage.algorithms.mage.heard_condition import dropped, generate_guided
from mage.algorithms.mage.sequence import Windows
from mage.algorithms.mage.token_choice import Choice, TokenChoice, all_rows, straight_through_gumbel
from mage.algorithms.mage.transformer import MultiScaleTransformer
from mage.algorithms.mage.true_tokens import TrueTokens
from mage.interface import ONE, Info, Stage, minimise

BINNED_ROWS = 100_000
"""Of the data, at most, whose conditions are shared out among bins."""


class TransformerLearning:
    """Stage 2 on the windows of a dataset, beside the frozen autoencoder of stage 1."""

    def __init__(
        self,
        transformer: MultiScaleTransformer,
        autoencoder: TrajectoryAutoencoder,
        adapted_decoder: AdaptedDecoder | None,
        config: MageConfig,
        windows: Windows,
    ) -> None:
        self.transformer, self.autoencoder, self.adapted_decoder = transformer, autoencoder, adapted_decoder
        self.run, self.config, self.windows = config, config.transformer, windows
        stage, self._has_bins = config.training.transformer, False
        self.tokens = TrueTokens(autoencoder, windows, draws=stage.steps * stage.batch_size)

    def stage(self) -> Stage:
        """As the trainer runs it. Trained are the transformer and the adapters; with `condition_path: decoder` the
        decoder in their place (Table 22).
        """
        trains: list[nn.Module] = [self.transformer]
        if self.adapted_decoder is not None:
            trains.append(self.adapted_decoder)
            if self.config.condition_path == "decoder":
                trains.append(self.autoencoder.decoder)
        tells = ("cross_entropy", "condition_error", "action_error_generated_tokens")
        stage = self.run.training.transformer
        return Stage(
            "transformer",
            stage,
            {ONE: trains},
            minimise(self.loss),
            self.diagnose,
            tells,
            stacks=True,
            keeps=[self.tokens.kept],
        )

    def loss(self, rows_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
        """Returns (loss, info); info holds every term, by name."""
        token_maps, condition_BY = self.tokens.take(rows_B), self.windows.conditions(rows_B)
        tokens_BT = torch.cat(token_maps, 1)
        logits_BTV, latent_BLC = self._predict(token_maps, self._told(condition_BY, random), random)
        entropy_BT = F.cross_entropy(logits_BTV.transpose(1, 2), tokens_BT, reduction="none")
        if self.run.training.reweight_by_return:
            entropy_BT = entropy_BT * self.windows.steps.weights(rows_B).unsqueeze(1)
        cross_entropy = entropy_BT.mean()
        loss, info = cross_entropy, {"cross_entropy": cross_entropy}
        if latent_BLC is not None:
            condition = self.condition_loss(latent_BLC, condition_BY)
            loss = loss + self.config.condition_weight * condition
            info["condition_error"] = condition
        info["loss"] = loss
        info["token_accuracy"] = (logits_BTV.argmax(-1) == tokens_BT).float().mean()
        return loss, info

    def _told(self, condition_BY: Tensor, random: torch.Generator) -> Tensor:
        """What the transformer is told of the conditions (`heard_condition`)."""
        if self.transformer.bins is not None and not self._has_bins:
            # only now, when the stages before this one are done, advantages are known
            self.transformer.bins.learn(self.windows.conditions(self.windows.steps.spread(BINNED_ROWS))[:, 0])
            self._has_bins = True
        share = self.config.condition_dropout
        return dropped(condition_BY, share, random) if share else condition_BY

    def _predict(
        self, token_maps: list[Tensor], condition_BY: Tensor, random: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Logits of all scales and, where L_cond wants it, Z (B, L, C) of their Gumbel draws."""
        quantizer = self.autoencoder.quantizer
        if self.config.coarser_tokens == "generated":
            logits_BTV, latent_BLC = self._unroll(condition_BY, random)
            return logits_BTV, latent_BLC if self.adapted_decoder is not None else None
        logits_BTV = self.transformer(token_maps, condition_BY, quantizer)
        if self.adapted_decoder is None:
            return logits_BTV, None
        if self.config.condition_latent == "free_running":
            return logits_BTV, self._unroll(condition_BY, random)[1]
        codes_BTC = self._draw(logits_BTV, random) @ quantizer.codebook_VC
        scales = codes_BTC.split(self.transformer.schedule, dim=1)
        return logits_BTV, torch.stack([quantizer.scale_up(codes, k) for k, codes in enumerate(scales)]).sum(0)

    def _unroll(self, condition_BY: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.transformer.unroll(
            condition_BY, self.autoencoder.quantizer, lambda logits: self._draw(logits, random)
        )

    def _draw(self, logits_BTV: Tensor, random: torch.Generator) -> Tensor:
        return straight_through_gumbel(logits_BTV, self.config.gumbel_temperature, random)

    def condition_loss(self, latent_BLC: Tensor, condition_BY: Tensor) -> Tensor:
        """L_cond (equation 7): mean square between the first decoded (R, s) and the condition, normalised units."""
        assert self.adapted_decoder is not None
        return condition_error(
            self.adapted_decoder,
            latent_BLC,
            condition_BY,
            self.autoencoder.layout,
            with_return=self.config.return_in_condition_loss and not self.run.by_advantage,
        )

    def _generate(self, told_BY: Tensor, choose: Choice) -> tuple[list[Tensor], Tensor]:
        return self.transformer.generate(told_BY, self.autoencoder.quantizer, choose)

    @torch.no_grad()
    def diagnose(self, rows_B: Tensor) -> Info:
        """Action error on true and on generated tokens; the second is what acting depends on."""
        batch = self.windows.take(rows_B)
        model = self.autoencoder
        choose = TokenChoice(self.run.policy, all_rows(torch.Generator().manual_seed(0)))
        true_maps = self.tokens.take(rows_B)
        plans = {
            "true": (true_maps, model.quantizer.decode(true_maps)),
            "generated": generate_guided(self._generate, batch.condition_BY, choose, self.run.policy.guidance),
        }
        actions = {
            name: model.act(model.read(*plan), batch.condition_BY, decoder=self.adapted_decoder)
            for name, plan in plans.items()
        }
        return {
            f"action_error_{name}_tokens": (action_BA - batch.action_BA).pow(2).mean()
            for name, action_BA in actions.items()
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
