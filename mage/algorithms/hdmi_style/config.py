"""The configuration of HDMI-style, whose every number is ours: nobody published HDMI's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mage.algorithms.hierarchical_diffuser.config import HierarchyConfig, InverseDynamicsConfig
from mage.config import ADDED, AlgorithmConfig, Component, OptionalStageConfig, StageConfig, TrainingConfig
from mage.config.fields import check_heads
from mage.data.goals import GoalConfig
from mage.data.graph_subgoals import GraphConfig


class GoalDiffuserConfig(Component):
    """The goal diffuser, a DiT over sub-goals. HDMI's is a transformer; sizes are those of CleanDiffuser's DiTs."""

    denoising_steps: int = Field(20, ge=2, description="levels of noise")
    embed_dim: int = Field(256, ge=4, multiple_of=2, description="width")
    depth: int = Field(4, ge=1, description="transformer blocks")
    num_heads: int = Field(8, ge=1, description="heads, which share the width evenly")
    condition_dropout: float = Field(
        0.25, ge=0, lt=1, description="share of windows of which the return is not told, as in Decision Diffuser"
    )

    predicts: Annotated[Literal["noise", "plan"], ADDED] = Field(
        "noise",
        description="what the network says of noisy sub-goals: their noise, as Decision Diffuser's; or these, as "
        "Diffuser's, whose errors are no larger where there is most noise, and the way is chosen",
    )

    @model_validator(mode="after")
    def _check(self) -> GoalDiffuserConfig:
        check_heads(self.embed_dim, self.num_heads)
        return self


class TrajectoryDiffuserConfig(Component):
    """The trajectory diffuser, Diffuser's U-Net over the steps to a sub-goal."""

    denoising_steps: int = Field(20, ge=2, description="levels of noise")
    width: int = Field(
        32, ge=8, multiple_of=4, description="channels, times the multipliers, and of the embedded level of noise"
    )
    multipliers: tuple[int, ...] = Field((1, 2, 4, 8), min_length=1, description="of the width, from fine to coarse")
    actions: bool = Field(
        False,
        description="plans have actions beside states, as MAGE's table 27 says of HDMI; without, inverse dynamics tell "
        "them, since torques are rough",
    )


class HdmiActingConfig(Component):
    """How plans are made and acted on."""

    asked_return: float = Field(1.0, description="of sub-goals, from 0 for the data's lowest to 1 for its highest")
    guidance: float = Field(
        1.2, ge=0, description="weight of what the asked return changes in the noise; 1: conditional, 0: without"
    )
    temperature: float = Field(0.5, ge=0, description="factor of the noise of every step of denoising")
    replan_every: int | None = Field(
        1,
        ge=1,
        description="steps of an episode, at most K: both levels plan anew, and only the way to the first sub-goal is "
        "made; null: one plan an episode, as for a goal, which a new plan puts off again, all ways at once",
    )
    follow: Literal["actions", "states", "inverse_dynamics"] = Field(
        "inverse_dynamics",
        description="take the plan's actions; steer by its states as a point mass, which end at rest; or take what the "
        "inverse dynamics say leads from the state now to the plan's next",
    )
    lateness: Annotated[float | None, ADDED] = Field(
        None,
        ge=0,
        description="with follow=states: what it costs to be a step behind the plan, as a distance; who is late goes "
        "on where that costs least, for its plans are in a hurry; null: by time, as Diffuser",
    )


class HdmiTrainingConfig(TrainingConfig):
    """The stages, in order, of which none depends on another."""

    high: StageConfig = Field(StageConfig(), description="the goal diffuser")
    low: StageConfig = Field(StageConfig(), description="the trajectory diffuser")
    inverse_dynamics: OptionalStageConfig = Field(
        OptionalStageConfig(steps=1000), description="for acting.follow, if it says so"
    )


class HdmiStyleConfig(AlgorithmConfig):
    """The whole configuration of a run of HDMI-style."""

    algorithm: Literal["hdmi_style"] = "hdmi_style"
    hierarchy: HierarchyConfig = HierarchyConfig(padding="last")
    graph: GraphConfig = GraphConfig()
    high: GoalDiffuserConfig = GoalDiffuserConfig()
    low: TrajectoryDiffuserConfig = TrajectoryDiffuserConfig()
    goal: GoalConfig = GoalConfig()
    acting: HdmiActingConfig = HdmiActingConfig()
    inverse_dynamics: InverseDynamicsConfig = InverseDynamicsConfig(hidden_dim=512)
    training: HdmiTrainingConfig = HdmiTrainingConfig()

    def shared_key(self) -> dict[str, Any]:
        """What determines the goal diffuser besides data and seed."""
        data = self.determining()
        parts = {name: data[name] for name in ("hierarchy", "graph", "high", "goal")}
        return parts | {"training": data["training"]["high"]}

    @model_validator(mode="after")
    def _check(self) -> HdmiStyleConfig:
        acting, goal = self.acting, self.goal
        if (acting.replan_every or 1) > self.hierarchy.interval:
            raise ValueError(
                f"acting.replan_every {acting.replan_every} is more than the {self.hierarchy.interval} steps to the "
                "first sub-goal (hierarchy.interval)"
            )
        if acting.follow == "actions" and not (self.low.actions and acting.replan_every):
            raise ValueError(
                "acting.follow=actions needs low.actions=true and a number for acting.replan_every; set them, or "
                "another acting.follow"
            )
        if acting.follow == "inverse_dynamics" and not self.training.inverse_dynamics.steps:
            raise ValueError("acting.follow=inverse_dynamics needs training.inverse_dynamics.steps")
        if goal.columns and len(goal.columns) != len(goal.position):
            raise ValueError(f"goal.columns {goal.columns} and goal.position {goal.position} differ in length")
        if acting.follow == "states" and len(goal.velocity) != len(goal.position):
            raise ValueError(f"goal.velocity {goal.velocity} and goal.position {goal.position} differ in length")
        return self
