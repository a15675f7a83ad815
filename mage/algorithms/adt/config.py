"""The configuration of ADT, its presets, and what a sweep varies where nothing is said."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mage.config import AlgorithmConfig, Component, PlainAdamConfig, StageConfig, TrainingConfig, check_heads
from mage.data.transitions import RewardConfig
from mage.interface import Presets, Space


class ValuesConfig(Component):
    """Implicit Q-learning's values, and what is made of them; defaults are those of the paper and its code."""

    hidden_dim: int = Field(256, ge=1, description="width of Q and V")
    hidden_layers: int = Field(2, ge=1, description="of Q and V")
    expectile: float = Field(0.7, gt=0, lt=1, description="tau: how optimistic V is, and so the prompt when it acts")
    beta: float = Field(
        3.0, ge=0, description="of an advantage in the units of `reward`; 0: all actions weigh the same"
    )
    largest_weight: float = Field(100.0, gt=0, description="of an action of the data")
    discount: float = Field(0.99, gt=0, le=1, description="gamma, a step, whatever the scenario's")
    target_rate: float = Field(0.005, gt=0, le=1, description="by which Q' follows Q, a step")
    terminal_at_goal: bool = Field(
        False, description="a step of reward 1 is terminal: D4RL's AntMaze says so, Minari's recordings go on"
    )
    reward: RewardConfig = RewardConfig()


class PromptedTransformerConfig(Component):
    """The transformer, sized as the paper's."""

    context: int = Field(20, ge=1, description="steps it looks back on")
    depth: int = Field(3, ge=1, description="transformer blocks")
    embed_dim: int = Field(128, ge=4)
    num_heads: int = Field(1, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    max_episode_steps: int = Field(1000, ge=1, description="timesteps with an embedding of their own")
    prompt_scale: float = Field(
        1.0, gt=0, description="factor of the prompt; beside observations, whose deviation is 1, hundreds are much"
    )

    @model_validator(mode="after")
    def _check(self) -> PromptedTransformerConfig:
        check_heads(self.embed_dim, self.num_heads)
        return self


class AdtValuesStageConfig(PlainAdamConfig, StageConfig):
    """The first stage."""

    steps: int = Field(1_000_000, ge=0)
    batch_size: int = Field(256, ge=1, description="transitions a step over all workers together")


class AdtPolicyStageConfig(StageConfig):
    """The second stage; defaults are those of the authors' run script for AntMaze."""

    steps: int = Field(1_000_000, ge=0)
    batch_size: int = Field(256, ge=1, description="windows a step over all workers together")
    learning_rate: float = Field(1e-4, gt=0)
    warmup_steps: int = Field(10_000, ge=0)
    gradient_clip: float = Field(0.25, gt=0, description="largest gradient norm")
    decay: Literal["cosine", "cosine_to_zero", "constant"] = Field("constant", description="after the warm-up")


class AdtTrainingConfig(TrainingConfig):
    """The stages of ADT, in order."""

    values: AdtValuesStageConfig = Field(AdtValuesStageConfig(), description="Q and V")
    policy: AdtPolicyStageConfig = Field(AdtPolicyStageConfig(), description="the transformer")


class AdtConfig(AlgorithmConfig):
    """The whole configuration of a run of ADT."""

    algorithm: Literal["adt"] = "adt"
    values: ValuesConfig = ValuesConfig()
    adt: PromptedTransformerConfig = PromptedTransformerConfig()
    training: AdtTrainingConfig = AdtTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of its values, whatever the scenario's."""
        return self.values.discount


ANTMAZE: dict[str, Any] = {
    "values": {"expectile": 0.9, "beta": 6.0, "terminal_at_goal": True, "reward": {"shift": -1.0}},
}
FAMILIES: dict[str, dict[str, Any]] = {
    "antmaze": ANTMAZE,
    # not in the authors' repository: implicit Q-learning's own settings of Kitchen, for Adroit too
    "kitchen": {"values": {"expectile": 0.7, "beta": 0.5}},
    "adroit": {"values": {"expectile": 0.7, "beta": 0.5}},
    # not in it, either: sparse rewards and much to stitch
    "maze2d": {"values": {"expectile": 0.9, "beta": 3.0}},
    "maze_game": {"values": {"expectile": 0.9, "beta": 3.0}},
    "ogbench": ANTMAZE,  # as AntMaze; the paper's OGBench rows need sub-goals
    "locomotion": {"values": {"expectile": 0.7, "beta": 3.0}},
}
GYM: dict[str, Any] = {"steps": 100_000, "batch_size": 4096, "learning_rate": 8e-4}

PRESETS: Presets = {
    # values as those of implicit Q-learning's preset, a transformer as that of the Decision Transformer's
    "cpu": {
        "*": {
            "values": {"target_rate": 0.05},
            "adt": {"embed_dim": 64, "depth": 2},
            "training": {
                "values": {"steps": 12_000, "learning_rate": 1e-3},
                "policy": {"steps": 6000, "batch_size": 16, "learning_rate": 1e-3, "warmup_steps": 100},
            },
        },
        **FAMILIES,
        "locomotion": {
            "values": {"beta": 0.5, "reward": {"over_return_range": True, "scale": 1000.0}},
            "adt": {"prompt_scale": 0.01},
        },
    },
    "paper": {
        "*": {"training": {"log_every": 1000, "checkpoint_every": 50_000}},
        **FAMILIES,
        "adroit": FAMILIES["adroit"] | {"training": {"policy": {"steps": 100_000, "batch_size": 64}}},
        "locomotion": FAMILIES["locomotion"] | {"training": {"policy": GYM}},
    },
}
SPACE: Space = {"values.expectile": [0.7, 0.8, 0.9], "values.beta": [0.5, 3.0, 6.0]}
