"""Behaviour cloning given the return-to-go (an MLP version of reward-conditioned policies), or an advantage.

    L = ||pi(c_t, s_t) - a_t||^2 / A,    c_t = R_t, or u_t with `condition.kind: advantage`

Shape suffixes: B batch, A action size, Y = 1 + S values of a condition (c_t, s_t).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from mage.algorithms.bc import Actor, BehaviourCloning, BehaviourCloningNetworkConfig
from mage.config import AlgorithmConfig, StageConfig, merge
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.interface import ONE, Info, Presets, Seen, Sizes, Stage, minimise
from mage.interface.conditioned import (
    PRESETS_OF_SPARSE_GOALS,
    ConditionedAlgorithm,
    ConditionedConfig,
    ConditionedTrainingConfig,
    Conditions,
)


class ReturnBehaviourCloningTrainingConfig(ConditionedTrainingConfig):
    """Its stages, in order."""

    reference: StageConfig = Field(StageConfig(), description="its one stage, but for that of an advantage")


class ReturnBehaviourCloningConfig(ConditionedConfig):
    """The whole configuration of a run of return-conditioned behaviour cloning."""

    algorithm: str = "return_bc"
    behaviour_cloning: BehaviourCloningNetworkConfig = BehaviourCloningNetworkConfig()
    training: ReturnBehaviourCloningTrainingConfig = ReturnBehaviourCloningTrainingConfig()


class ReturnBehaviourCloning(ConditionedAlgorithm[Any]):
    """Takes the action that the data takes, on average, in a state from which so much is still to come."""

    config_class: ClassVar[type[AlgorithmConfig]] = ReturnBehaviourCloningConfig
    presets: ClassVar[Presets] = {
        name: merge(preset, PRESETS_OF_SPARSE_GOALS) for name, preset in BehaviourCloning.presets.items()
    }

    def __init__(self, config: ReturnBehaviourCloningConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        self.actor = Actor(config.behaviour_cloning, sizes, sees_condition=True)

    def stages(self, data: Steps) -> Sequence[Stage]:
        """Regression on the actions of the data."""
        conditions = self.conditions(data)
        learn = minimise(partial(self.loss, conditions))
        return [
            *self.advantage_stages(conditions),
            Stage("reference", self.config.training.reference, {ONE: [self.actor]}, learn),
        ]

    def loss(self, conditions: Conditions, rows_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
        """Returns (loss, info)."""
        action_BA = self.actor(conditions.take(rows_B))
        loss = (action_BA - conditions.data.actions(rows_B)).pow(2).mean()
        return loss, {"loss": loss}

    @torch.no_grad()
    def act(self, state: None, seen: Seen) -> tuple[Tensor, None]:
        """The cloned action."""
        return self.actor(self.condition(seen.observation_BS, seen.asked_B)), None


ALGORITHM = ReturnBehaviourCloning
