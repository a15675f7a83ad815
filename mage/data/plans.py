"""Plans: windows of actions and observations, how they must begin and end, and how one is followed.

Shape suffixes: B batch or environments, W windows, H horizon, O observation size, S of it what plans model (all but the
goal), A action size, D = A + S.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from mage.data.goals import GoalConfig, check_goal
from mage.data.steps import Steps
from mage.data.transitions import GOAL_REWARD
from mage.errors import MageError

ROWS_AT_A_TIME = 65536

Padding = Literal["none", "zeros", "last"]


class Layout:
    """A step of a plan is an action, then what is observed but for the goal; observations are in the data's deviations.

    Attributes:
        kept: columns of the observation that are modelled.
        values: D.

    Args:
        observation: O.
        action: A.
        goal: which columns it has, if there is one.

    Raises:
        MageError: there are no such columns.
    """

    def __init__(self, observation: int, action: int, goal: GoalConfig) -> None:
        if max((*goal.columns, *(goal.position if goal.columns else ())), default=-1) >= observation:
            raise MageError(
                f"goal.columns {goal.columns} and goal.position {goal.position} are not all among the {observation} "
                "columns of an observation"
            )
        self.goal, self.action = goal, action
        self.kept = [column for column in range(observation) if column not in goal.columns]
        self.values = action + len(self.kept)

    def rows(self, data: Steps) -> Iterator[Tensor]:
        """All steps of the data, in parts (.., D)."""
        for rows in torch.arange(len(data), device=data.device).split(ROWS_AT_A_TIME):
            yield torch.cat([data.actions(rows), data.observations(rows)[:, self.kept]], 1)

    def windows(self, data: Steps, rows_B: Tensor, horizon: int, past_O: Tensor | None = None) -> Tensor:
        """The plans (B, H, D) that were followed from those rows on.

        Past an episode's end the action is 0, and the observation its last, moved to the goal where that ended it; or
        `past_O`.
        """
        rows_BH, mask_BH = data.window_rows(rows_B, horizon)
        is_past_BH1 = mask_BH.unsqueeze(-1) == 0
        past_BO = self._at_rest(data, data.last_rows(rows_B)) if past_O is None else past_O.expand(len(rows_B), -1)
        seen_BHO = torch.where(is_past_BH1, past_BO.unsqueeze(1), data.observations(rows_BH))
        return torch.cat([data.actions(rows_BH).masked_fill(is_past_BH1, 0), seen_BHO[..., self.kept]], -1)

    def _at_rest(self, data: Steps, last_B: Tensor) -> Tensor:
        """What is observed (B, O) after those last steps of episodes, normalised.

        Where a step led that ended an episode at its goal is not recorded, and one does not stay before the goal.
        """
        if not self.goal.columns:
            return data.observations(last_B)
        arrived_B = (data.is_terminal(last_B) > 0) & (data.rewards(last_B) >= GOAL_REWARD)
        seen_BO = data.recorded_observations(last_B).clone()
        columns, position = list(self.goal.columns), list(self.goal.position)
        seen_BO[:, position] = torch.where(arrived_B.unsqueeze(1), seen_BO[:, columns], seen_BO[:, position])
        return data.normalised(seen_BO)

    def goals(self, observation_BO: Tensor) -> Tensor:
        """Observations (B, O) at the goals that these show, all else of which is 0; in the environment's units."""
        goal_BO = torch.zeros_like(observation_BO)
        if self.goal.columns:
            goal_BO[:, self.goal.position] = observation_BO[:, self.goal.columns]
        return goal_BO

    def clamp(self, plan_BHD: Tensor, first_BD: Tensor, last_BD: Tensor) -> Tensor:
        """Writes into plans, in place, the observations they begin with and, where there is a goal, end at."""
        plan_BHD[:, 0, self.action :] = first_BD[:, self.action :]
        if self.goal.columns:
            plan_BHD[:, -1, self.action :] = last_BD[:, self.action :]
        return plan_BHD

    def shown(self, planned_BHS: Tensor, observation_BO: Tensor) -> Tensor:
        """Planned observations (B, H, O), with the goal that these show; both in the environment's units."""
        shown_BHO = observation_BO.unsqueeze(1).repeat(1, planned_BHS.shape[1], 1)
        shown_BHO[..., self.kept] = planned_BHS
        return shown_BHO

    def steer(self, planned_BHS: Tensor, observation_BO: Tensor, age: int, lateness: float | None = None) -> Tensor:
        """The action (B, A) that leads to the next of the planned observations, and to rest at the last of them.

        It is the step and the change of velocity that lack, as for a point mass (github.com/jannerm/diffuser, branch
        maze2d); both in the environment's units.

        Args:
            planned_BHS: from the step on that made them.
            observation_BO: now.
            age: steps since then.
            lateness: what it costs to be a step late, as a distance: the next is that after the one, not ahead of time,
                to which it costs least to be late and away from; None: the next by time, as published.
        """
        position, velocity = ([self.kept.index(c) for c in own] for own in (self.goal.position, self.goal.velocity))
        now_BA, last = observation_BO[:, self.goal.position], planned_BHS.shape[1] - 1
        next_B = torch.full((len(planned_BHS),), min(age + 1, last), device=planned_BHS.device)
        is_over_B1 = torch.full((len(planned_BHS), 1), age + 1 > last, device=planned_BHS.device)
        if lateness is not None:
            passed = min(age, last)
            away_BH = (planned_BHS[:, : passed + 1, position] - now_BA.unsqueeze(1)).norm(dim=-1)
            late_H = torch.arange(passed, -1, -1, device=planned_BHS.device)
            at_B = (away_BH + lateness * late_H).argmin(1)
            next_B, is_over_B1 = (at_B + 1).clamp_max(last), (at_B >= last).unsqueeze(1)
        next_BS = planned_BHS[torch.arange(len(planned_BHS), device=planned_BHS.device), next_B]
        lacking_BA = next_BS[:, position] - now_BA
        return lacking_BA + next_BS[:, velocity].masked_fill(is_over_B1, 0) - observation_BO[:, self.goal.velocity]

    def check_goal(self, data: Steps) -> None:
        """MageError where the columns of the goal change within an episode."""
        check_goal(data, self.goal.columns)


def window_starts(data: Steps, horizon: int, padding: Padding) -> Tensor:
    """The rows that windows start at, (W,).

    Without padding these are the windows wholly within an episode. Those that are padded with zeros do not start at an
    episode's last step, nor where even the longest episode has not a horizon left (as published).
    """
    rows = torch.arange(len(data), device=data.device)
    before, left = data.timesteps(rows), data.last_rows(rows) - rows
    if padding == "none":
        rows = rows[left >= horizon - 1]
    elif padding == "zeros":
        rows = rows[(left >= 1) & (before <= (before.max() + 1 - horizon).clamp_min(0))]
    if not len(rows):
        raise MageError(
            f"no episode of this data has the {horizon} steps of a plan; set plan.horizon, or plan.padding=last"
        )
    return rows


def shifted(plan_BHA: Tensor) -> Tensor:
    """Plans of actions a step later: the first is over, and the last is 0."""
    return torch.cat([plan_BHA[:, 1:], torch.zeros_like(plan_BHA[:, :1])], 1)
