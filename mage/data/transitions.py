"""Transitions (s, a, r, s', terminal) with rewards in their own units, for algorithms that learn values.

The last step before a time limit is left out: where it led is not in the data, and it was no end.

Shape suffixes: N steps of the data, B batch, S observation size, A action size.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mage.config import ADDED, Component
from mage.data.steps import Steps

GOAL_REWARD = 1.0


class RewardConfig(Component):
    """What is learned of a reward r: scale * r + shift. Losses that weigh advantages depend on its units."""

    scale: float = Field(1.0, description="factor")
    shift: float = Field(0.0, description="added a step, after the factor")
    over_return_range: bool = Field(
        False, description="first divided by how far the best and the worst episode's return lie apart"
    )
    standardised: Annotated[bool, ADDED] = Field(
        False, description="first less its mean over the transitions, and divided by its deviation"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.over_return_range and self.standardised:
            raise ValueError("over_return_range and standardised are two units of a reward: choose one")
        return self


class Batch(NamedTuple):
    """Some transitions. `terminal_B` is 1 where nothing follows, else 0."""

    observation_BS: Tensor
    action_BA: Tensor
    reward_B: Tensor
    next_observation_BS: Tensor
    terminal_B: Tensor


class TransitionSampler:
    """The transitions of a dataset, numbered from 0.

    Args:
        data: its steps.
        reward: what is learned of its rewards.
        terminal_at_goal: a step that brings the reward 1 is terminal, even where the recording went on.
        normalise: observations in units of the data's mean and deviation, or as recorded.
    """

    def __init__(
        self, data: Steps, reward: RewardConfig, terminal_at_goal: bool = False, normalise: bool = True
    ) -> None:
        self.data, self._rows = data, data.complete_rows()
        self._observations = data.observations if normalise else data.recorded_observations
        self._reward_N, self._terminal_N = learned_rewards(data, reward), terminal_steps(data, terminal_at_goal)

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, numbers_B: Tensor) -> Batch:
        """The transitions of those numbers."""
        rows_B = self._rows[numbers_B]
        # nothing is read of what follows a terminal step, so any state will do there
        next_B = (rows_B + 1).clamp_max(len(self.data) - 1)
        return Batch(
            self._observations(rows_B),
            self.data.actions(rows_B),
            self._reward_N[rows_B],
            self._observations(next_B),
            self._terminal_N[rows_B],
        )

    def next_actions(self, numbers_B: Tensor) -> Tensor:
        """The actions (B, A) that the data takes after the transitions of those numbers; any after a terminal one."""
        return self.data.actions((self._rows[numbers_B] + 1).clamp_max(len(self.data) - 1))


def learned_rewards(data: Steps, reward: RewardConfig) -> Tensor:
    """What is learned of the reward of every step, (N,)."""
    recorded_N = data.rewards(torch.arange(len(data), device=data.device))
    factor, shift = reward.scale, reward.shift
    if reward.over_return_range:
        factor /= return_range(data)
    elif reward.standardised:
        used_N = recorded_N[data.complete_rows()].double()
        factor /= float(used_N.std()) or 1.0
        shift -= factor * float(used_N.mean())
    return recorded_N * factor + shift


def terminal_steps(data: Steps, at_goal: bool) -> Tensor:
    """1 where nothing follows a step, else 0, (N,); `at_goal`: nor one that brings the reward 1."""
    everything_N = torch.arange(len(data), device=data.device)
    terminal_N = data.is_terminal(everything_N)
    if at_goal:
        terminal_N = torch.maximum(terminal_N, (data.rewards(everything_N) >= GOAL_REWARD).to(terminal_N.dtype))
    return terminal_N


def return_range(data: Steps) -> float:
    """The best episode's return less the worst one's, undiscounted; 1 where all are equal."""
    rows_N = torch.arange(len(data), device=data.device)
    ends_E = data.last_rows(rows_N).unique()
    so_far_E = data.rewards(rows_N).double().cumsum(0)[ends_E]
    returns_E = so_far_E.diff(prepend=so_far_E.new_zeros(1))
    return float(returns_E.max() - returns_E.min()) or 1.0
