"""Hierarchical Diffuser (Chen et al., ICLR 2024, arXiv 2401.02644): two Diffusers, one of sub-goals, one of the way.

The high one denoises every K-th step of windows of M K steps, with (`high.actions`) or without the K actions that
follow each; the low one the K + 1 steps from one sub-goal to the next. Both are trained apart, on the same data. To act
the high one goes first, from what is seen (to the goal, where one is shown), and the low one between its states:

    mazes        once an episode, all M - 1 segments at once, joined to a plan of (M - 1) K + 1 states that is followed
    elsewhere    anew at every step, only to the first sub-goal; of several plans of each level the best is kept

Each level has a value of its own, where it has one, which is of the rest of the episode and guides its denoising.

Departures: the time axis of the U-Nets is padded to a multiple of what they need, for which the authors changed kernels
from maze to maze (those of the large ones do not come back to the length they began with). The best plan is told by
the value of the finished plans, theirs by the last guide's. A maze's plan is steered by as Diffuser does, at step k to
its state k + 1; theirs aims at state k. AntMaze, which they never released, is another group's version
(github.com/leekwoon/lomap): its guide adds to what is predicted, ours to what is denoised, and its inverse dynamics
have dropout and end in a tanh, ours have neither.

Shape suffixes: B batch or environments, M sub-goals, G = M - 1 segments, H steps of a window, K steps of a segment, D
values of a step, S values of an observation without its goal, A action size, O observation size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from mage.algorithms.hierarchical_diffuser.config import HierarchicalDiffuserConfig
from mage.algorithms.hierarchical_diffuser.level import Level
from mage.algorithms.hierarchical_diffuser.presets import PRESETS, SPACE
from mage.algorithms.hierarchical_diffuser.returns import Returns
from mage.config import AlgorithmConfig
from mage.data.normalisers import Normaliser, to_deviations, to_limits
from mage.data.plans import Layout, window_starts
from mage.data.steps import Steps
from mage.data.subgoals import Known, joined, jumps
from mage.data.trajectories import Statistics
from mage.interface import ONE, Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage, minimise
from mage.nn.blocks import MLP

Windows = Callable[[Steps, Tensor], Tensor]
"""(data, rows (B,)) -> the plans of a level that were followed from there, normalised."""


class Plan(NamedTuple):
    """The plans under way, normalised, one an environment (B, H, D), and the step of the episodes that made them."""

    plan_BHD: Tensor
    made_at: int


class HierarchicalDiffuser(Algorithm[Any]):
    """Plans where to be, then how to get there, remembers its plan, and acts on it."""

    config_class: ClassVar[type[AlgorithmConfig]] = HierarchicalDiffuserConfig
    presets: ClassVar[Presets] = PRESETS
    space: ClassVar[Space] = SPACE

    centre_D: Tensor
    scale_D: Tensor

    def __init__(self, config: HierarchicalDiffuserConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        self.layout = Layout(*sizes, config.goal)
        seen, action = len(self.layout.kept), sizes.action
        known = (*config.goal.position, *config.goal.velocity) if config.goal.columns else ()
        self.goal_columns = [self.layout.kept.index(column) for column in known]
        self.high, self.low = self._levels(seen)
        self.inverse_dynamics: MLP | None = None
        if config.training.inverse_dynamics.steps:
            own = config.inverse_dynamics
            self.inverse_dynamics = MLP(2 * seen, own.hidden_dim, own.hidden_layers, action)
        self.register_buffer("centre_D", torch.zeros(self.layout.values))
        self.register_buffer("scale_D", torch.ones(self.layout.values))

    def _levels(self, seen: int) -> tuple[Any, Any]:
        """The high and the low one, of states of so many values."""
        config, action = self.config, self.sizes.action
        shared, training = config.hierarchy, config.training
        high_actions, low_actions = config.high.actions * shared.interval * action, config.low.actions * action
        judged = [bool(stage.steps) for stage in (training.high_value, training.low_value)]
        high = Level(shared.subgoals, high_actions, high_actions + seen, config.high, shared, judged[0])
        return high, Level(shared.interval + 1, low_actions, low_actions + seen, config.low, shared, judged[1])

    @property
    def asks(self) -> None:
        """Nothing: it plans for the most that it can."""
        return None

    def stages(self, data: Steps) -> Sequence[Stage]:
        """The denoisers, their values, the inverse dynamics; the windows of each level are its own."""
        self._measure(data)
        shared = self.config.hierarchy
        high = self.high, self.high_windows, window_starts(data, shared.interval * shared.subgoals, shared.padding)
        low = self.low, self.low_windows, window_starts(data, shared.interval + 1, shared.padding)
        made = {
            "high": partial(self._denoising, data, *high, shared_by=self.config.shared_key()),
            "low": partial(self._denoising, data, *low),
            "high_value": partial(self._judging, data, *high),
            "low_value": partial(self._judging, data, *low),
            "inverse_dynamics": partial(self._inverting, data),
        }
        names = self.config.stages
        return [made[name](name, acts=name == names[-1]) for name in names]

    def _measure(self, data: Steps) -> None:
        """Takes the scale of plans from the data, whose goal does not move."""
        self.layout.check_goal(data)
        fit = to_limits if self.config.hierarchy.normaliser == "limits" else to_deviations
        self.centre_D, self.scale_D, _ = fit(self.layout.rows(data))

    def _denoising(
        self, data: Steps, level: Level, windows: Windows, start_W: Tensor, name: str, **options: Any
    ) -> Stage:
        def step(windows_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
            plan_BHD = windows(data, start_W[windows_B])
            loss, info = level.denoising_loss(plan_BHD, self.known(level, plan_BHD), random)
            optimise[ONE].minimise(loss)
            level.denoiser_average.follow(level.denoiser)
            return info

        trained = [level.denoiser, level.denoiser_average]
        return self._stage(name, trained, step, "first_error", start_W, leaves=[level.denoiser_average], **options)

    def _judging(self, data: Steps, level: Level, windows: Windows, start_W: Tensor, name: str, acts: bool) -> Stage:
        assert level.value is not None
        value = level.value
        returns = Returns(data, self.config.values, self.mean_Y[0], self.deviation_Y[0])

        def step(windows_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
            rows_B = start_W[windows_B]
            plan_BHD = windows(data, rows_B)
            known = self.known(level, plan_BHD)
            loss, info = level.judging_loss(plan_BHD, known, returns(rows_B), random)
            optimise[ONE].minimise(loss)
            level.value_average.follow(value)
            return info

        return self._stage(name, [value, level.value_average], step, "unexplained", start_W, acts=acts)

    def _inverting(self, data: Steps, name: str, acts: bool) -> Stage:
        rows = torch.arange(len(data), device=data.device)
        start_W = rows[rows < data.last_rows(rows)]

        def loss(pairs_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
            pair_B2S, action_BA = self._pairs(data, start_W[pairs_B])
            loss = (self.invert(pair_B2S[:, 0], pair_B2S[:, 1]) - action_BA).pow(2).mean()
            return loss, {"loss": loss}

        return self._stage(name, [self.inverse_dynamics], minimise(loss), None, start_W, acts=acts)

    def _stage(
        self, name: str, trained: list[Any], step: Any, tells: str | None, start_W: Tensor, **options: Any
    ) -> Stage:
        config = getattr(self.config.training, name)
        return Stage(name, config, {ONE: trained}, step, tells=(tells,) if tells else (), rows=len(start_W), **options)

    def known(self, level: Level, plan_BHD: Tensor) -> Known:
        """What is known of plans of the data while a level learns: their start, and their end where it will be."""
        seen_BHS = plan_BHD[..., level.actions :]
        if level is self.high:
            columns: Sequence[int] = self.goal_columns
        else:
            columns = range(seen_BHS.shape[-1]) if self.config.low.end_in_training else ()
        return Known(seen_BHS[:, 0], seen_BHS[:, -1], columns)

    def high_windows(self, data: Steps, rows_B: Tensor) -> Tensor:
        """(B, M, D) of the high level, normalised."""
        shared = self.config.hierarchy
        window_BHD = self._windows(data, rows_B, shared.interval * shared.subgoals)
        return jumps(window_BHD, self.sizes.action, shared.interval, self.config.high.actions)

    def low_windows(self, data: Steps, rows_B: Tensor) -> Tensor:
        """(B, K + 1, D) of the low level, normalised."""
        window_BHD = self._windows(data, rows_B, self.config.hierarchy.interval + 1)
        return window_BHD if self.config.low.actions else window_BHD[..., self.sizes.action :]

    def invert(self, state_BS: Tensor, next_BS: Tensor) -> Tensor:
        """The action (B, A) between states, all of it normalised."""
        assert self.inverse_dynamics is not None
        action_BA: Tensor = self.inverse_dynamics(torch.cat([state_BS, next_BS], -1))
        return action_BA

    @torch.no_grad()
    def act(self, state: Plan | None, seen: Seen) -> tuple[Tensor, Plan]:
        """The action that the plan has now, which is made anew where its time is over."""
        acting = self.config.acting
        if state is None or seen.step - state.made_at >= (acting.replan_every or float("inf")):
            state = self.plan(seen)
        age = seen.step - state.made_at
        action_BHA, seen_BHS = state.plan_BHD.tensor_split([self.low.actions], -1)
        if acting.follow == "actions":
            return self._of_actions.restore(action_BHA[:, age]), state
        if acting.follow == "states":
            return self.layout.steer(self._raw(seen_BHS), seen.observation_BS, age, acting.lateness), state
        next_BS = seen_BHS[:, min(age + 1, seen_BHS.shape[1] - 1)]
        return self._of_actions.restore(self.invert(self._states(seen.observation_BS), next_BS)), state

    def plan(self, seen: Seen) -> Plan:
        """From what is seen: by way of all sub-goals where one plan is made an episode, else to the first."""
        subgoal_BMS = self.subgoals(seen)
        return self.plan_between(subgoal_BMS[:, :2] if self.config.acting.replan_every else subgoal_BMS, seen)

    def subgoals(self, seen: Seen) -> Tensor:
        """Where to be, a jump after the other, from what is seen on; (B, M, S), normalised."""
        start_BS, goal_BS = (
            self._states(end_BO) for end_BO in (seen.observation_BS, self.layout.goals(seen.observation_BS))
        )
        known = Known(start_BS, goal_BS, self.goal_columns)
        return self.high.best(seen.own_generators(), known, self.config.acting)[..., self.high.actions :]

    def plan_between(self, subgoal_BMS: Tensor, seen: Seen) -> Plan:
        """How to get from each of these to the next, as one plan."""
        segment_ZKD = self.low.best(seen.own_generators(), Known.between(subgoal_BMS), self.config.acting)
        return Plan(joined(segment_ZKD.unflatten(0, (len(subgoal_BMS), -1))), seen.step)

    @torch.no_grad()
    def plans(self, observation_BS: Tensor, asked_B: Tensor) -> Mapping[str, Tensor]:
        """The sub-goals that an episode would begin with, and how to get to all of them."""
        seen = Seen.at_start(observation_BS, asked_B, self.sizes.action)
        subgoal_BMS = self.subgoals(seen)
        joined_BHS = self.plan_between(subgoal_BMS, seen).plan_BHD[..., self.low.actions :]
        views = {"sub-goals": subgoal_BMS, "plan": joined_BHS}
        return {name: self.layout.shown(self._raw(seen_BHS), observation_BS) for name, seen_BHS in views.items()}

    def _windows(self, data: Steps, rows_B: Tensor, horizon: int) -> Tensor:
        """(B, H, A + S), normalised."""
        zero_O = self.see(torch.zeros_like(self.mean_Y[1:])) if self.config.hierarchy.padding == "zeros" else None
        window_BHD = self.layout.windows(data, rows_B, horizon, zero_O)
        return self._normaliser().normalise(window_BHD)

    def _pairs(self, data: Steps, rows_B: Tensor) -> tuple[Tensor, Tensor]:
        """Neighbouring states (B, 2, S) and the action (B, A) between them, normalised."""
        action_BHA, seen_BHS = self._windows(data, rows_B, 2).tensor_split([self.sizes.action], -1)
        return seen_BHS, action_BHA[:, 0]

    def _states(self, observation_BO: Tensor) -> Tensor:
        """Observations without their goal, normalised, (B, S)."""
        return self._of_seen.normalise(self.see(observation_BO)[:, self.layout.kept])

    def _raw(self, seen_BHS: Tensor) -> Tensor:
        """Normalised states in the units of the environment."""
        kept = self.layout.kept
        return self._of_seen.restore(seen_BHS) * self.deviation_Y[1:][kept] + self.mean_Y[1:][kept]

    @property
    def _of_actions(self) -> Normaliser:
        return self._normaliser(slice(self.sizes.action))

    @property
    def _of_seen(self) -> Normaliser:
        return self._normaliser(slice(self.sizes.action, None))

    def _normaliser(self, values: slice = slice(None)) -> Normaliser:
        """Of some of the values of a step of the data; states are in the data's mean and deviation before."""
        return Normaliser(self.centre_D[values], self.scale_D[values], self.config.hierarchy.normaliser == "limits")
