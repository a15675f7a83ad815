"""HIQL: hierarchical implicit Q-learning (Park, Ghosh, Eysenbach, Levine, NeurIPS 2023, arXiv 2307.11949).

A value of states and goals is learned without actions; from it a high policy, which proposes the representation phi of
the state k steps ahead, and a low one, which goes there. With n = s_{t+1}, r = -1 and m = 1 but at the goal, where both
are 0, V'_j targets, q_j = r + gamma m V'_j(n, g) and adv = r + gamma m min_j V'_j(n, g) - mean_j V'_j(s, g):

    L_V    = sum_j |tau - 1(adv < 0)| (q_j - V_j(s, g))^2
    L_low  = -min(exp(beta_low (V(n, w) - V(s, w))), 100) log pi_low(a | s, phi(s, w)),    w = s_{t+k}
    L_high = -min(exp(beta_high (V(u, g) - V(s, g))), 100) log pi_high(phi(s, u) | s, g),  u = s_{min(t+k, where g is)}

V is the mean of V_1 and V_2, heads on s and phi(s, g). phi is one network, trained by L_V alone; only the heads have
targets, which follow the heads of before the step. All is trained at once, and the paper's equation 4 is not what its
authors train: their code is (github.com/seohongpark/ogbench, impls/agents/hiql.py; for D4RL's data
github.com/seohongpark/HIQL). Both policies act by their means; the sub-goal is renewed at every step.

Departures: Kitchen's state here has its velocities, too, and D4RL's AntMaze the episodes of its recordings.

Shape suffixes: B batch, O observation size, S of it the state (all but the goal's columns), A action size, Z size of a
representation; 2 the two heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mage.algorithms.hiql.config import PRESETS, SPACE, HiqlConfig, HiqlNetworkConfig
from mage.config import AlgorithmConfig
from mage.data.goals import GoalBatch, GoalSampler, GoalView, check_goal, goal_like
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.errors import MageError
from mage.interface import ONE, Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage
from mage.nn.average import Average
from mage.nn.critics import advantage_weight
from mage.nn.goal_values import GoalValues, goal_value_loss
from mage.nn.mlp import Gaussian, tanh_gelu, xavier_mlp

LAST_SCALE = 1e-2


class Losses(NamedTuple):
    """Of the value and of both policies, and what is told beside them."""

    value: Tensor
    low: Tensor
    high: Tensor
    value_mean: Tensor
    low_weight: Tensor
    high_weight: Tensor


class Representation(nn.Module):
    """phi(s, g), of length sqrt(Z)."""

    def __init__(self, state: int, own: HiqlNetworkConfig) -> None:
        super().__init__()
        self.mlp = xavier_mlp(2 * state, own.hidden_dim, own.hidden_layers, own.representation_dim, norm=True)

    def forward(self, state_BS: Tensor, goal_BS: Tensor) -> Tensor:
        """(B, S), (B, S) -> (B, Z)."""
        return of_one_length(self.mlp(torch.cat([state_BS, goal_BS], -1)))


def of_one_length(raw_BZ: Tensor) -> Tensor:
    """The same directions, of length sqrt(Z)."""
    return raw_BZ * (math.sqrt(raw_BZ.shape[-1]) * (raw_BZ.pow(2).sum(-1, keepdim=True) + 1e-8).rsqrt())


class Hiql(Algorithm[Any]):
    """Goes to a goal by way of sub-goals."""

    config_class: ClassVar[type[AlgorithmConfig]] = HiqlConfig
    presets: ClassVar[Presets] = PRESETS
    space: ClassVar[Space] = SPACE

    elsewhere_O: Tensor

    def __init__(self, config: HiqlConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        own = self.own = config.hiql
        if own.goal == "shown" and not config.goal.columns:
            raise MageError(
                "hiql goes to goals, and goal.columns names none in the observation; set it to the goal's columns, "
                "or train another algorithm where there is no goal, as in Adroit and locomotion"
            )
        self.view = GoalView(sizes.observation, config.goal)
        state = len(self.view.kept)
        self.phi = Representation(state, own)
        self.value = GoalValues(state, own.representation_dim, own.hidden_dim, own.hidden_layers)
        self.target = Average(self.value, own.target_rate)
        self.high = self._policy(2 * state, own.representation_dim)
        self.low = self._policy(state + own.representation_dim, sizes.action)
        self.register_buffer("elsewhere_O", torch.zeros(sizes.observation))

    @property
    def asks(self) -> None:
        """No return: it goes to the goal."""
        return None

    def stages(self, data: Steps) -> Sequence[Stage]:
        """One: value and policies, on the steps of walks that lead to another."""
        check_goal(data, self.config.goal.columns)
        self.elsewhere_O = goal_like(data, self.own.goal, "hiql.goal")
        goals = GoalSampler(data)
        return [
            Stage(
                "hierarchy",
                self.config.training.hierarchy,
                {ONE: [self.phi, self.value, self.high, self.low]},
                partial(self.learn, goals),
                partial(self.diagnose, goals),
                tells=("value", "action_error"),
                rows=len(goals.starts),
            )
        ]

    def learn(self, goals: GoalSampler, numbers_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
        """One step of everything; the targets follow the heads of before it, as in both implementations."""
        losses = self.losses(self.draw(goals, numbers_B, random))
        self.target.follow(self.value)
        total = losses.value + losses.low + losses.high
        optimise[ONE].minimise(total)
        return {
            "loss": total,
            "value_loss": losses.value,
            "low_loss": losses.low,
            "high_loss": losses.high,
            "value": losses.value_mean,
            "low_weight": losses.low_weight,
            "high_weight": losses.high_weight,
        }

    def draw(self, goals: GoalSampler, numbers_B: Tensor, random: torch.Generator) -> GoalBatch:
        """Steps by their numbers, with goals that are drawn for them."""
        own = self.own
        return goals.batch(numbers_B, self.view, own.goals, own.discount, own.any_goals, own.subgoal_steps, random)

    def losses(self, batch: GoalBatch) -> Losses:
        """All three, each with a gradient in its own networks alone; the representation's is the value's."""
        own = self.own
        goal_BZ = self.phi(batch.state_BS, batch.goal_BS)
        value_2B = self.value(batch.state_BS, goal_BZ)
        with torch.no_grad():
            next_2B = self.target(batch.next_BS, self.phi(batch.next_BS, batch.goal_BS))
            now_2B = self.target(batch.state_BS, goal_BZ)
            waypoint_BZ = self.phi(batch.state_BS, batch.waypoint_BS)
            target_BZ = self.phi(batch.state_BS, batch.target_BS)
        low_B = self._weight(batch.next_BS, batch.state_BS, batch.waypoint_BS, own.beta_low)
        high_B = self._weight(batch.target_BS, batch.state_BS, batch.far_goal_BS, own.beta_high)
        low_input_B, high_input_B = (
            torch.cat([batch.state_BS, towards], -1) for towards in (waypoint_BZ, batch.far_goal_BS)
        )
        return Losses(
            value=goal_value_loss(value_2B, now_2B, next_2B, batch.goes_on_B, own.discount, own.expectile),
            low=-(low_B * self.low.log_density(low_input_B, batch.action_BA)).mean(),
            high=-(high_B * self.high.log_density(high_input_B, target_BZ)).mean(),
            value_mean=value_2B.mean(),
            low_weight=low_B.mean(),
            high_weight=high_B.mean(),
        )

    def worth(self, state_BS: Tensor, goal_BS: Tensor) -> Tensor:
        """V(s, g), the mean of both heads, (B,)."""
        worth_B: Tensor = self.value(state_BS, self.phi(state_BS, goal_BS)).mean(0)
        return worth_B

    @torch.no_grad()
    def diagnose(self, goals: GoalSampler, numbers_B: Tensor) -> Info:
        """How far the low policy is from the data's actions when it is given where they led."""
        rows_B = goals.starts[numbers_B]
        state_BS = self._states(goals.data, rows_B)
        waypoint_BS = self._states(goals.data, goals.ahead(rows_B, self.own.subgoal_steps))
        action_BA = self.low(torch.cat([state_BS, self.phi(state_BS, waypoint_BS)], -1))
        return {"action_error": (action_BA - goals.data.actions(rows_B)).pow(2).mean()}

    @torch.no_grad()
    def act(self, state: None, seen: Seen) -> tuple[Tensor, None]:
        """The mean action towards the mean sub-goal."""
        state_BS = self.view.state(seen.observation_BS)
        goal_BS = self.view.goal(seen.observation_BS, self.elsewhere_O)
        subgoal_BZ = of_one_length(self.high(torch.cat([state_BS, goal_BS], -1)))
        return self.low(torch.cat([state_BS, subgoal_BZ], -1)), None

    @torch.no_grad()
    def _weight(self, then_BS: Tensor, now_BS: Tensor, goal_BS: Tensor, beta: float) -> Tensor:
        """Of what led from one state to another, (B,)."""
        return advantage_weight(
            self.worth(then_BS, goal_BS) - self.worth(now_BS, goal_BS), beta, self.own.largest_weight
        )

    def _states(self, data: Steps, rows_B: Tensor) -> Tensor:
        return self.view.state(data.recorded_observations(rows_B))

    def _policy(self, inputs: int, outputs: int) -> Gaussian:
        own = self.own
        activation = tanh_gelu if own.policy_activation == "gelu" else nn.ReLU
        mean = xavier_mlp(inputs, own.policy_dim, own.policy_layers, outputs, activation, last_scale=LAST_SCALE)
        return Gaussian(mean, outputs, own.learned_std)
