"""The upper level of G-ADT: sub-goals as displacements of the state, from HIQL's high policy (arXiv 2307.11949).

A value V of states and goals is learned without actions (`mage.nn.goal_values`); beside it a Gaussian policy of how far
the state is to move in W steps, with u the state W ahead, or the goal where that comes sooner:

    L_high = -min(exp(beta_high (V(u, g) - V(s, g))), 100) log pi_high(u - s | s, g)

V is the mean of two heads on (s, g), as recorded: neither is normalised nor represented. A goal is a whole state: where
only its place is shown it is the data's first one, moved there. HIQL's low policy is left out: G-ADT has no use for it.

Shape suffixes: B batch, H steps of context, O observation size, S of it the state (all but the goal's columns).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mage.algorithms.adt.config import AdtConfig
from mage.data.goals import GoalBatch, GoalSampler, GoalView, check_goal, goal_like
from mage.data.steps import Steps
from mage.errors import MageError
from mage.interface import ONE, Info, Optimisers
from mage.nn.average import Average
from mage.nn.critics import advantage_weight
from mage.nn.goal_values import GoalValues, goal_value_loss
from mage.nn.mlp import Gaussian, xavier_mlp

LAST_SCALE = 1e-2


class Prompts(NamedTuple):
    """Of windows: prompts with what is seen (B, H, 2 S), the weights of the actions and which of them count, (B, H)."""

    condition_BHY: Tensor
    weight_BH: Tensor
    mask_BH: Tensor


class Subgoals(nn.Module):
    """V(s, g), and the displacements that lead to g."""

    elsewhere_O: Tensor

    def __init__(self, config: AdtConfig, observation: int) -> None:
        super().__init__()
        own, values = self.own, self.values = config.subgoals, config.values
        if own.goal == "shown" and not config.goal.columns:
            raise MageError(
                "adt.prompt=subgoal goes to goals, and goal.columns names none in the observation; set it to the "
                "goal's columns, or leave adt.prompt=value where there is no goal, as in Adroit and locomotion"
            )
        self.columns, self.view = config.goal.columns, GoalView(observation, config.goal)
        state = len(self.view.kept)
        self.value = GoalValues(state, state, values.hidden_dim, values.hidden_layers, nn.ReLU)
        self.target = Average(self.value, values.target_rate)
        mean = xavier_mlp(2 * state, own.policy_dim, own.policy_layers, state, nn.ReLU, last_scale=LAST_SCALE)
        self.high = Gaussian(mean, state, learned_std=True)
        self.register_buffer("elsewhere_O", torch.zeros(observation))

    def sampler(self, data: Steps) -> GoalSampler:
        """Of the goals of this data, which is looked at for what a goal is like where it is not shown."""
        check_goal(data, self.columns)
        self.elsewhere_O = goal_like(data, self.own.goal, "subgoals.goal")
        return GoalSampler(data)

    def learn(self, goals: GoalSampler, numbers_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
        """One step of V and the policy; the target follows the heads of before it."""
        own = self.own
        value, high, value_mean = self.losses(
            goals.batch(numbers_B, self.view, own.goals, self.values.discount, own.any_goals, own.steps, random)
        )
        self.target.follow(self.value)
        optimise[ONE].minimise(value + high)
        return {"loss": value + high, "value_loss": value, "high_loss": high, "value": value_mean}

    def losses(self, batch: GoalBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Of V and of the policy, each with a gradient in its own network alone; and the mean of V."""
        values = self.values
        value_2B = self.value(batch.state_BS, batch.goal_BS)
        with torch.no_grad():
            now_2B, next_2B = (self.target(state, batch.goal_BS) for state in (batch.state_BS, batch.next_BS))
        value = goal_value_loss(value_2B, now_2B, next_2B, batch.goes_on_B, values.discount, values.expectile)
        weight_B = self._weight(batch.target_BS, batch.state_BS, batch.far_goal_BS, self.own.beta)
        towards_BI = torch.cat([batch.state_BS, batch.far_goal_BS], -1)
        density_B = self.high.log_density(towards_BI, batch.target_BS - batch.state_BS)
        return value, -(weight_B * density_B).mean(), value_2B.mean()

    @torch.no_grad()
    def diagnose(self, goals: GoalSampler, numbers_B: Tensor) -> Info:
        """How far displacements are from the data's, where the goal is the sub-goal itself; squared, in its units."""
        rows_B = goals.starts[numbers_B]
        state_BS, ahead_BS = self._states(goals.data, rows_B, 0), self._states(goals.data, rows_B, self.own.steps)
        away_BS = self.high(torch.cat([state_BS, ahead_BS], -1))
        return {"subgoal_error": (state_BS + away_BS - ahead_BS).pow(2).mean()}

    def windows(self, data: Steps, rows_BH: Tensor, mask_BH: Tensor) -> Prompts:
        """In training the prompt g_k is the state W steps ahead, and w_k = min(exp(beta (V(n, g_k) - V(s, g_k))), 100).

        Where the last action of an episode led is not in the data: it does not count.
        """
        state_BHS, next_BHS, ahead_BHS = (self._states(data, rows_BH, steps) for steps in (0, 1, self.own.steps))
        return Prompts(
            torch.cat([ahead_BHS, state_BHS], -1),
            self._weight(next_BHS, state_BHS, ahead_BHS, self.values.beta),
            mask_BH * (rows_BH < data.last_rows(rows_BH)),
        )

    def condition(self, observation_BO: Tensor) -> Tensor:
        """When it acts: (s + mean of pi_high, s), (B, 2 S), of observations as the environment gives them."""
        state_BS = self.view.state(observation_BO)
        goal_BS = self.view.goal(observation_BO, self.elsewhere_O)
        away_BS = self.high(torch.cat([state_BS, goal_BS], -1))
        if self.own.squashed:
            away_BS = torch.tanh(away_BS)
        return torch.cat([state_BS + away_BS, state_BS], -1)

    def _states(self, data: Steps, rows: Tensor, steps: int) -> Tensor:
        """So many steps ahead of those rows, or at the end of their episodes, (.., S)."""
        return self.view.state(data.recorded_observations(torch.minimum(rows + steps, data.last_rows(rows))))

    @torch.no_grad()
    def _weight(self, then_BS: Tensor, now_BS: Tensor, goal_BS: Tensor, beta: float) -> Tensor:
        """Of what led from one state to another, (..)."""
        advantage_B: Tensor = self.value(then_BS, goal_BS).mean(0) - self.value(now_BS, goal_BS).mean(0)
        return advantage_weight(advantage_B, beta, self.values.largest_weight)
