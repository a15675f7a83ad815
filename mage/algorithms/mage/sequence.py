"""What the autoencoder models of a window of steps tau = ((R_0, s_0) ... (R_{H-1}, s_{H-1})) (section 3.1).

What a step holds is a choice (Table 6): the paper's (R, s), or s, a, (R, s, a).

Shape suffixes: B batch, H horizon, A action size, X values of a modelled step, Y = 1 + S values of a condition (R, s).
With `condition.kind: advantage` the condition is (u, s); a modelled step holds R all the same.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mage.algorithms.mage.network_config import AutoencoderConfig
from mage.data.steps import Steps
from mage.interface.conditioned import Conditions


class Batch(NamedTuple):
    """A batch of windows; condition_BY is (R_0, s_0) or (u, s_0), action_BA the action at each window's first step."""

    trajectory_BHX: Tensor
    mask_BH: Tensor
    condition_BY: Tensor
    action_BA: Tensor


class Windows:
    """The windows of a dataset as an autoencoder models them, one starting at every step.

    `conditions` gives the conditions of rows; without it they are (R, s).
    """

    def __init__(self, steps: Steps, config: AutoencoderConfig, conditions: Conditions | None = None) -> None:
        self.steps, self.sequence = steps, config.sequence
        self.horizon, self.stride = config.horizon, config.step_stride
        self.conditions = steps.conditions if conditions is None else conditions.take

    def __len__(self) -> int:
        return len(self.steps)

    def take(self, indices_B: Tensor) -> Batch:
        """The windows that start at those rows."""
        rows_BH, mask_BH = self.steps.window_rows(indices_B, self.horizon, self.stride)
        steps_BHY = self.steps.conditions(rows_BH)
        parts = {"return": steps_BHY[..., :1], "state": steps_BHY[..., 1:]}
        names = self.sequence.split("_")
        if "action" in names:
            parts["action"] = self.steps.actions(rows_BH)
        return Batch(
            trajectory_BHX=torch.cat([parts[name] for name in names], -1),
            mask_BH=mask_BH,
            condition_BY=self.conditions(indices_B),
            action_BA=self.steps.actions(indices_B),
        )

    def are_whole(self, indices_B: Tensor) -> Tensor:
        """Whether the windows at those rows, (B,), lie in their episodes, or run past a terminal state rather than past
        a time limit, after which the episode would have gone on.
        """
        last_B = self.steps.last_rows(indices_B)
        lie_in_B = indices_B + self.stride * (self.horizon - 1) <= last_B
        return lie_in_B | (self.steps.is_terminal(last_B) > 0)


def step_layout(sequence: str, observation_size: int, action_size: int) -> dict[str, slice]:
    """Where the return, the state and the action lie in a modelled step, for those that it holds."""
    sizes = {"return": 1, "state": observation_size, "action": action_size}
    layout, start = {}, 0
    for name in sequence.split("_"):
        layout[name] = slice(start, start + sizes[name])
        start += sizes[name]
    return layout


def step_size(sequence: str, observation_size: int, action_size: int) -> int:
    """X, the values of a modelled step."""
    return max(part.stop for part in step_layout(sequence, observation_size, action_size).values())
