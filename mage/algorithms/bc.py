"""Behaviour cloning.

    L = ||pi(s_t) - a_t||^2 / A

Shape suffixes: B batch, S observation size, A action size, Y = 1 + S values of a condition (c_t, s_t).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

import torch
from pydantic import Field
from torch import Tensor, nn

from mage.config import AlgorithmConfig, Component, StageConfig, TrainingConfig
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.interface import ONE, Algorithm, Info, Presets, Seen, Sizes, Stage, minimise
from mage.nn.blocks import MLP


class BehaviourCloningNetworkConfig(Component):
    """The MLP of behaviour cloning, with or without a condition beside the observation."""

    hidden_dim: int = Field(256, ge=1)
    hidden_layers: int = Field(2, ge=1)


class BehaviourCloningTrainingConfig(TrainingConfig):
    """Its one stage."""

    reference: StageConfig = Field(StageConfig(), description="its one stage")


class BehaviourCloningConfig(AlgorithmConfig):
    """The whole configuration of a run of behaviour cloning."""

    algorithm: str = "bc"
    behaviour_cloning: BehaviourCloningNetworkConfig = BehaviourCloningNetworkConfig()
    training: BehaviourCloningTrainingConfig = BehaviourCloningTrainingConfig()


class Actor(nn.Module):
    """An MLP from the observation, and the condition if it `sees_condition`, to an action."""

    def __init__(self, config: BehaviourCloningNetworkConfig, sizes: Sizes, sees_condition: bool) -> None:
        super().__init__()
        self.sees_condition = sees_condition
        self.mlp = MLP(sizes.observation + sees_condition, config.hidden_dim, config.hidden_layers, sizes.action)

    def forward(self, condition_BY: Tensor) -> Tensor:
        """(c_t, s_t), normalised, (B, 1 + S) -> (B, A)."""
        action_BA: Tensor = self.mlp(condition_BY if self.sees_condition else condition_BY[:, 1:])
        return action_BA


SMALL: Final = {"training": {"reference": {"steps": 6000, "batch_size": 256, "learning_rate": 1e-3}}}
WIDE: Final = {
    "behaviour_cloning": {"hidden_dim": 512, "hidden_layers": 3},
    "training": {"reference": {"steps": 20000}},
}
"""A gait is not learned by less (benchmarks/routes.md)."""


class BehaviourCloning(Algorithm[Any]):
    """Takes the action that the data takes, on average, in a state."""

    config_class: ClassVar[type[AlgorithmConfig]] = BehaviourCloningConfig
    presets: ClassVar[Presets] = {
        "cpu": {"*": SMALL, "locomotion": WIDE, "antmaze": WIDE, "ogbench": WIDE},
        "cpu-0.1": {"*": SMALL},
        # the paper takes its references' scores from elsewhere; this size is ours
        "paper": {
            "*": {
                "training": {
                    "reference": {"steps": 100000, "batch_size": 256, "learning_rate": 3e-4},
                    "checkpoint_every": 5000,
                }
            }
        },
    }

    def __init__(self, config: BehaviourCloningConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        self.actor = Actor(config.behaviour_cloning, sizes, sees_condition=False)

    @property
    def asks(self) -> None:
        """Nothing: it sees observations alone."""
        return None

    def stages(self, data: Steps) -> Sequence[Stage]:
        """Regression on the actions of the data."""
        learn = minimise(partial(self.loss, data))
        return [Stage("reference", self.config.training.reference, {ONE: [self.actor]}, learn)]

    def loss(self, data: Steps, rows_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
        """Returns (loss, info)."""
        action_BA = self.actor(data.conditions(rows_B))
        loss = (action_BA - data.actions(rows_B)).pow(2).mean()
        return loss, {"loss": loss}

    @torch.no_grad()
    def act(self, state: None, seen: Seen) -> tuple[Tensor, None]:
        """The cloned action."""
        return self.actor(self.condition(seen.observation_BS, seen.asked_B)), None


ALGORITHM = BehaviourCloning
