"""The configuration of RGG: Diffuser's, and what is learned of its plans and done about it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mage.algorithms.diffuser.config import DiffuserConfig, DiffuserTrainingConfig, PlanningConfig
from mage.config import Component, StageConfig


class GapConfig(Component):
    """Restoration gaps of Diffuser's own plans, which a predictor learns. Defaults are the authors' in mazes."""

    plans: int = Field(500_000, ge=2, description="Diffuser's plans that it learns from, made before its first step")
    candidates: int = Field(
        1, ge=1, description="of each plan; that of the highest value is taken (64 in the authors' locomotion)"
    )
    value_scale: float = Field(0.1, ge=0, description="of the value's gradient while these are made, and restored")
    strength: float = Field(0.9, gt=0, le=1, description="share of the levels of noise that a plan is restored from")
    restorations: int = Field(
        10, ge=1, description="of each plan, the nearest of which is its gap: the more, the lower are all"
    )
    held_out: float = Field(0.2, gt=0, lt=1, description="share of the plans that the predictor is tested on")
    test_every: int = Field(5000, ge=1, description="steps; the predictor that acts is that of the best test")
    in_deviations: bool = Field(
        False,
        description="gaps less their mean, in units of their deviation, which then are those of planning.guide_scale "
        "and planning.gap_weight, too; else sums of squares of what is normalised",
    )


class RggPlanningConfig(PlanningConfig):
    """How plans are made and acted on: uphill in V - beta gap - lambda TV."""

    plans: int = Field(8, ge=1, description="made at a time, of which the one that is worth most acts")
    guide_scale: float = Field(0.05, ge=0, description="of the gradient of all that a plan is worth; 0: no guide")
    gap_weight: float = Field(1.0, ge=0, description="beta; that of the value is 1")
    attribution_weight: float = Field(
        0.0, ge=0, description="lambda, of the variation over time of what makes up the gap (RGG+); 0: RGG"
    )
    attribution: Literal["grad_cam", "saliency"] = Field(
        "grad_cam",
        description="what of a plan makes up its gap: gradient by activation where the predictor is narrowest, or the "
        "gradient in the plan",
    )


class RggTrainingConfig(DiffuserTrainingConfig):
    """The stages of RGG, in order."""

    gap: StageConfig = Field(StageConfig(), description="the predictor of restoration gaps")


class RggConfig(DiffuserConfig):
    """The whole configuration of a run of RGG."""

    algorithm: Literal["rgg"] = "rgg"  # type: ignore[assignment]  # another algorithm, though all of Diffuser's is its
    planning: RggPlanningConfig = RggPlanningConfig()
    gap: GapConfig = GapConfig()
    training: RggTrainingConfig = RggTrainingConfig()

    @property
    def tells_plans_apart(self) -> bool:
        """By their gaps."""
        return True

    @property
    def restored_levels(self) -> int:
        """Levels of noise that a plan is restored from."""
        return int(self.gap.strength * self.plan.denoising_steps)

    @property
    def held_out_plans(self) -> int:
        """How many of the plans the predictor does not learn from."""
        return min(max(1, int(self.gap.held_out * self.gap.plans)), self.gap.plans - 1)

    @model_validator(mode="after")
    def _check_gap(self) -> RggConfig:
        if not self.restored_levels:
            raise ValueError(
                f"gap.strength {self.gap.strength:g} of plan.denoising_steps {self.plan.denoising_steps} is no level "
                "of noise at all"
            )
        if self.gap.candidates > 1 and not self.training.value.steps:
            raise ValueError(
                f"gap.candidates {self.gap.candidates} needs a value to choose by; set training.value.steps, or "
                "gap.candidates=1"
            )
        return self
