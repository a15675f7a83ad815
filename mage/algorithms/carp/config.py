"""The configuration of CARP, its presets, and what a sweep varies where nothing is said.

Defaults are those of github.com/ZhefeiGong/carp (singletask/utils/arg_util.py).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mage.algorithms.carp.optimisation import VarStageConfig
from mage.config import AlgorithmConfig, Component, TrainingConfig, check_heads
from mage.interface import Presets, Space

STEPS_A_LATENT = 4
"""The encoder halves time twice."""


class ChunkConfig(Component):
    """From what a chunk of actions is predicted, and how much of it is executed."""

    observed: int = Field(
        2, ge=1, description="last observations that are seen; a chunk begins with the action after the first of them"
    )
    executed: int = Field(
        8, ge=1, description="actions of a chunk, from the last observation on, until the next is predicted"
    )


class TokenizerConfig(Component):
    """The tokenizers of chunks, one for each action value."""

    scales: tuple[int, ...] = Field(
        (1, 2, 3, 4),
        min_length=2,
        description="tokens of a value, coarse to fine; a chunk has four times as many steps as the last",
    )
    codes: int = Field(512, ge=2, description="of each value, V; shared by the scales")
    code_dim: int = Field(8, ge=1, description="width of a code, C")
    width: int = Field(2, ge=1, description="channels of a value, which double where time is halved")
    commitment_weight: float = Field(0.25, ge=0, description="beta, of what draws the encoder to the codes")

    @model_validator(mode="after")
    def _check(self) -> TokenizerConfig:
        if list(self.scales) != sorted(self.scales) or self.scales[0] < 1:
            raise ValueError(f"scales {self.scales} must be at least 1 and not fall: coarse to fine")
        return self


class PredictorConfig(Component):
    """The transformer that predicts tokens, coarse to fine."""

    depth: int = Field(8, ge=1, description="blocks")
    embed_dim: int = Field(64, ge=2, description="D")
    num_heads: int = Field(8, ge=1, description="the authors have as many as blocks")
    drop_path: float = Field(
        0.1, ge=0, lt=1, description="share of the windows for which a block is left out, in the last of 24 blocks"
    )
    average_decay: float = Field(0.9999, ge=0, lt=1, description="highest, of the average of the weights, which acts")

    @model_validator(mode="after")
    def _check(self) -> PredictorConfig:
        check_heads(self.embed_dim, self.num_heads)
        if self.depth > 24:
            raise ValueError(f"depth {self.depth} is more than the 24 blocks that drop_path is of")
        return self


class CarpTrainingConfig(TrainingConfig):
    """The stages of CARP, in order."""

    tokenizer: VarStageConfig = Field(VarStageConfig(), description="chunks to tokens and back")
    predictor: VarStageConfig = Field(VarStageConfig(), description="which tokens follow observations")


class CarpConfig(AlgorithmConfig):
    """The whole configuration of a run of CARP."""

    algorithm: Literal["carp"] = "carp"
    chunk: ChunkConfig = ChunkConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    predictor: PredictorConfig = PredictorConfig()
    training: CarpTrainingConfig = CarpTrainingConfig()

    @property
    def horizon(self) -> int:
        """Steps of a chunk, N."""
        return STEPS_A_LATENT * self.tokenizer.scales[-1]

    def shared_key(self) -> dict[str, Any]:
        """What determines the tokenizers besides data and seed."""
        data = self.determining()
        return {
            "chunk": data["chunk"],
            "tokenizer": data["tokenizer"],
            "training": data["training"]["tokenizer"],
        }

    @model_validator(mode="after")
    def _check(self) -> CarpConfig:
        left = self.horizon - self.chunk.observed + 1
        if self.chunk.executed > left:
            raise ValueError(
                f"chunk.executed {self.chunk.executed} is more than the {left} steps that a chunk of {self.horizon} "
                f"has from the last of {self.chunk.observed} observations on"
            )
        return self


# without warm-up; as many steps as 400 and 4,000 epochs of the 25,000 windows of a task of Robomimic
PUBLISHED: dict[str, Any] = {"batch_size": 256, "warmup_steps": 0}
TOKENIZER: dict[str, Any] = PUBLISHED | {
    "steps": 40_000,
    "learning_rate": 3e-4,
    "beta_1": 0.5,
    "beta_2": 0.9,
    "weight_decay": 0.005,
    "gradient_clip": 10.0,
    "decay": "cosine",
    "rate_left": 0.3,
}
PREDICTOR: dict[str, Any] = PUBLISHED | {
    "steps": 400_000,
    "learning_rate": 1e-4,
    "beta_1": 0.9,
    "beta_2": 0.95,
    "weight_decay": 0.05,
    "gradient_clip": 2.0,
    "decay": "linear",
    "held": 0.05,
    "rate_left": 0.1,
}
SMALL: dict[str, Any] = {"warmup_steps": 50}

PRESETS: Presets = {
    # ours: small
    "cpu": {
        "*": {
            "tokenizer": {"codes": 128},
            "predictor": {"depth": 2, "num_heads": 4, "drop_path": 0.0, "average_decay": 0.995},
            "training": {
                "tokenizer": TOKENIZER | SMALL | {"steps": 1000, "batch_size": 64, "learning_rate": 3e-3},
                "predictor": PREDICTOR | SMALL | {"steps": 3000, "batch_size": 64, "learning_rate": 2e-3},
            },
        },
        "locomotion": {"chunk": {"executed": 1}},
        # some 25 action values, each with tokens of its own: a shorter chunk
        "adroit": {
            "chunk": {"executed": 4},
            "tokenizer": {"scales": (1, 2)},
            "training": {"predictor": {"batch_size": 32}},
        },
    },
    # github.com/ZhefeiGong/carp, singletask/utils/arg_util.py and the scripts of state tasks; of D4RL's tasks nobody
    # published any
    "paper": {
        "*": {
            "training": {"tokenizer": TOKENIZER, "predictor": PREDICTOR, "log_every": 1000, "checkpoint_every": 5000}
        },
        # balance breaks in the open loop
        "locomotion": {"chunk": {"executed": 1}},
    },
}

SPACE: Space = {
    "chunk.executed": [1, 4, 8],
    "tokenizer.codes": [128, 512],
    "predictor.depth": [2, 4, 8],
}
