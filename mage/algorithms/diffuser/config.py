"""The configuration of Diffuser: plans and their networks, what they are worth, and how they are acted on."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mage.config import AlgorithmConfig, Component, OptionalStageConfig, StageConfig, TrainingConfig
from mage.data.goals import GoalConfig
from mage.data.plans import Padding
from mage.nn.temporal_unet import multiple_of


class PlanConfig(Component):
    """Plans, and the networks of them. Defaults are those of walker2d in github.com/jannerm/diffuser."""

    horizon: int = Field(32, ge=2, description="steps of a plan; a multiple of 2 to the number of halvings")
    denoising_steps: int = Field(20, ge=2, description="levels of noise")
    width: int = Field(
        32, ge=8, multiple_of=4, description="channels, times the multipliers, and of the embedded level of noise"
    )
    multipliers: tuple[int, ...] = Field((1, 2, 4, 8), min_length=1, description="of the width, from fine to coarse")
    attention: bool = Field(False, description="linear attention over time in the denoiser")
    show_ends: bool = Field(
        False,
        description="every step of a plan is shown what is known of it, the start and the goal (ours); as published, "
        "that has to make its way through the convolutions",
    )
    normaliser: Literal["limits", "deviations"] = Field(
        "deviations", description="of states and actions: their limits to [-1, 1], and predictions clipped to that; or"
    )
    padding: Padding = Field(
        "zeros",
        description="past an episode's end: no window reaches there; zeros in the data's units; or its last state, at "
        "rest (action 0)",
    )
    action_weight: float = Field(10.0, gt=0, description="of the first action in the loss of the denoiser")
    average_rate: float = Field(0.005, gt=0, le=1, description="of the average of the weights, which acts")
    average_start: int = Field(2000, ge=0, description="steps of training until which it is a plain copy")
    average_every: int = Field(10, ge=1, description="steps of training to a move of it")

    @model_validator(mode="after")
    def _check(self) -> PlanConfig:
        multiple = multiple_of(self.multipliers)
        if self.horizon % multiple:
            raise ValueError(
                f"horizon {self.horizon} is no multiple of {multiple}, which {len(self.multipliers)} multipliers need"
            )
        return self


class PlanValueConfig(Component):
    """What the value of a plan is a value of."""

    discount: float | None = Field(0.997, gt=0, le=1, description="of its returns; null: the scenario's")
    termination_penalty: float = Field(0.0, ge=0, description="taken off the last reward where an episode terminates")
    in_deviations: bool = Field(
        False, description="in units of the returns' deviation, which then is that of guide_scale, too; else as paid"
    )


class PlanningConfig(Component):
    """How plans are made and acted on."""

    plans: int = Field(1, ge=1, description="made at a time, of which the one of the highest value acts")
    guide_scale: float = Field(0.1, ge=0, description="of the value's gradient; 0: no guide")
    guide_steps: int = Field(2, ge=1, description="gradients a level of noise")
    guide_stop: int = Field(2, ge=0, description="levels below this are not guided")
    temperature: float = Field(1.0, ge=0, description="factor of the noise that denoising begins with")
    replan_every: int | None = Field(
        1,
        ge=1,
        description="steps of an episode; null: one plan an episode, as for a goal, which a new plan puts off again",
    )
    follow: Literal["actions", "states"] = Field(
        "actions", description="take the actions of the plan, or steer by its states; these end at rest"
    )


class DiffuserTrainingConfig(TrainingConfig):
    """The stages of Diffuser, in order."""

    diffusion: StageConfig = Field(StageConfig(), description="the denoiser")
    value: OptionalStageConfig = Field(OptionalStageConfig(), description="the guide; 0 steps: plans are not guided")


class DiffuserConfig(AlgorithmConfig):
    """The whole configuration of a run of Diffuser."""

    algorithm: Literal["diffuser"] = "diffuser"
    plan: PlanConfig = PlanConfig()
    value: PlanValueConfig = PlanValueConfig()
    goal: GoalConfig = GoalConfig()
    planning: PlanningConfig = PlanningConfig()
    training: DiffuserTrainingConfig = DiffuserTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of the value's returns."""
        return self.value.discount

    def shared_key(self) -> dict[str, Any]:
        """What determines the denoiser besides data and seed: not what guides it, nor how plans are acted on."""
        data = self.determining()
        return {"plan": data["plan"], "goal": self.goal.columns, "training": data["training"]["diffusion"]}

    @property
    def tells_plans_apart(self) -> bool:
        """Whether anything says which of several plans is best."""
        return bool(self.training.value.steps)

    @model_validator(mode="after")
    def _check(self) -> DiffuserConfig:
        planning, goal = self.planning, self.goal
        if planning.plans > 1 and not self.tells_plans_apart:
            raise ValueError(
                f"planning.plans {planning.plans} needs a value to choose by; set training.value.steps, or "
                "planning.plans=1"
            )
        if planning.follow == "actions" and (planning.replan_every or self.plan.horizon + 1) > self.plan.horizon:
            raise ValueError(
                f"planning.replan_every {planning.replan_every} is more than the {self.plan.horizon} actions of a plan"
            )
        if goal.columns and len(goal.columns) != len(goal.position):
            raise ValueError(f"goal.columns {goal.columns} and goal.position {goal.position} differ in length")
        if planning.follow == "states" and len(goal.velocity) != len(goal.position):
            raise ValueError(f"goal.velocity {goal.velocity} and goal.position {goal.position} differ in length")
        return self
