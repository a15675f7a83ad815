"""Behaviour cloning, and the same given the return-to-go (an MLP version of reward-conditioned policies).

    bc:         L = ||pi(s_t) - a_t||^2 / A
    return_bc:  L = ||pi(R_t, s_t) - a_t||^2 / A

Shape suffixes: B batch, S observation size, A action size, Y = 1 + S values of a condition (R_t, s_t).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mage.config import BehaviourCloningConfig, Config
from mage.data.windows import Windows
from mage.model.blocks import MLP
from mage.model.policy import Policy


class Actor(nn.Module):
    """An MLP from the observation, and the return-to-go if it `sees_return`, to an action."""

    def __init__(
        self, config: BehaviourCloningConfig, sees_return: bool, observation_size: int, action_size: int
    ) -> None:
        super().__init__()
        self.sees_return = sees_return
        self.mlp = MLP(observation_size + sees_return, config.hidden_dim, config.hidden_layers, action_size)

    def forward(self, condition_BY: Tensor) -> Tensor:
        """(R_t, s_t), normalised, (B, 1 + S) -> (B, A)."""
        action_BA: Tensor = self.mlp(condition_BY if self.sees_return else condition_BY[:, 1:])
        return action_BA


class BehaviourCloningObjective(nn.Module):
    """The loss on a batch of steps."""

    def __init__(self, actor: Actor, windows: Windows) -> None:
        super().__init__()
        self.actor, self.windows = actor, windows

    def forward(self, indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns (loss, info)."""
        action_BA = self.actor(self.windows.conditions(indices_B))
        loss = (action_BA - self.windows.actions(indices_B)).pow(2).mean()
        return loss, {"loss": loss.detach()}

    def diagnose(self, indices_B: Tensor) -> dict[str, Tensor]:
        """Nothing beyond the loss."""
        return {}


class BehaviourCloningPolicy(Policy):
    """Acts by the cloned actor; `return_bc` asks it for the target return."""

    @staticmethod
    def build(config: Config, observation_size: int, action_size: int) -> dict[str, nn.Module]:
        """The actor."""
        sees_return = config.algorithm == "return_bc"
        return {"actor": Actor(config.behaviour_cloning, sees_return, observation_size, action_size)}

    @torch.no_grad()
    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray | float | None = None,
        generators: Sequence[torch.Generator] | None = None,
    ) -> np.ndarray:
        """Actions (B, A) for flat observations (B, S)."""
        return self.clip(self.networks["actor"](self.condition(observations, return_to_go)))
