"""Behaviour cloning given the return-to-go (an MLP version of reward-conditioned policies).

L = ||pi(R_t, s_t) - a_t||^2 / A
"""

from __future__ import annotations

from typing import ClassVar

from mage.algorithms.bc import (
    BehaviourCloning,
    BehaviourCloningNetworkConfig,
    BehaviourCloningTrainingConfig,
)
from mage.config import AlgorithmConfig


class ReturnBehaviourCloningConfig(AlgorithmConfig):
    """The whole configuration of a run of return-conditioned behaviour cloning."""

    algorithm: str = "return_bc"
    behaviour_cloning: BehaviourCloningNetworkConfig = BehaviourCloningNetworkConfig()
    training: BehaviourCloningTrainingConfig = BehaviourCloningTrainingConfig()


class ReturnBehaviourCloning(BehaviourCloning):
    """Takes the action that the data takes, on average, in a state from which so much is still to come."""

    config_class: ClassVar[type[AlgorithmConfig]] = ReturnBehaviourCloningConfig
    sees_return: ClassVar[bool] = True


ALGORITHM = ReturnBehaviourCloning
