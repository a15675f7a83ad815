"""A run as validated, frozen data: how its stages are trained, how it is evaluated, and the whole with its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from mage.config.components import (
    AutoencoderConfig,
    BehaviourCloningConfig,
    Component,
    DecisionTransformerConfig,
    InverseDynamicsConfig,
    PolicyConfig,
    TransformerConfig,
    ValueConfig,
)

STAGES = {
    "mage": ("autoencoder", "transformer", "inverse_dynamics", "value"),
    "bc": ("reference",),
    "return_bc": ("reference",),
    "dt": ("reference",),
}
"""By algorithm: the stages of its training, in order. One with 0 steps is left out."""

SECTIONS = {
    "mage": ("autoencoder", "inverse_dynamics", "transformer", "value", "policy"),
    "bc": ("behaviour_cloning",),
    "return_bc": ("behaviour_cloning",),
    "dt": ("decision_transformer",),
}
"""By algorithm: the sections of a configuration that concern it."""


class StageConfig(Component):
    """How one stage is optimised: AdamW, linear warm-up, cosine decay to a tenth."""

    steps: int = Field(1000, ge=0)
    batch_size: int = Field(64, ge=1, description="windows a step over all workers together")
    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=0)
    weight_decay: float = Field(1e-4, ge=0)
    gradient_clip: float = Field(1.0, gt=0, description="largest gradient norm")


class OptionalStageConfig(StageConfig):
    """A stage that is left out unless it is given steps."""

    steps: int = Field(0, ge=0)


class TrainingConfig(Component):
    """The stages, and how often they speak and save."""

    autoencoder: StageConfig = StageConfig()
    transformer: StageConfig = StageConfig()
    inverse_dynamics: OptionalStageConfig = Field(
        OptionalStageConfig(), description="stage 2b, ours: I goes on learning, on generated Z; 0 steps leave it out"
    )
    value: OptionalStageConfig = Field(OptionalStageConfig(), description="the critic that policy.select: value needs")
    reference: StageConfig = Field(StageConfig(), description="the one stage of bc, return_bc and dt")
    reweight_by_return: bool = Field(
        False, description="weigh windows by their R_0, scaled to [0, 1], in the losses of stage 1 and 2 (Table 23)"
    )
    log_every: int = Field(100, ge=1, description="steps")
    checkpoint_every: int = Field(500, ge=1, description="steps over all stages")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1, description="CPU threads of a process; more than free cores makes torch crawl")

    @model_validator(mode="after")
    def _check(self) -> TrainingConfig:
        for name in ("autoencoder", "transformer", "reference"):
            if getattr(self, name).steps < 1:
                raise ValueError(f"{name}.steps must be at least 1")
        return self


class EvaluationConfig(Component):
    """Rollouts in the dataset's own evaluation environment."""

    episodes: int | None = Field(None, ge=1, description="per training seed; by default the scenario's (100)")
    target_return_quantile: float | None = Field(
        None,
        ge=0,
        le=1,
        description="target R_0 = this quantile of the training returns-to-go (1: their maximum); by default the "
        "scenario's",
    )
    target_return_rule: Literal["constant", "decremented"] | None = Field(
        None,
        description="the same target at every step, or R <- (R - r) / discount from a quantile of the whole episodes' "
        "returns; by default constant, for dt decremented",
    )
    batch_size: int = Field(25, ge=1, description="environments stepped by one forward pass")
    intermediate_episodes: int = Field(
        10, ge=1, description="episodes of an evaluation during training, for schedulers"
    )
    inspection_episodes: int = Field(
        10, ge=0, description="episodes a target of the scan of score against target return; 0 leaves rollouts out"
    )
    seed: int = Field(0, ge=0, description="episode i is seeded from (seed, i), whatever the training seed")


class Config(Component):
    """The whole configuration of a run; its hash names it in every result."""

    algorithm: Literal["mage", "bc", "return_bc", "dt"] = Field(
        "mage", description="MAGE, or a reference: behaviour cloning, the same given R_t, Decision Transformer"
    )
    autoencoder: AutoencoderConfig = AutoencoderConfig()
    inverse_dynamics: InverseDynamicsConfig = InverseDynamicsConfig()
    transformer: TransformerConfig = TransformerConfig()
    value: ValueConfig = ValueConfig()
    policy: PolicyConfig = PolicyConfig()
    behaviour_cloning: BehaviourCloningConfig = BehaviourCloningConfig()
    decision_transformer: DecisionTransformerConfig = DecisionTransformerConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that this training has, in order."""
        return tuple(name for name in STAGES[self.algorithm] if getattr(self.training, name).steps)

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return sum(getattr(self.training, name).steps for name in self.stages)

    @property
    def discount(self) -> float | None:
        """Of the returns-to-go; None: the scenario's."""
        return self.decision_transformer.discount if self.algorithm == "dt" else None

    @property
    def target_return_rule(self) -> str:
        """What is asked of the policy from step to step."""
        default = "decremented" if self.algorithm == "dt" else "constant"
        return self.evaluation.target_return_rule or default

    def hash(self) -> str:
        """Twelve hex digits of what determines the result; where and how loudly it ran is left out."""
        data = self.model_dump(mode="json")
        stages = {name: data["training"][name] for name in self.stages}
        sections = {name: data[name] for name in SECTIONS[self.algorithm]}
        if self.algorithm == "mage":
            stages["reweight_by_return"] = self.training.reweight_by_return
        del data["evaluation"]["inspection_episodes"]
        return digest({"algorithm": self.algorithm, "training": stages, "evaluation": data["evaluation"], **sections})

    def autoencoder_key(self) -> dict[str, Any]:
        """What determines a stage-1 artefact besides data and seed; two configurations that agree here share it."""
        data = self.model_dump(mode="json")
        return {
            "autoencoder": data["autoencoder"] | {"scales": list(self.autoencoder.schedule)},
            "inverse_dynamics": data["inverse_dynamics"],
            "training": data["training"]["autoencoder"],
            "reweight_by_return": self.training.reweight_by_return,
        }

    @model_validator(mode="after")
    def _check(self) -> Config:
        sequence = self.autoencoder.sequence
        if sequence == "action" and self.transformer.condition_weight > 0:
            raise ValueError(
                "autoencoder.sequence action decodes neither R_0 nor s_0 for L_cond; set transformer.condition_weight=0"
            )
        if sequence == "action" and self.inverse_dynamics.inputs == "trajectory":
            raise ValueError(
                "inverse_dynamics.inputs trajectory reads decoded states, autoencoder.sequence action has none"
            )
        selects = self.policy.candidates > 1
        if selects and self.policy.select == "value" and not self.training.value.steps:
            raise ValueError("policy.select value needs a critic; set training.value.steps")
        if selects and self.policy.select == "observation" and sequence == "action":
            raise ValueError("policy.select observation needs decoded states, autoencoder.sequence action has none")
        return self


def digest(data: Mapping[str, Any]) -> str:
    """Twelve hex digits of some JSON data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
