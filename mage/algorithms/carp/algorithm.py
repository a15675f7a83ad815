"""CARP (Gong et al., ICCV 2025, arXiv 2412.06782): chunks of actions are predicted coarse to fine, as the data has it.

    L_1 = sum_A mean (a^ - a)^2 + L_vq            each action value has a tokenizer of its own (`quantizer.py`)
    L_2 = mean CE(m_k | m_<k, o)                  of the tokens of the frozen tokenizers, from the last observations o

No reward, return or value is looked at: it is imitation of all that is in the data. To act, the likeliest tokens are
decoded, scale after scale, and the actions from the last observation on are executed before the next chunk is
predicted. The tokens are those of the raw weights of the tokenizers, and an average of the predictor's weights acts. As
in github.com/ZhefeiGong/carp, whose settings are the defaults. Departures: all episodes are trained on, where theirs
keep 2 % for validation; the tokenizers of all values are one module, with their gradients and clipping apart.

Shape suffixes: B batch or environments, N steps of a chunk, n observations that are seen, O = n S, S values of one, A
action size, C code width, L latents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from mage.algorithms.carp.chunks import Chunks
from mage.algorithms.carp.config import PRESETS, SPACE, CarpConfig
from mage.algorithms.carp.optimisation import average_rate, clip_each, steer, weights_of_maps
from mage.algorithms.carp.tokenizer import Tokenizers, sequence
from mage.algorithms.carp.transformer import Predictor
from mage.config import AlgorithmConfig
from mage.data.normalisers import Normaliser
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.interface import ONE, Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage
from mage.nn.average import Average

JUDGED_CHUNKS = 4096
"""On which the tokenizers are judged, once, when their stage is done."""


class Under(NamedTuple):
    """Of the episodes under way: their last observations, the chunk that is executed, and the step that began it."""

    observations: tuple[Tensor, ...]
    action_BNA: Tensor
    since: int


class Carp(Algorithm[CarpConfig]):
    """Predicts what the data would do next, some steps at once."""

    config_class: ClassVar[type[AlgorithmConfig]] = CarpConfig
    presets: ClassVar[Presets] = PRESETS
    space: ClassVar[Space] = SPACE

    observation_centre_S: Tensor
    observation_scale_S: Tensor
    action_centre_A: Tensor
    action_scale_A: Tensor

    def __init__(self, config: CarpConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        self.tokenizers = Tokenizers(config.tokenizer, sizes.action)
        observed = config.chunk.observed * sizes.observation
        self.predictor = Predictor(config.predictor, observed, sizes.action, self.tokenizers.quantizers)
        self.predictor_average = Average(self.predictor, rate=1.0)
        self.register_buffer("observation_centre_S", torch.zeros(sizes.observation))
        self.register_buffer("observation_scale_S", torch.ones(sizes.observation))
        self.register_buffer("action_centre_A", torch.zeros(sizes.action))
        self.register_buffer("action_scale_A", torch.ones(sizes.action))

    @property
    def asks(self) -> None:
        """Nothing: it does as the data does."""
        return None

    def stages(self, data: Steps) -> Sequence[Stage]:
        """The tokenizers, then the predictor, on the chunks of the data."""
        chunks, training = Chunks(data, self.config), self.config.training
        observation, action = chunks.limits()
        self.observation_centre_S, self.observation_scale_S, _ = observation
        self.action_centre_A, self.action_scale_A, _ = action
        return [
            Stage(
                "tokenizer",
                training.tokenizer,
                {ONE: [self.tokenizers]},
                partial(self.learn_tokens, chunks),
                partial(self.judge, chunks),
                tells=("reconstruction_error", "unexplained", "codes_used"),
                end=partial(self.judge_at_the_end, chunks),
                rows=len(chunks),
                shared_by=self.config.shared_key(),
                acts=False,
            ),
            Stage(
                "predictor",
                training.predictor,
                {ONE: [self.predictor, self.predictor_average]},
                partial(self.learn_to_predict, chunks),
                tells=("accuracy",),
                rows=len(chunks),
            ),
        ]

    def learn_tokens(self, chunks: Chunks, numbers_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
        """A step of the tokenizers, each as if it were alone."""
        loss, info = self.tokenizer_loss(self.action_units.normalise(chunks.take(numbers_B).action_BNA))
        steer(optimise[ONE], weights_of_maps(self.tokenizers), self.config.training.tokenizer)
        optimise[ONE].minimise(loss, clip_each(self.sizes.action))
        return info

    def tokenizer_loss(self, action_BNA: Tensor) -> tuple[Tensor, Info]:
        """Returns (loss, info) of chunks, normalised; the loss is the sum over action values, which share nothing."""
        quantized = self.tokenizers.quantizers.quantize(self.tokenizers.encode(action_BNA))
        reconstruction = F.mse_loss(self.tokenizers.decode(quantized.latent_BACL), action_BNA)
        loss = self.sizes.action * reconstruction + quantized.loss
        quantizer_loss = (quantized.loss / self.sizes.action).detach()
        return loss, {"loss": loss, "reconstruction_error": reconstruction.detach(), "quantizer_loss": quantizer_loss}

    def learn_to_predict(
        self, chunks: Chunks, numbers_B: Tensor, optimise: Optimisers, random: torch.Generator
    ) -> Info:
        """A step of the predictor, whose average follows."""
        chunk, own = chunks.take(numbers_B), self.config
        observation_BO = self.observation_units.normalise(chunk.observation_BnS).flatten(1)
        loss, info = self.predictor_loss(observation_BO, self.action_units.normalise(chunk.action_BNA))
        steer(optimise[ONE], weights_of_maps(self.predictor), own.training.predictor)
        optimise[ONE].minimise(loss)
        self.predictor_average.rate = average_rate(optimise[ONE].step, own.predictor.average_decay)
        self.predictor_average.follow(self.predictor)
        return info

    def predictor_loss(self, observation_BO: Tensor, action_BNA: Tensor) -> tuple[Tensor, Info]:
        """Returns (loss, info) of normalised observations and chunks."""
        quantizers = self.tokenizers.quantizers
        with torch.no_grad():
            tokens = self.tokenizers.tokens(action_BNA)
            sums = quantizers.build(tokens[:-1])
        logits_BTV, token_BT = self.predictor(observation_BO, sums, quantizers), sequence(tokens)
        loss = F.cross_entropy(logits_BTV.flatten(0, 1), token_BT.flatten())
        return loss, {"loss": loss, "accuracy": (logits_BTV.argmax(-1) == token_BT).float().mean()}

    @torch.no_grad()
    def judge(self, chunks: Chunks, numbers_B: Tensor) -> Info:
        """What the tokenizers leave of the variance of chunks with scales 1..k, and how many codes a value uses."""
        action_BNA = self.action_units.normalise(chunks.take(numbers_B).action_BNA)
        quantized = self.tokenizers.quantizers.quantize(self.tokenizers.encode(action_BNA))
        variance = action_BNA.var((0, 1), correction=0).mean().clamp_min(1e-6)
        left = [F.mse_loss(self.tokenizers.decode(sum_BACL), action_BNA) / variance for sum_BACL in quantized.sums]
        told = {f"unexplained_scale{k + 1}": share for k, share in enumerate(left)}
        token_AT = torch.cat(quantized.tokens, 2).transpose(0, 1).flatten(1)
        used = [own_T.unique().numel() for own_T in token_AT]
        return {**told, "unexplained": left[-1], "codes_used": token_AT.new_tensor(used).float().mean()}

    def judge_at_the_end(self, chunks: Chunks) -> tuple[Mapping[str, float | str], str]:
        """The same of chunks from all over the data, when their stage is done."""
        found = {name: float(value) for name, value in self.judge(chunks, chunks.spread(JUDGED_CHUNKS)).items()}
        return {"stage": "tokens", **found}, (
            f"tokens: {100 * found['unexplained']:.1f} % of the variance of actions is lost; an action value uses "
            f"{found['codes_used']:.0f} of {self.config.tokenizer.codes} codes"
        )

    @torch.no_grad()
    def act(self, state: Under | None, seen: Seen) -> tuple[Tensor, Under]:
        """The action of the chunk that is executed, or the first to execute of a new one."""
        chunk = self.config.chunk
        now_BS = self.observation_units.normalise(seen.observation_BS)
        before = (now_BS,) * (chunk.observed - 1) if state is None else state.observations
        observations = (*before, now_BS)[-chunk.observed :]
        if state is None or seen.step - state.since >= chunk.executed:
            state = Under(observations, self.predict(torch.cat(observations, 1)), seen.step)
        action_BA = state.action_BNA[:, chunk.observed - 1 + seen.step - state.since]
        return action_BA, state._replace(observations=observations)

    def predict(self, observation_BO: Tensor) -> Tensor:
        """The chunk (B, N, A), in the environment's units, whose first steps those normalised observations are."""
        acting = cast(Predictor, self.predictor_average.module)
        _, latent_BACL = acting.generate(observation_BO, self.tokenizers.quantizers)
        return self.action_units.restore(self.tokenizers.decode(latent_BACL))

    @property
    def observation_units(self) -> Normaliser:
        """Of observations as the environment gives them."""
        return Normaliser(self.observation_centre_S, self.observation_scale_S, bounded=False)

    @property
    def action_units(self) -> Normaliser:
        """Of actions."""
        return Normaliser(self.action_centre_A, self.action_scale_A, bounded=False)
