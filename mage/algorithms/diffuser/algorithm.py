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

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mage.algorithms.diffuser.config import DiffuserConfig
from mage.algorithms.diffuser.presets import PRESETS, SPACE
from mage.config import AlgorithmConfig
from mage.data.normalisers import Normaliser, to_deviations, to_limits
from mage.data.plans import Layout, window_starts
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.interface import ONE, Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage
from mage.nn.average import Average
from mage.nn.diffusion import Diffusion, Guide, Judge, levels_of, own_noise
from mage.nn.temporal_unet import PlanValue, TemporalUnet


class Plan(NamedTuple):
    """The plans under way, one an environment, in the units of the data; made at a step of the episodes."""

    action_BHA: Tensor
    seen_BHS: Tensor
    made_at: int


class Diffuser(Algorithm[DiffuserConfig]):
    """Plans, remembers its plan, and acts on it."""

    config_class: ClassVar[type[AlgorithmConfig]] = DiffuserConfig
    presets: ClassVar[Presets] = PRESETS
    space: ClassVar[Space] = SPACE

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
        planning, shape = self.config.planning, (self.config.plan.horizon, self.layout.values)
        first_ND, last_ND = (
            self._as_step(end_BO).repeat_interleave(planning.plans, 0)
            for end_BO in (seen.observation_BS, self.layout.goals(seen.observation_BS))
        )
        noise = partial(own_noise, seen.own_generators(), planning.plans, shape, self.device)
        plan_NHD = self.denoise(noise, first_ND, last_ND, self.guide, temperature=planning.temperature)
        plan_BHD = plan_NHD if planning.plans == 1 else best_of(plan_NHD, planning.plans, self.worth)
        action_BHA, seen_BHS = self.normaliser.restore(plan_BHD).tensor_split([self.sizes.action], -1)
        kept = self.layout.kept
        return Plan(action_BHA, seen_BHS * self.deviation_Y[1:][kept] + self.mean_Y[1:][kept], seen.step)

    @torch.no_grad()
    def plans(self, observation_BS: Tensor, asked_B: Tensor) -> Mapping[str, Tensor]:
        """The plan that an episode would begin with."""
        planned = self.plan(Seen.at_start(observation_BS, asked_B, self.sizes.action))
        return {"plan": self.layout.shown(planned.seen_BHS, observation_BS)}

    @property
    def guide(self) -> Guide | None:
        """What plans are pushed by while they are denoised."""
        planning = self.config.planning
        if self.value is None:
            return None
        return Guide(self.worth, planning.guide_scale, planning.guide_steps, planning.guide_stop)

    def worth(self, plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        """What plans of those levels of noise are worth, (N,)."""
        worth_N: Tensor = self.value_average(plan_NHD, level_N)
        return worth_N

    def denoise(
        self, noise: Callable[[], Tensor], first_ND: Tensor, last_ND: Tensor, guide: Guide | None, **chain: Any
    ) -> Tensor:
        """Plans (N, H, D) that begin and, where there is a goal, end there; `chain` is for `Diffusion.sample`."""
        return self.process.sample(
            self.denoiser_average,
            noise,
            lambda plan_NHD: self.layout.clamp(plan_NHD, first_ND, last_ND),
            guide,
            bounded=self.normaliser.bounded,
            **chain,
        )

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


def best_of(plan_NHD: Tensor, each: int, worth: Judge) -> Tensor:
    """Of each so many plans the one that is worth most when it is finished, (N / each, H, D)."""
    worth_BN = worth(plan_NHD, levels_of(plan_NHD, 0)).view(-1, each)
    places = torch.arange(len(worth_BN), device=plan_NHD.device)
    return plan_NHD.unflatten(0, worth_BN.shape)[places, worth_BN.argmax(1)]
