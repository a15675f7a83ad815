"""CARP: chunks of actions as tokens, coarse to fine, which a transformer predicts from the last observations."""

from mage.algorithms.carp.algorithm import Carp

ALGORITHM = Carp
