"""MAGE, multi-scale autoregressive generation for offline RL: `algorithm.py` first, then its stages in their order."""

from mage.algorithms.mage.algorithm import Mage

ALGORITHM = Mage
