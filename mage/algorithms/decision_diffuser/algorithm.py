"""Decision Diffuser (Ajay et al., ICLR 2023, arXiv 2211.15657): states to come are denoised, as a return asks for them.

    L_diff = mean W (eps(x_t, t, y) - eps)^2       x_t with its ends written in, W = 0 there; y is dropped now and then
    L_inv  = mean (I(s_k, s_{k+1}) - a_k)^2        over pairs of the window within its episode
    L      = (L_diff + L_inv) / 2

To act, a plan is denoised from what is seen, at low temperature, with classifier-free guidance by y; the action is what
the inverse dynamics I says leads to its second state. Where a goal is shown a plan ends there, one is made an episode,
and its states are steered by, as Diffuser's are: y alone cannot say where a goal is.

Departures: states are brought to their limits where the authors map each value through its distribution function; the
inverse dynamics do not learn from padding. The 20 states of history in their paper are in no code of theirs, nor here.

Shape suffixes: B batch or environments, H horizon, S values of an observation without its goal, A action size, D = A +
S, O observation size, P pairs of neighbouring states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from mage.algorithms.decision_diffuser.config import PRESETS, SPACE, DecisionDiffuserConfig
from mage.config import AlgorithmConfig
from mage.data.normalisers import Normaliser, to_deviations, to_limits
from mage.data.plans import Layout, window_starts
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.interface import ONE, Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage
from mage.nn.average import Average
from mage.nn.blocks import MLP
from mage.nn.diffusion import Diffusion, own_noise
from mage.nn.guidance import GuidedUnet, guided


class Plan(NamedTuple):
    """The states to come (B, H, S), normalised, and the step of the episodes that planned them."""

    seen_BHS: Tensor
    made_at: int


class DecisionDiffuser(Algorithm[DecisionDiffuserConfig]):
    """Plans states that bring the return it is asked for, and takes the action that leads to the next of them."""

    config_class: ClassVar[type[AlgorithmConfig]] = DecisionDiffuserConfig
    presets: ClassVar[Presets] = PRESETS
    space: ClassVar[Space] = SPACE

    centre_S: Tensor
    scale_S: Tensor
    return_scale: Tensor

    def __init__(self, config: DecisionDiffuserConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        states, inverse = config.states, config.inverse
        self.layout = Layout(*sizes, config.goal)
        seen = len(self.layout.kept)
        self.process = Diffusion(states.denoising_steps)
        known = (0, -1) if config.goal.columns else (0,)
        shown = known if states.show_ends else ()
        self.denoiser = GuidedUnet(seen, states.width, states.multipliers, shown)
        self.inverse_dynamics = MLP(2 * seen, inverse.hidden_dim, inverse.hidden_layers, sizes.action)
        average = partial(Average, rate=states.average_rate, start=states.average_start, every=states.average_every)
        self.denoiser_average = average(self.denoiser)
        self.inverse_average = average(self.inverse_dynamics)
        self.register_buffer("centre_S", torch.zeros(seen))
        self.register_buffer("scale_S", torch.ones(seen))
        self.register_buffer("return_scale", torch.ones(()))

    @property
    def asks(self) -> Literal["return"] | None:
        """A return, unless its configuration says which."""
        return "return" if self.config.deciding.target is None else None

    def stages(self, data: Steps) -> Sequence[Stage]:
        """All networks, on the windows that the padding allows."""
        self.layout.check_goal(data)
        states = self.config.states
        fit = to_limits if states.normaliser == "limits" else to_deviations
        self.centre_S, self.scale_S, _ = fit(part[:, self.sizes.action :] for part in self.layout.rows(data))
        start_W = window_starts(data, states.horizon, states.padding)
        self.return_scale.fill_(self.config.returns.scale or 1.0)
        if self.config.returns.scale is None:
            self.return_scale.fill_(self.conditions(data, start_W).max().clamp_min(1e-6))

        return [
            Stage(
                "diffusion",
                self.config.training.diffusion,
                {ONE: [self.denoiser, self.inverse_dynamics, self.denoiser_average, self.inverse_average]},
                partial(self.learn, data, start_W),
                tells=("denoising_error", "inverse_dynamics_error"),
                rows=len(start_W),
            )
        ]

    def learn(
        self, data: Steps, start_W: Tensor, windows_B: Tensor, optimise: Optimisers, random: torch.Generator
    ) -> Info:
        """A step of all networks, whose averages follow."""
        rows_B = start_W[windows_B]
        noise_error, inverse_error = self.denoising_loss(data, rows_B, random), self.inverse_loss(data, rows_B)
        loss = (noise_error + inverse_error) / 2
        optimise[ONE].minimise(loss)
        self.denoiser_average.follow(self.denoiser)
        self.inverse_average.follow(self.inverse_dynamics)
        return {"loss": loss, "denoising_error": noise_error, "inverse_dynamics_error": inverse_error}

    def denoising_loss(self, data: Steps, rows_B: Tensor, random: torch.Generator) -> Tensor:
        """Of the noise in the states that followed those rows, or of these, but for the ends that are known."""
        states, device = self.config.states, random.device
        seen_BHS, condition_B = self.windows(data, rows_B), self.conditions(data, rows_B)
        level_B = torch.randint(states.denoising_steps, (len(rows_B),), generator=random, device=device)
        noise_BHS = torch.randn(seen_BHS.shape, generator=random, device=device)
        told_B = (torch.rand(len(rows_B), generator=random, device=device) >= states.dropout).float()
        level_B, noise_BHS, told_B = (drawn.to(self.device) for drawn in (level_B, noise_BHS, told_B))
        noisy_BHS = self.clamp(self.process.add_noise(seen_BHS, noise_BHS, level_B), seen_BHS[:, 0], seen_BHS[:, -1])
        target_BHS = noise_BHS if states.predicts == "noise" else seen_BHS
        error_BHS = (self.denoiser(noisy_BHS, level_B, condition_B, told_B) - target_BHS).pow(2)
        weight_H = torch.ones(states.horizon, device=self.device)
        weight_H[1] = states.next_weight
        weight_H[[0, -1] if self.config.goal.columns else [0]] = 0.0
        return (error_BHS * weight_H.view(1, -1, 1)).mean()

    def inverse_loss(self, data: Steps, rows_B: Tensor) -> Tensor:
        """Of the actions between the states that followed those rows, within their episodes."""
        rows_BH, mask_BH = data.window_rows(rows_B, self.config.states.horizon)
        seen_BHS = self._normalised(data.observations(rows_BH)[..., self.layout.kept])
        action_BHA, is_pair_BP = data.actions(rows_BH), mask_BH[:, 1:]
        pair_BPS = torch.cat([seen_BHS[:, :-1], seen_BHS[:, 1:]], -1)
        error_BP = (self.inverse_dynamics(pair_BPS) - action_BHA[:, :-1]).pow(2).mean(-1)
        return (error_BP * is_pair_BP).sum() / is_pair_BP.sum().clamp_min(1)

    def windows(self, data: Steps, rows_B: Tensor) -> Tensor:
        """The states (B, H, S) that followed those rows, normalised."""
        states = self.config.states
        zero_O = self.see(torch.zeros_like(self.mean_Y[1:])) if states.padding == "zeros" else None
        return self._normalised(self.layout.windows(data, rows_B, states.horizon, zero_O)[..., self.sizes.action :])

    def conditions(self, data: Steps, rows_B: Tensor) -> Tensor:
        """y of the windows that start there, (B,)."""
        own, last_B = self.config.returns, data.last_rows(rows_B)
        left_B = last_B - rows_B
        penalty_B = own.termination_penalty * data.is_terminal(last_B) * data.discount**left_B
        steps_B = left_B + 1.0 if data.discount == 1 else (1 - data.discount ** (left_B + 1.0)) / (1 - data.discount)
        paid_B = data.conditions(rows_B)[:, 0] * self.deviation_Y[0] + self.mean_Y[0]
        return (paid_B + own.reward_shift * steps_B - penalty_B) / self.return_scale + own.offset

    @torch.no_grad()
    def act(self, state: Plan | None, seen: Seen) -> tuple[Tensor, Plan]:
        """What leads to the next state of the plan, which is made anew where its time is over."""
        deciding = self.config.deciding
        if state is None or seen.step - state.made_at >= (deciding.replan_every or float("inf")):
            state = self.plan(seen)
        age = seen.step - state.made_at
        if deciding.follow == "states":
            return self.layout.steer(self._raw(state.seen_BHS), seen.observation_BS, age), state
        next_BS = state.seen_BHS[:, min(age + 1, self.config.states.horizon - 1)]
        return self.inverse_average(torch.cat([self._states(seen.observation_BS), next_BS], -1)), state

    def plan(self, seen: Seen) -> Plan:
        """States from what is seen on, as what is asked for would have them."""
        deciding, returns = self.config.deciding, self.config.returns
        first_BS, last_BS = (
            self._states(end_BO) for end_BO in (seen.observation_BS, self.layout.goals(seen.observation_BS))
        )
        asked_B = seen.asked_B / self.return_scale + returns.offset
        if deciding.target is not None:
            asked_B = torch.full_like(asked_B, deciding.target)

        def clean(noisy_BHS: Tensor, level_B: Tensor) -> Tensor:
            said_BHS = guided(self.denoiser_average, noisy_BHS, level_B, asked_B, deciding.guidance)
            is_noise = self.config.states.predicts == "noise"
            return self.process.clean(noisy_BHS, said_BHS, level_B) if is_noise else said_BHS

        shape = (self.config.states.horizon, len(self.layout.kept))
        seen_BHS = self.process.sample(
            clean,
            partial(own_noise, seen.own_generators(), 1, shape, self.device),
            lambda plan_BHS: self.clamp(plan_BHS, first_BS, last_BS),
            bounded=self._normaliser.bounded,
            temperature=deciding.temperature,
            step_temperature=deciding.temperature,
        )
        return Plan(seen_BHS, seen.step)

    @torch.no_grad()
    def plans(self, observation_BS: Tensor, asked_B: Tensor) -> Mapping[str, Tensor]:
        """The plan that an episode would begin with."""
        planned = self.plan(Seen.at_start(observation_BS, asked_B, self.sizes.action))
        return {"plan": self.layout.shown(self._raw(planned.seen_BHS), observation_BS)}

    def clamp(self, plan_BHS: Tensor, first_BS: Tensor, last_BS: Tensor) -> Tensor:
        """Writes into plans, in place, the states that they begin with and, where there is a goal, end in."""
        plan_BHS[:, 0] = first_BS
        if self.config.goal.columns:
            plan_BHS[:, -1] = last_BS
        return plan_BHS

    def _states(self, observation_BO: Tensor) -> Tensor:
        """Observations without their goal, normalised, (B, S)."""
        return self._normalised(self.see(observation_BO)[:, self.layout.kept])

    def _raw(self, seen_BHS: Tensor) -> Tensor:
        """Normalised states in the units of the environment."""
        kept = self.layout.kept
        return self._normaliser.restore(seen_BHS) * self.deviation_Y[1:][kept] + self.mean_Y[1:][kept]

    def _normalised(self, seen: Tensor) -> Tensor:
        return self._normaliser.normalise(seen)

    @property
    def _normaliser(self) -> Normaliser:
        """Of states, which are in the data's mean and deviation before."""
        return Normaliser(self.centre_S, self.scale_S, self.config.states.normaliser == "limits")
