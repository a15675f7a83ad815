"""The configuration of MAGE: how it acts and is trained, and the whole.

Field names follow the paper's hyperparameter tables (10-14); a field that one of its ablations varies names the table.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mage.algorithms.mage.network_config import AutoencoderConfig, InverseDynamicsConfig, TransformerConfig, ValueConfig
from mage.config import ADDED, Component, OptionalStageConfig, StageConfig
from mage.interface.conditioned import ConditionedConfig, ConditionedTrainingConfig


class PolicyConfig(Component):
    """How the trained model acts."""

    sampling: Literal["greedy", "sample", "expected"] = Field(
        "greedy",
        description="the likeliest tokens; tokens drawn by temperature; or (ours) no tokens but the mean code under "
        "the predicted distribution",
    )
    temperature: float = Field(1.0, gt=0, description="of the token distribution, where tokens are not greedy")
    top_k: int | None = Field(None, ge=1, description="draw among the k likeliest codes only")
    candidates: int = Field(1, ge=1, description="Z drawn a step, of which one is acted on; needs sampling: sample")
    select: Literal["observation", "value", "return"] = Field(
        "observation",
        description="the candidate whose decoded s_0 is nearest to the observation (ours), or whose action has the "
        "highest value (Table 6, A+CQL), or that promises most (ours): the highest decoded R_0; with advantages, "
        "decoded rewards and V at its end",
    )
    implausible: Annotated[float, ADDED] = Field(
        0.2,
        gt=0,
        description="with select: return, a candidate whose decoded s_0 is off by more (root mean square, in the "
        "data's deviations) is refused where another is not",
    )
    weights: Annotated[Literal["float32", "int8"], ADDED] = Field(
        "float32",
        description="ours: what the transformer's weights are kept in while it acts on a CPU; int8 reads a quarter of "
        "the memory, and chooses some tokens otherwise",
    )
    guidance: Annotated[float, ADDED] = Field(
        0.0,
        ge=0,
        description="ours: w of (1 + w) logits(s_0, R_0) - w logits(s_0); needs transformer.condition_dropout, and "
        "generates twice as many rows; 0 is none",
    )

    @model_validator(mode="after")
    def _check(self) -> PolicyConfig:
        if self.candidates > 1 and self.sampling != "sample":
            raise ValueError(f"candidates {self.candidates} of one greedy Z are all the same; set sampling: sample")
        return self


class InverseDynamicsStageConfig(OptionalStageConfig):
    """Stage 2b."""

    given_scales: Annotated[int, ADDED] = Field(
        0,
        ge=0,
        description="scales, coarsest first, that are the window's own (at most all), the finer ones generated given "
        "them; with 0 all are, and I learns the mean action at (s_0, R_0), whatever the plan says",
    )
    whole_windows: Annotated[bool, ADDED] = Field(
        False,
        description="ours: leaves out windows that run past a time limit. They repeat their last row, so that I learns "
        "to stand still where a plan ends early, as it does before a goal",
    )


class MageTrainingConfig(ConditionedTrainingConfig):
    """The stages of MAGE, in order."""

    autoencoder: StageConfig = Field(StageConfig(), description="stage 1")
    transformer: StageConfig = Field(StageConfig(), description="stage 2")
    inverse_dynamics: InverseDynamicsStageConfig = Field(
        InverseDynamicsStageConfig(),
        description="stage 2b, ours: I goes on learning, on generated Z; 0 steps leave it out",
    )
    value: OptionalStageConfig = Field(OptionalStageConfig(), description="the critic that policy.select: value needs")
    reweight_by_return: bool = Field(
        False, description="weigh windows by their R_0, scaled to [0, 1], in the losses of stage 1 and 2 (Table 23)"
    )


class MageConfig(ConditionedConfig):
    """The whole configuration of a run of MAGE."""

    algorithm: str = "mage"
    autoencoder: AutoencoderConfig = AutoencoderConfig()
    inverse_dynamics: InverseDynamicsConfig = InverseDynamicsConfig()
    transformer: TransformerConfig = TransformerConfig()
    value: ValueConfig = ValueConfig()
    policy: PolicyConfig = PolicyConfig()
    training: MageTrainingConfig = MageTrainingConfig()

    def shared_key(self) -> dict[str, Any]:
        """What determines a trained stage 1 besides data and seed; two configurations that agree here share it."""
        data = self.determining()
        return {
            "autoencoder": data["autoencoder"] | {"scales": list(self.autoencoder.schedule)},
            "inverse_dynamics": data["inverse_dynamics"],
            "training": data["training"]["autoencoder"],
            "reweight_by_return": self.training.reweight_by_return,
            **({"advantage": self.advantage_key()} if self.by_advantage else {}),
        }

    @property
    def looks_beyond_plans(self) -> bool:
        """Whether plans are chosen by V at their end."""
        return self.policy.candidates > 1 and self.policy.select == "return" and self.by_advantage

    @model_validator(mode="after")
    def _check(self) -> MageConfig:
        sequence = self.autoencoder.sequence
        if sequence == "action" and self.transformer.condition_weight > 0:
            raise ValueError(
                "autoencoder.sequence action decodes neither R_0 nor s_0 for L_cond; set transformer.condition_weight=0"
            )
        if self.policy.guidance and not self.transformer.condition_dropout:
            raise ValueError("policy.guidance needs logits that no return was told; set transformer.condition_dropout")
        if self.autoencoder.step_stride > 1 and self.inverse_dynamics.inputs == "trajectory":
            raise ValueError(
                "inverse_dynamics.inputs trajectory reads the very next state, which autoencoder.step_stride "
                f"{self.autoencoder.step_stride} leaves out"
            )
        if sequence == "action" and self.inverse_dynamics.inputs == "trajectory":
            raise ValueError(
                "inverse_dynamics.inputs trajectory reads decoded states, autoencoder.sequence action has none"
            )
        if self.inverse_dynamics.scales is not None and self.policy.sampling == "expected":
            raise ValueError(
                "inverse_dynamics.scales reads tokens, policy.sampling expected has none; set "
                "inverse_dynamics.scales=null"
            )
        selects = self.policy.candidates > 1
        if selects and self.policy.select == "value" and not self.training.value.steps:
            raise ValueError("policy.select value needs a critic; set training.value.steps")
        if selects and self.policy.select == "observation" and sequence == "action":
            raise ValueError("policy.select observation needs decoded states, autoencoder.sequence action has none")
        if selects and self.policy.select == "return":
            if "return_state" not in sequence:
                raise ValueError(
                    f"policy.select return needs decoded returns, autoencoder.sequence {sequence} has none"
                )
            if self.autoencoder.return_in_decoder:
                raise ValueError(
                    "policy.select return: a decoder that is told R_0 gives it back, whatever the plan; set "
                    "autoencoder.return_in_decoder=false"
                )
            reward = self.condition.reward
            if self.by_advantage and (reward.over_return_range or reward.standardised):
                raise ValueError(
                    "policy.select return adds decoded returns to V: set condition.reward.over_return_range=false and "
                    "condition.reward.standardised=false"
                )
        return self
