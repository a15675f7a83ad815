"""Goals: how a flat observation shows one, and which states of the data are goals of which.

A goal is a state. Recorded steps are walks: a future goal of a step lies in its own walk, and the end of a walk is a
cut, no terminal. A walk's last row may be a goal, but nothing is learned from there: where it led is not in the data.

Shape suffixes: B batch, O observation size, S of it the state (all but the goal's columns).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mage.config import Component
from mage.data.steps import Steps
from mage.data.transitions import GOAL_REWARD
from mage.errors import MageError

CHECKED_ROWS = 1000


class GoalConfig(Component):
    """Where an observation shows a goal. Columns are those of the flat observation, from 0."""

    columns: tuple[int, ...] = Field((), description="of the goal, which is no part of the state; (): none is shown")
    position: tuple[int, ...] = Field((0, 1), description="what is to be at the goal")
    velocity: tuple[int, ...] = Field((2, 3), description="of the position")


def check_goal(data: Steps, columns: tuple[int, ...]) -> None:
    """MageError where the columns of the goal change within an episode, or those beside them do not, either."""
    if not columns:
        return
    rows = data.spread(CHECKED_ROWS)
    seen, last = data.recorded_observations(rows), data.recorded_observations(data.last_rows(rows))
    changes = (seen != last).any(0).tolist()
    beside = [column for column in (min(columns) - 1, max(columns) + 1) if 0 <= column < len(changes)]
    wrong = "they change within an episode" if any(changes[column] for column in columns) else ""
    if not wrong and not all(changes[column] for column in beside):
        wrong = f"of the columns {beside} beside them there is one that never changes within an episode, either"
    if wrong:
        raise MageError(f"the columns {columns} of this data are not its goal: {wrong}; set goal.columns")


class GoalView:
    """A flat observation as a state and the state that is its goal.

    Args:
        observation: O.
        goal: which columns show it; of a goal that none shows, all columns are the state.

    Raises:
        MageError: there are no such columns, or not as many of what is to be at the goal.
    """

    def __init__(self, observation: int, goal: GoalConfig) -> None:
        columns = goal.columns
        used = (*columns, *goal.position, *goal.velocity) if columns else ()
        if max(used, default=-1) >= observation or len(columns) not in (0, len(goal.position)):
            raise MageError(
                f"goal.columns {columns}, goal.position {goal.position} and goal.velocity {goal.velocity} do not fit "
                f"the {observation} columns of an observation, or the first two differ in length; set them"
            )
        self.config = goal
        self.kept = [column for column in range(observation) if column not in columns]

    def state(self, observation_BO: Tensor) -> Tensor:
        """All but the goal, (B, S)."""
        return observation_BO[..., self.kept]

    def goal(self, observation_BO: Tensor, elsewhere_O: Tensor) -> Tensor:
        """The states (B, S) that are at the goals which these show, at rest, and else as `elsewhere_O`."""
        goal_BO = elsewhere_O.expand(len(observation_BO), -1).clone()
        if self.config.columns:
            goal_BO[:, self.config.velocity] = 0.0
            goal_BO[:, self.config.position] = observation_BO[:, self.config.columns]
        return self.state(goal_BO)


def goal_like(data: Steps, where: Literal["shown", "rewarded"], field: str) -> Tensor:
    """The recorded observation (O,) that goals are like, but for what is shown of them.

    Args:
        data: its first observation, where goals are shown; else its first that was rewarded with 1.
        where: a goal is read when a policy acts.
        field: of the configuration, that says so.

    Raises:
        MageError: none was rewarded with 1.
    """
    rows = torch.arange(len(data), device=data.device)
    if where == "rewarded":
        rows = rows[data.rewards(rows) >= GOAL_REWARD]
        if not len(rows):
            raise MageError(f"no step of this data is rewarded with 1, so its goal is unknown; set {field}=shown")
    return data.recorded_observations(rows[0])


class GoalShares(Component):
    """Which states are drawn as goals of a step. The rest are later states of its walk, geometrically far."""

    current: float = Field(0.2, ge=0, le=1, description="share of goals that are the step's own state")
    random: float = Field(0.3, ge=0, le=1, description="share of goals that are any states of the data")

    @model_validator(mode="after")
    def _check(self) -> GoalShares:
        if self.current + self.random > 1:
            raise ValueError(f"current {self.current:g} and random {self.random:g} add up to more than 1")
        return self


class GoalBatch(NamedTuple):
    """Steps of walks: states, the action, the value's goal and whether it is another state than the step's own (m), the
    state k ahead, and the high policy's goal and its target, which is no farther than k.
    """

    state_BS: Tensor
    next_BS: Tensor
    action_BA: Tensor
    goal_BS: Tensor
    goes_on_B: Tensor
    waypoint_BS: Tensor
    far_goal_BS: Tensor
    target_BS: Tensor


class GoalSampler:
    """Draws goals of rows of the data, as rows of the data; all randomness comes from the generator that is passed in.

    Attributes:
        starts: the rows that something is learned from, all but the last of each walk.
    """

    def __init__(self, data: Steps) -> None:
        self.data = data
        rows = torch.arange(len(data), device=data.device)
        self.starts = rows[rows < data.last_rows(rows)]
        if not len(self.starts):
            raise MageError("every episode of this data has one step: there are no walks to draw goals from")

    def batch(
        self,
        numbers_B: Tensor,
        view: GoalView,
        shares: GoalShares,
        discount: float,
        any_goals: float,
        steps: int,
        random: torch.Generator,
    ) -> GoalBatch:
        """The steps of those numbers among `starts`, with goals that are drawn for them.

        Args:
            numbers_B: from 0.
            view: what of an observation is the state.
            shares: of the value's goals.
            discount: of how far the geometric ones among them lie.
            any_goals: share of the high policy's goals that are any states; the rest is uniform over the walk ahead.
            steps: k, how far ahead sub-goals lie.
            random: whence all is drawn.
        """
        data, rows_B = self.data, self.starts[numbers_B]
        goal_B = self.shared(rows_B, shares, discount, random)
        far_B, any_B = self.future(rows_B, random), self.any(rows_B, random)
        is_any_B, ahead_B = self._uniform(rows_B, random) < any_goals, self.ahead(rows_B, steps)

        def states(rows_B: Tensor) -> Tensor:
            return view.state(data.recorded_observations(rows_B))

        return GoalBatch(
            state_BS=states(rows_B),
            next_BS=states(rows_B + 1),
            action_BA=data.actions(rows_B),
            goal_BS=states(goal_B),
            goes_on_B=(goal_B != rows_B).float(),
            waypoint_BS=states(ahead_B),
            far_goal_BS=states(torch.where(is_any_B, any_B, far_B)),
            target_BS=states(torch.where(is_any_B, ahead_B, torch.minimum(ahead_B, far_B))),
        )

    def shared(self, rows_B: Tensor, shares: GoalShares, discount: float, random: torch.Generator) -> Tensor:
        """The row itself, a geometrically far one or any, by their shares."""
        kind_B = self._uniform(rows_B, random)
        geometric_B, any_B = self.geometric(rows_B, discount, random), self.any(rows_B, random)
        goals_B = torch.where(kind_B < 1 - shares.random, geometric_B, any_B)
        return torch.where(kind_B < shares.current, rows_B, goals_B)

    def geometric(self, rows_B: Tensor, discount: float, random: torch.Generator) -> Tensor:
        """min(t + Geometric(1 - discount), end): at least a step ahead where there is one, else the row itself."""
        below_1_B = 1.0 - self._uniform(rows_B, random)  # in (0, 1]: its logarithm is finite
        return self.ahead(rows_B, 1 + (below_1_B.log() / math.log(discount)).floor().long())

    def future(self, rows_B: Tensor, random: torch.Generator) -> Tensor:
        """Uniform over the rest of the walk, as the rounded mixture of its next row and its last."""
        share_B, last_B = self._uniform(rows_B, random).double(), self.data.last_rows(rows_B)
        next_B = torch.minimum(rows_B + 1, last_B)
        return (next_B * share_B + last_B * (1 - share_B)).round().long()

    def any(self, rows_B: Tensor, random: torch.Generator) -> Tensor:
        """As many rows of the whole data."""
        drawn_B = torch.randint(len(self.data), rows_B.shape, generator=random, device=random.device)
        return drawn_B.to(rows_B.device)

    def ahead(self, rows_B: Tensor, steps: Tensor | int) -> Tensor:
        """So many steps ahead, or the end of the walk."""
        return torch.minimum(rows_B + steps, self.data.last_rows(rows_B))

    def _uniform(self, rows_B: Tensor, random: torch.Generator) -> Tensor:
        return torch.rand(rows_B.shape, generator=random, device=random.device).to(rows_B.device)
