"""MAGE's policy: (s_t, target return-to-go) -> K token maps -> a = I(z_1 + .. + z_K) (section 3.2, "Determining
Action").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from mage.config import Config
from mage.errors import MageError
from mage.model.adapter import AdaptedDecoder
from mage.model.autoencoder import TrajectoryAutoencoder
from mage.model.policy import Policy
from mage.model.tokens import TokenChoice, row_by_row
from mage.model.transformer import MultiScaleTransformer
from mage.model.value import Critic


class MagePolicy(Policy):
    """Generates a latent trajectory at every step of the environment and takes its first action."""

    @staticmethod
    def build(config: Config, observation_size: int, action_size: int) -> dict[str, nn.Module]:
        """The autoencoder, the transformer and, where the configuration has them, the adapted decoder and critic."""
        autoencoder = TrajectoryAutoencoder(config.autoencoder, config.inverse_dynamics, observation_size, action_size)
        networks: dict[str, nn.Module] = {
            "autoencoder": autoencoder,
            "transformer": MultiScaleTransformer(config.transformer, config.autoencoder, observation_size),
        }
        if config.transformer.condition_weight > 0:
            width = config.autoencoder.embed_dim
            networks["adapted_decoder"] = AdaptedDecoder(autoencoder.decoder, width, config.transformer)
        if config.training.value.steps:
            networks["critic"] = Critic(config.value, observation_size, action_size)
        return networks

    @property
    def autoencoder(self) -> TrajectoryAutoencoder:
        """Stage 1."""
        return cast(TrajectoryAutoencoder, self.networks["autoencoder"])

    @property
    def transformer(self) -> MultiScaleTransformer:
        """Stage 2."""
        return cast(MultiScaleTransformer, self.networks["transformer"])

    @property
    def decoder(self) -> nn.Module:
        """D' of stage 2; without L_cond the decoder of stage 1."""
        return self.networks.get("adapted_decoder", self.autoencoder.decoder)

    @torch.no_grad()
    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray | float | None = None,
        generators: Sequence[torch.Generator] | None = None,
    ) -> np.ndarray:
        """Actions (B, A) for flat observations (B, S), one per environment."""
        choose = self._token_choice(generators, self.config.policy.candidates)
        return self.clip(self.decide(self.condition(observations, return_to_go), choose)[1])

    @torch.no_grad()
    def decide(self, condition_BY: Tensor, choose: TokenChoice) -> tuple[Tensor, Tensor]:
        """The Z (B, L, C) that is acted on, of several candidates the best, and its action (B, A), not yet clipped.

        Args:
            condition_BY: (R_t, s_t), normalised.
            choose: turns logits into tokens; with noise for `candidates` rows a state.
        """
        candidates = self.config.policy.candidates
        repeated_NY = condition_BY.repeat_interleave(candidates, 0)
        _, latent_NLC = self.transformer.generate(repeated_NY, self.autoencoder.quantizer, choose)
        actions_NA = self.autoencoder.act(latent_NLC, repeated_NY)
        if candidates == 1:
            return latent_NLC, actions_NA
        merit_BN = self._merit(latent_NLC, actions_NA, repeated_NY).view(-1, candidates)
        best_B = merit_BN.argmax(1) + torch.arange(len(merit_BN), device=self.device) * candidates
        return latent_NLC[best_B], actions_NA[best_B]

    def _merit(self, latent_NLC: Tensor, actions_NA: Tensor, condition_NY: Tensor) -> Tensor:
        """By what the best candidate is chosen: the critic's value, or how near the decoded s_0 is to the state."""
        if self.config.policy.select == "value":
            value_N: Tensor = self.networks["critic"](condition_NY[:, 1:], actions_NA)
            return value_N
        decoded_NX = self.decoder(latent_NLC, condition_NY[:, :1])[:, 0]
        decoded_NS: Tensor = decoded_NX[:, self.autoencoder.layout["state"]]
        return -(decoded_NS - condition_NY[:, 1:]).pow(2).mean(1)

    def _token_choice(self, generators: Sequence[torch.Generator] | None, candidates: int) -> TokenChoice:
        policy = self.config.policy
        if policy.sampling != "sample":
            return TokenChoice(policy)
        if generators is None:
            raise MageError("this policy samples tokens (policy.sampling=sample): pass one generator per environment")
        return TokenChoice(policy, row_by_row([own for own in generators for _ in range(candidates)]))
