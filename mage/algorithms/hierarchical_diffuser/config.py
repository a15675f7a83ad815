"""The configuration of Hierarchical Diffuser: its two levels, what plans are worth, and how they are acted on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mage.config import ADDED, AlgorithmConfig, Component, OptionalStageConfig, StageConfig, TrainingConfig
from mage.data.goals import GoalConfig
from mage.data.plans import Padding


class HierarchyConfig(Component):
    """What both levels share. Defaults are those of locomotion in the authors' code."""

    interval: int = Field(4, ge=1, description="K: steps from one sub-goal to the next")
    subgoals: int = Field(9, ge=2, description="M: of a high plan, the first of which is where it begins")
    normaliser: Literal["limits", "deviations"] = Field(
        "deviations", description="of states and actions: their limits to [-1, 1], and predictions clipped to that; or"
    )
    padding: Padding = Field(
        "zeros",
        description="past an episode's end: no window reaches there; zeros in the data's units; or its last state, at "
        "rest (action 0)",
    )
    average_rate: float = Field(0.005, gt=0, le=1, description="of the average of the weights, which acts")
    average_start: int = Field(2000, ge=0, description="steps of training until which it is a plain copy")
    average_every: int = Field(10, ge=1, description="steps of training to a move of it")


class LevelConfig(Component):
    """Plans of one level, and their networks."""

    denoising_steps: int = Field(20, ge=2, description="levels of noise")
    width: int = Field(
        32, ge=8, multiple_of=4, description="channels, times the multipliers, and of the embedded level of noise"
    )
    multipliers: tuple[int, ...] = Field((1, 2, 4, 8), min_length=1, description="of the width, from fine to coarse")
    actions: bool = Field(
        True, description="plans have actions beside states; of a high one all K to the next sub-goal"
    )
    first_weight: float = Field(
        1.0, gt=0, description="in the denoiser's loss, of the first actions; of the second state where there are none"
    )


class LowLevelConfig(LevelConfig):
    """Plans from one sub-goal to the next."""

    multipliers: tuple[int, ...] = Field((1, 4, 8), min_length=1, description="of the width, from fine to coarse")
    first_weight: float = Field(
        10.0, gt=0, description="in the denoiser's loss, of the first action; of the second state where there are none"
    )
    end_in_training: bool = Field(
        False,
        description="in training, too, it is known where a low plan ends, as published for mazes; for locomotion it is "
        "only written in when acting, by networks that have never seen it",
    )


class PlanValuesConfig(Component):
    """What the values of plans of both levels are values of: the rest of the episode, not of the plan."""

    discount: float | None = Field(0.997, gt=0, le=1, description="of their returns; null: the scenario's")
    termination_penalty: float = Field(0.0, ge=0, description="taken off the last reward where an episode terminates")
    failure_penalty: float = Field(
        0.0, ge=0, description="taken off the last reward of an episode that never was rewarded with 1, for goal tasks"
    )
    reward_shift: float = Field(0.0, description="added to every reward; -1 for goal tasks that pay 1 at the goal")
    in_deviations: bool = Field(
        False, description="in units of the returns' deviation, which then is that of guide_scale, too; else as paid"
    )


class ActingConfig(Component):
    """How plans are made and acted on."""

    plans: int = Field(1, ge=1, description="made at a time by a level that has a value, the best of which is kept")
    guide_scale: float = Field(1e-3, ge=0, description="of the values' gradients, at both levels; 0: no guide")
    guide_steps: int = Field(1, ge=1, description="gradients a level of noise")
    guide_stop: int = Field(4, ge=0, description="levels of noise below this are not guided")
    temperature: float = Field(1.0, ge=0, description="factor of the noise that denoising begins with")
    replan_every: int | None = Field(
        1,
        ge=1,
        description="steps of an episode, at most K: both levels plan anew, and only the way to the first sub-goal is "
        "made; null: one plan an episode, as for a goal, which a new plan puts off again, all segments at once",
    )
    follow: Literal["actions", "states", "inverse_dynamics"] = Field(
        "actions",
        description="take the low plan's actions; steer by its states as a point mass, which end at rest; or take what "
        "the inverse dynamics say leads from the state now to the plan's next (where actions are too rough to diffuse)",
    )
    lateness: Annotated[float | None, ADDED] = Field(
        None,
        ge=0,
        description="with follow=states: what it costs to be a step behind the plan, as a distance; who is late goes "
        "on where that costs least (ours); null: by time, as published",
    )


class InverseDynamicsConfig(Component):
    """I(s, s'), the action between two states; an MLP with GELU."""

    hidden_dim: int = Field(256, ge=1, description="its width")
    hidden_layers: int = Field(2, ge=1, description="its hidden layers")


class HierarchicalDiffuserTrainingConfig(TrainingConfig):
    """The stages, in order, of which none depends on another."""

    high: StageConfig = Field(StageConfig(), description="the denoiser of sub-goals")
    low: StageConfig = Field(StageConfig(), description="the denoiser of the ways between them")
    high_value: OptionalStageConfig = Field(OptionalStageConfig(), description="guides sub-goals; 0 steps: no guide")
    low_value: OptionalStageConfig = Field(OptionalStageConfig(), description="guides the ways; 0 steps: no guide")
    inverse_dynamics: OptionalStageConfig = Field(OptionalStageConfig(), description="for acting.follow, if it says so")


class HierarchicalDiffuserConfig(AlgorithmConfig):
    """The whole configuration of a run of Hierarchical Diffuser."""

    algorithm: Literal["hierarchical_diffuser"] = "hierarchical_diffuser"
    hierarchy: HierarchyConfig = HierarchyConfig()
    high: LevelConfig = LevelConfig()
    low: LowLevelConfig = LowLevelConfig()
    values: PlanValuesConfig = PlanValuesConfig()
    goal: GoalConfig = GoalConfig()
    acting: ActingConfig = ActingConfig()
    inverse_dynamics: InverseDynamicsConfig = InverseDynamicsConfig()
    training: HierarchicalDiffuserTrainingConfig = HierarchicalDiffuserTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of the values' returns."""
        return self.values.discount

    def shared_key(self) -> dict[str, Any]:
        """What determines the denoiser of sub-goals besides data and seed."""
        data = self.determining()
        return {
            "hierarchy": data["hierarchy"],
            "high": data["high"],
            "goal": data["goal"],
            "training": data["training"]["high"],
        }

    @model_validator(mode="after")
    def _check(self) -> HierarchicalDiffuserConfig:
        acting, goal, training = self.acting, self.goal, self.training
        if acting.plans > 1 and not (training.high_value.steps or training.low_value.steps):
            raise ValueError(
                f"acting.plans {acting.plans} needs a value to choose by; set training.high_value.steps or "
                "training.low_value.steps, or acting.plans=1"
            )
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
        if acting.follow == "inverse_dynamics" and not training.inverse_dynamics.steps:
            raise ValueError("acting.follow=inverse_dynamics needs training.inverse_dynamics.steps")
        if goal.columns and len(goal.columns) != len(goal.position):
            raise ValueError(f"goal.columns {goal.columns} and goal.position {goal.position} differ in length")
        if acting.follow == "states" and len(goal.velocity) != len(goal.position):
            raise ValueError(f"goal.velocity {goal.velocity} and goal.position {goal.position} differ in length")
        return self
