"""MAGE: (s_t, target return-to-go) -> K token maps -> a = I(z_1 + .. + z_K) (section 3.2, "Determining Action").

Two networks in two stages: the autoencoder writes a window of (return, state) as token maps, coarse to fine; the
transformer generates such maps for a state and a target return.

Shape suffixes: B environments, N candidates of all of them, L latent length, C code width, A action size, S observation
size, X values of a modelled step, Y = 1 + S values of a condition (R_0, s_0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import yaml
from torch import Tensor, nn

from mage.algorithms.mage.acting import Generation
from mage.algorithms.mage.adapter import AdaptedDecoder
from mage.algorithms.mage.autoencoder import TrajectoryAutoencoder
from mage.algorithms.mage.candidates import merits
from mage.algorithms.mage.config import MageConfig
from mage.algorithms.mage.critic import Critic
from mage.algorithms.mage.heard_condition import generate_guided, rows_a_plan
from mage.algorithms.mage.sequence import Windows
from mage.algorithms.mage.stage_autoencoder import AutoencoderLearning
from mage.algorithms.mage.stage_critic import CriticLearning
from mage.algorithms.mage.stage_inverse_dynamics import InverseDynamicsLearning
from mage.algorithms.mage.stage_transformer import TransformerLearning
from mage.algorithms.mage.token_choice import Choice, TokenChoice, row_by_row
from mage.algorithms.mage.transformer import MultiScaleTransformer
from mage.config import AlgorithmConfig
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.interface import Explanation, Presets, Report, Seen, Sizes, Space, Stage
from mage.interface.conditioned import ConditionedAlgorithm


class Plan(NamedTuple):
    """What is generated for B states: Z (B, L, C), the action read off it (B, A), not yet clipped, and what I reads."""

    latent_BLC: Tensor
    action_BA: Tensor
    read_BLC: Tensor


class Mage(ConditionedAlgorithm[MageConfig]):
    """Generates a latent trajectory at every step of the environment and takes its first action."""

    config_class: ClassVar[type[AlgorithmConfig]] = MageConfig
    presets: ClassVar[Presets] = yaml.safe_load(Path(__file__).with_name("presets.yaml").read_text(encoding="utf-8"))
    space: ClassVar[Space] = {
        "autoencoder.num_scales": [1, 2, 4],
        "autoencoder.codebook_size": [64, 128, 256],
        "transformer.depth": [1, 2, 3],
    }

    discount: Tensor

    def __init__(self, config: MageConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        self.autoencoder = TrajectoryAutoencoder(config.autoencoder, config.inverse_dynamics, *sizes)
        self.transformer = MultiScaleTransformer(config.transformer, config.autoencoder, sizes.observation)
        self.adapted_decoder: AdaptedDecoder | None = None
        if config.transformer.condition_weight > 0:
            width = config.autoencoder.embed_dim
            self.adapted_decoder = AdaptedDecoder(self.autoencoder.decoder, width, config.transformer)
        self.critic = Critic(config.value, *sizes) if config.training.value.steps else None
        if config.looks_beyond_plans:
            self.register_buffer("discount", torch.tensor(1.0))

    @property
    def steps_ahead(self) -> int:
        """Environment steps from the first step of a window to its last."""
        return (self.config.autoencoder.horizon - 1) * self.config.autoencoder.step_stride

    @property
    def decoder(self) -> nn.Module:
        """D' of stage 2; without L_cond the decoder of stage 1."""
        return self.autoencoder.decoder if self.adapted_decoder is None else self.adapted_decoder

    @property
    def asks(self) -> Literal["return", "advantage"] | None:
        """Its condition, unless that reaches neither the tokens nor the action (Tables 7, 19 and 23)."""
        config = self.config
        chooses_by_decoding = config.policy.candidates > 1 and config.policy.select != "value"
        decodes = config.inverse_dynamics.inputs == "trajectory" or chooses_by_decoding
        sees = (
            config.transformer.return_condition != "none"
            or config.inverse_dynamics.inputs == "latent_and_condition"
            or (decodes and config.autoencoder.return_in_decoder)
        )
        return super().asks if sees else None

    def stages(self, data: Steps) -> Sequence[Stage]:
        """Stage 1, stage 2 and, where they have steps, 2b and the critic of Table 6; before them that of advantages."""
        config, conditions = self.config, self.conditions(data)
        windows = Windows(data, config.autoencoder, conditions)
        if config.looks_beyond_plans:
            self.discount.fill_(data.discount)
        stages = [
            *self.advantage_stages(conditions),
            AutoencoderLearning(self.autoencoder, config, windows).stage(),
            TransformerLearning(self.transformer, self.autoencoder, self.adapted_decoder, config, windows).stage(),
        ]
        if config.training.inverse_dynamics.steps:
            stages.append(
                InverseDynamicsLearning(self.autoencoder, self.transformer, self.decoder, config, windows).stage()
            )
        if self.critic is not None:
            stages.append(CriticLearning(self.critic, config, data).stage())
        return stages

    def begin(self, environments: int) -> Generation:
        """What it generates with, for all their candidates together; nothing is remembered of their steps."""
        # whole plans are compared, where there are several; of a single one I reads what it reads
        scales = self.autoencoder.scales_read if self.config.policy.candidates == 1 else None
        rows = environments * self.config.policy.candidates * rows_a_plan(self.config.policy.guidance)
        in_8_bits = self.config.policy.weights == "int8"
        return Generation(self.transformer, self.autoencoder.quantizer, rows, scales, in_8_bits)

    @torch.inference_mode()
    def act(self, state: Generation, seen: Seen) -> tuple[Tensor, Generation]:
        """The first action of the Z that is generated for what is seen and asked."""
        candidates = self.config.policy.candidates
        choose = TokenChoice(self.config.policy)
        if self.config.policy.sampling == "sample":
            repeated = [own for own in seen.own_generators() for _ in range(candidates)]
            choose = TokenChoice(self.config.policy, row_by_row(repeated))
        return self.decide(self.condition(seen.observation_BS, seen.asked_B), choose, state).action_BA, state

    @torch.no_grad()
    def decide(self, condition_BY: Tensor, choose: TokenChoice, generation: Generation | None = None) -> Plan:
        """The plan that is acted on, of several candidates the best.

        Args:
            condition_BY: (R_t, s_t) or (u_t, s_t), normalised.
            choose: turns logits into tokens; with noise for `candidates` rows a state.
            generation: of `begin`, for as many states; without it the same plan takes longer.
        """
        candidates = self.config.policy.candidates
        repeated_NY = condition_BY.repeat_interleave(candidates, 0) if candidates > 1 else condition_BY
        token_maps, latent_NLC = self.generate(repeated_NY, choose, generation)
        left_out = self.transformer.schedule[len(token_maps) :]
        choose.pass_over(len(repeated_NY), left_out, self.config.autoencoder.codebook_size)
        read_NLC = self.autoencoder.read(token_maps, latent_NLC)
        actions_NA = self.act_on(read_NLC, repeated_NY)
        if candidates == 1:
            return Plan(latent_NLC, actions_NA, read_NLC)
        merit_BN = merits(self, latent_NLC, actions_NA, repeated_NY).view(-1, candidates)
        best_B = merit_BN.argmax(1) + torch.arange(len(merit_BN), device=self.device) * candidates
        return Plan(latent_NLC[best_B], actions_NA[best_B], read_NLC[best_B])

    def generate(
        self, condition_BY: Tensor, choose: TokenChoice, generation: Generation | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """The token maps and Z of these conditions, with the guidance of the policy."""

        def plain(told_BY: Tensor, choose: Choice) -> tuple[list[Tensor], Tensor]:
            return self.transformer.generate(told_BY, self.autoencoder.quantizer, choose)

        return generate_guided(generation or plain, condition_BY, choose, self.config.policy.guidance)

    def act_on(self, read_BLC: Tensor, condition_BY: Tensor) -> Tensor:
        """The action (B, A) of what I reads of a plan, not yet clipped; explicit I reads what D' decodes (Table 19)."""
        return self.autoencoder.act(read_BLC, condition_BY, decoder=self.decoder)

    def plans(self, observation_BS: Tensor, asked_B: Tensor) -> Mapping[str, Tensor]:
        """The states that Z decodes to, by the scales that it is summed from, coarse to fine."""
        from mage.algorithms.mage.plans_by_scale import plans_by_scale

        return plans_by_scale(self, self.condition(observation_BS, asked_B))

    @classmethod
    def explain(cls, inspection: Mapping[str, Any]) -> Explanation:
        """Findings about Z, its scales, the actions read off it and the condition in it, and the tables behind them."""
        from mage.algorithms.mage.explanation import explain

        return explain(inspection)

    def probe(self, data: Steps) -> Report | None:
        """What it makes of windows whose truth is known: Z, its scales and codes, the actions read off it."""
        from mage.algorithms.mage.inspection import inspect_data

        return inspect_data(self, data)

    def probe_visited(self, observation_BS: Tensor, asked_B: Tensor) -> Report | None:
        """Whether Z, generated for these states and targets, decodes to them."""
        from mage.algorithms.mage.inspection import probe_states

        return probe_states(self, self.condition(observation_BS, asked_B))
