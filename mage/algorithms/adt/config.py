"""The configuration of ADT."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mage.config import (
    ADDED,
    AlgorithmConfig,
    Component,
    Decay,
    PlainAdamConfig,
    StageConfig,
    TrainingConfig,
    check_heads,
)
from mage.data.goals import GoalConfig, GoalShares
from mage.data.transitions import RewardConfig


class ValuesConfig(Component):
    """Implicit Q-learning's values, and what is made of them; defaults are those of the paper and its code.

    Of sub-goals these are the values of goals, which know no rewards.
    """

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


class SubgoalsConfig(Component):
    """What prompts where `adt.prompt` is subgoal; defaults are those of the authors' code (G-ADT)."""

    steps: int = Field(25, ge=1, description="W: how far ahead sub-goals lie")
    policy_dim: int = Field(512, ge=1, description="width of the policy that proposes them")
    policy_layers: int = Field(2, ge=1, description="of it")
    beta: float = Field(1.0, ge=0, description="of its advantage; `values.beta` is that of actions")
    goals: GoalShares = Field(GoalShares(random=0.1), description="of the value")
    any_goals: float = Field(0.1, ge=0, le=1, description="share of the policy's goals that are any states")
    goal: Literal["shown", "rewarded"] = Field(
        "shown",
        description="where the goal is read when it acts: in the goal's columns of the observation, else as in the "
        "data's first; or, where no observation shows it, it is the first state of the data that was rewarded with 1",
    )
    squashed: bool = Field(
        False, description="displacements through a tanh when it acts, as the authors' script, which trains without"
    )


class PromptedTransformerConfig(Component):
    """The transformer, sized as the paper's."""

    prompt: Annotated[Literal["value", "subgoal"], ADDED] = Field(
        "value", description="V-ADT: what is worth most; G-ADT: the state to be reached some steps ahead"
    )
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
    decay: Decay = Field("constant", description="after the warm-up")


class AdtTrainingConfig(TrainingConfig):
    """The stages of ADT, in order."""

    values: AdtValuesStageConfig = Field(AdtValuesStageConfig(), description="Q and V, or V of goals and sub-goals")
    policy: AdtPolicyStageConfig = Field(AdtPolicyStageConfig(), description="the transformer")


class AdtConfig(AlgorithmConfig):
    """The whole configuration of a run of ADT."""

    algorithm: Literal["adt"] = "adt"
    values: ValuesConfig = ValuesConfig()
    subgoals: Annotated[SubgoalsConfig, ADDED] = SubgoalsConfig()
    goal: Annotated[GoalConfig, ADDED] = GoalConfig()
    adt: PromptedTransformerConfig = PromptedTransformerConfig()
    training: AdtTrainingConfig = AdtTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of its values, whatever the scenario's."""
        return self.values.discount
