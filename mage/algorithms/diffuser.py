"""Diffuser (Janner et al., 2022): windows [a, s] of H steps are denoised as a whole, from noise to a plan.

    L = mean W (x_0^(x_t, t) - x_0)^2        x_t with its ends written in; W weighs the first action
    L_V = (V(x_t, t) - R_0)^2                R_0 of the rest of the episode, not of the window

A plan begins at what is seen. Where a goal is shown it ends there: one plan is made an episode, and its states are
followed (the mazes). Elsewhere the gradient of V pushes the chain of denoising, and of several plans the one that is
worth most acts, by its first action.

Shape suffixes: B batch or environments, N plans of all of them, H horizon, S values of an observation without its goal,
A action size, D = A + S, O observation size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mage.config import AlgorithmConfig, Component, OptionalStageConfig, StageConfig, TrainingConfig
from mage.data.normalisers import Normaliser, to_deviations, to_limits
from mage.data.plans import GoalConfig, Layout, Padding, window_starts
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.interface import ONE, Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage
from mage.nn.average import Average
from mage.nn.diffusion import Diffusion, Guide, levels_of, own_noise
from mage.nn.temporal_unet import PlanValue, TemporalUnet, multiple_of


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

    @model_validator(mode="after")
    def _check(self) -> DiffuserConfig:
        planning, goal = self.planning, self.goal
        if planning.plans > 1 and not self.training.value.steps:
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


class Plan(NamedTuple):
    """The plans under way, one an environment, in the units of the data; made at a step of the episodes."""

    action_BHA: Tensor
    seen_BHS: Tensor
    made_at: int


# Adam at a constant rate, neither clipped nor decayed
PUBLISHED: dict[str, Any] = {
    "batch_size": 64,  # 32, the gradients of two added up
    "learning_rate": 2e-4,
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "gradient_clip": 1e9,
    "decay": "constant",
}
SMALL: dict[str, Any] = {"batch_size": 64, "learning_rate": 1e-3, "weight_decay": 0.0}
PLANNED_ONCE: dict[str, Any] = {"plans": 1, "guide_scale": 0.0, "replan_every": None, "follow": "states"}


class Diffuser(Algorithm[DiffuserConfig]):
    """Plans, remembers its plan, and acts on it."""

    config_class: ClassVar[type[AlgorithmConfig]] = DiffuserConfig
    presets: ClassVar[Presets] = {
        # ours: small, and guided in units of the returns' deviation, where one scale does for all families
        "cpu": {
            "*": {
                "plan": {"horizon": 16, "denoising_steps": 10, "multipliers": (1, 2, 4), "average_every": 1},
                "value": {"in_deviations": True},
                "planning": {"plans": 8},
                "training": {"diffusion": SMALL | {"steps": 6000}, "value": SMALL | {"steps": 3000}},
            },
            # of the U-maze; in the medium maze set plan.horizon=256, in the large one 384
            "maze2d": {
                "plan": {
                    "horizon": 128,
                    "denoising_steps": 20,
                    "multipliers": (1, 2, 2, 2),
                    # without it so short a training makes good plans, but elsewhere than between start and goal
                    "show_ends": True,
                    "normaliser": "limits",
                    "padding": "none",
                    "action_weight": 1.0,
                    "average_start": 500,
                },
                "goal": {"columns": (4, 5)},
                "planning": PLANNED_ONCE,
                "training": {"diffusion": {"steps": 1000, "batch_size": 32}, "value": {"steps": 0}},
            },
        },
        # walker2d and hopper of github.com/jannerm/diffuser; its halfcheetah has plan.horizon=4, multipliers (1, 4, 8),
        # attention, guide_scale 1e-3 and guide_stop 4. There is none for Adroit and OGBench, whose observations need
        # not show a goal.
        "paper": {
            "*": {
                "planning": {"plans": 64},
                "training": {
                    "diffusion": PUBLISHED | {"steps": 1000000},
                    "value": PUBLISHED | {"steps": 200000},
                    "checkpoint_every": 5000,
                },
            },
            # elsewhere an episode that terminates is one that succeeds
            "locomotion": {"value": {"termination_penalty": 100.0}},
            "adroit": {"value": {"in_deviations": True}},
            # Kitchen and AntMaze: github.com/CleanDiffuserTeam/CleanDiffuser, whose guide adds to what is predicted
            "kitchen": {
                "plan": {"width": 64, "padding": "last"},
                "planning": {"guide_scale": 1e-4, "temperature": 0.5},
            },
            "antmaze": {
                "plan": {"width": 64, "horizon": 64, "padding": "last"},
                "value": {"discount": 0.99},
                "planning": {"guide_scale": 1e-3, "temperature": 0.5},
            },
            # its medium maze; its U-maze has plan.horizon=128 and denoising_steps=64, its large one plan.horizon=384
            "maze2d": {
                "plan": {
                    "horizon": 256,
                    "denoising_steps": 256,
                    "multipliers": (1, 4, 8),
                    "normaliser": "limits",
                    "padding": "none",
                    "action_weight": 1.0,
                },
                "goal": {"columns": (4, 5)},
                "planning": PLANNED_ONCE,
                "training": {"diffusion": {"steps": 2000000}, "value": {"steps": 0}},
            },
        },
    }
    space: ClassVar[Space] = {
        "planning.guide_scale": {"low": 1e-3, "high": 1.0, "log": True},
        "planning.guide_stop": [0, 2, 4],
        "planning.temperature": [0.5, 1.0],
    }

    centre_D: Tensor
    scale_D: Tensor

    def __init__(self, config: DiffuserConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        plan = config.plan
        self.layout = Layout(*sizes, config.goal)
        values = self.layout.values
        self.process = Diffusion(plan.denoising_steps)
        known = (0, -1) if config.goal.columns else (0,)
        shown = known if plan.show_ends else ()
        self.denoiser = TemporalUnet(values, plan.width, plan.multipliers, plan.attention, shown)
        self.denoiser_average = self._average_of(self.denoiser)
        self.value: PlanValue | None = None
        if config.training.value.steps:
            self.value = PlanValue(plan.horizon, values, plan.width, plan.multipliers)
            self.value_average = self._average_of(self.value)
        self.register_buffer("centre_D", torch.zeros(values))
        self.register_buffer("scale_D", torch.ones(values))

    @property
    def asks(self) -> None:
        """Nothing: it plans for the most that it can."""
        return None

    def stages(self, data: Steps) -> Sequence[Stage]:
        """The denoiser, then the value, on the windows that the padding allows."""
        self.layout.check_goal(data)
        fit = to_limits if self.config.plan.normaliser == "limits" else to_deviations
        self.centre_D, self.scale_D, _ = fit(self.layout.rows(data))
        start_W = window_starts(data, self.config.plan.horizon, self.config.plan.padding)
        training = self.config.training
        stages = [
            Stage(
                "diffusion",
                training.diffusion,
                {ONE: [self.denoiser, self.denoiser_average]},
                partial(self.learn_to_denoise, data, start_W),
                tells=("first_action_error",),
                rows=len(start_W),
                shared_by=self.config.shared_key(),
                leaves=[self.denoiser_average],
                acts=self.value is None,
            )
        ]
        if self.value is not None:
            trained = {ONE: [self.value, self.value_average]}
            learn = partial(self.learn_to_judge, data, start_W)
            stages.append(Stage("value", training.value, trained, learn, tells=("unexplained",), rows=len(start_W)))
        return stages

    def learn_to_denoise(
        self, data: Steps, start_W: Tensor, windows_B: Tensor, optimise: Optimisers, random: torch.Generator
    ) -> Info:
        """A step of the denoiser, whose average follows."""
        plan_BHD = self.windows(data, start_W[windows_B])
        noisy_BHD, level_B = self._noisy(plan_BHD, random)
        clean_BHD = self.layout.clamp(self.denoiser(noisy_BHD, level_B), plan_BHD[:, 0], plan_BHD[:, -1])
        error_BHD = (clean_BHD - plan_BHD).pow(2)
        first_BA = error_BHD[:, 0, : self.sizes.action]
        loss = error_BHD.mean() + (self.config.plan.action_weight - 1) * first_BA.sum() / error_BHD.numel()
        optimise[ONE].minimise(loss)
        self.denoiser_average.follow(self.denoiser)
        return {"loss": loss, "first_action_error": first_BA.mean()}

    def learn_to_judge(
        self, data: Steps, start_W: Tensor, windows_B: Tensor, optimise: Optimisers, random: torch.Generator
    ) -> Info:
        """A step of the value, whose average follows."""
        assert self.value is not None
        rows_B = start_W[windows_B]
        noisy_BHD, level_B = self._noisy(self.windows(data, rows_B), random)
        target_B = self.returns(data, rows_B)
        loss = (self.value(noisy_BHD, level_B) - target_B).pow(2).mean()
        optimise[ONE].minimise(loss)
        self.value_average.follow(self.value)
        return {"loss": loss, "unexplained": loss / target_B.var(correction=0).clamp_min(1e-6)}

    def windows(self, data: Steps, rows_B: Tensor) -> Tensor:
        """The plans (B, H, D) that were followed from those rows on, normalised."""
        zero_O = self.see(torch.zeros_like(self.mean_Y[1:])) if self.config.plan.padding == "zeros" else None
        return self.normaliser.normalise(self.layout.windows(data, rows_B, self.config.plan.horizon, zero_O))

    def returns(self, data: Steps, rows_B: Tensor) -> Tensor:
        """What the value learns of the windows that start there, (B,)."""
        value, last_B = self.config.value, data.last_rows(rows_B)
        penalty_B = value.termination_penalty * data.is_terminal(last_B) * data.discount ** (last_B - rows_B)
        paid_B = data.conditions(rows_B)[:, 0]
        if value.in_deviations:
            return paid_B - penalty_B / self.deviation_Y[0]
        return paid_B * self.deviation_Y[0] + self.mean_Y[0] - penalty_B

    @property
    def normaliser(self) -> Normaliser:
        """Of plans, whose states are in units of the data's mean and deviation."""
        return Normaliser(self.centre_D, self.scale_D, self.config.plan.normaliser == "limits")

    @torch.no_grad()
    def act(self, state: Plan | None, seen: Seen) -> tuple[Tensor, Plan]:
        """The action of the plan, which is made anew where its time is over."""
        planning = self.config.planning
        if state is None or seen.step - state.made_at >= (planning.replan_every or float("inf")):
            state = self.plan(seen)
        age = seen.step - state.made_at
        if planning.follow == "actions":
            return state.action_BHA[:, age], state
        return self.layout.steer(state.seen_BHS, seen.observation_BS, age), state

    def plan(self, seen: Seen) -> Plan:
        """Of several plans for what is seen the one that is worth most; the first, where nothing judges them."""
        planning, guide, shape = self.config.planning, None, (self.config.plan.horizon, self.layout.values)
        first_ND, last_ND = (
            self._as_step(end_BO).repeat_interleave(planning.plans, 0)
            for end_BO in (seen.observation_BS, self.layout.goals(seen.observation_BS))
        )
        if self.value is not None:
            guide = Guide(self.value_average, planning.guide_scale, planning.guide_steps, planning.guide_stop)
        plan_NHD = self.process.sample(
            self.denoiser_average,
            partial(own_noise, seen.own_generators(), planning.plans, shape, self.device),
            lambda plan_NHD: self.layout.clamp(plan_NHD, first_ND, last_ND),
            guide,
            bounded=self.normaliser.bounded,
            temperature=planning.temperature,
        )
        if self.value is not None:
            worth_BN = self.value_average(plan_NHD, levels_of(plan_NHD, 0)).view(-1, planning.plans)
            plan_NHD = plan_NHD.unflatten(0, worth_BN.shape)[
                torch.arange(len(worth_BN), device=self.device), worth_BN.argmax(1)
            ]
        action_BHA, seen_BHS = self.normaliser.restore(plan_NHD).tensor_split([self.sizes.action], -1)
        kept = self.layout.kept
        return Plan(action_BHA, seen_BHS * self.deviation_Y[1:][kept] + self.mean_Y[1:][kept], seen.step)

    def _as_step(self, observation_BO: Tensor) -> Tensor:
        """Observations as steps of plans (B, D), whose action says nothing."""
        idle_BA = observation_BO.new_zeros(len(observation_BO), self.sizes.action)
        return self.normaliser.normalise(torch.cat([idle_BA, self.see(observation_BO)[:, self.layout.kept]], 1))

    def _noisy(self, plan_BHD: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """The plans at levels that are drawn, their ends still known, and those levels."""
        levels, device = self.config.plan.denoising_steps, random.device
        level_B = torch.randint(levels, (len(plan_BHD),), generator=random, device=device).to(self.device)
        noise_BHD = torch.randn(plan_BHD.shape, generator=random, device=device).to(self.device)
        noisy_BHD = self.process.add_noise(plan_BHD, noise_BHD, level_B)
        return self.layout.clamp(noisy_BHD, plan_BHD[:, 0], plan_BHD[:, -1]), level_B

    def _average_of(self, network: nn.Module) -> Average:
        plan = self.config.plan
        return Average(network, plan.average_rate, plan.average_start, plan.average_every)


ALGORITHM = Diffuser
