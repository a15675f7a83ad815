"""The benchmark of bins rounds what a policy sees and does to their middles, and nothing where nothing is rounded."""

import numpy as np
import torch

from benchmarks.binning import binned, fitted
from mage.interface import Policy
from mage.nn.discretiser import Discretiser

MIDDLES = [-0.75, -0.25, 0.25, 0.75]


def acts(policy: Policy, observation: float) -> np.ndarray:
    """Its first actions where all values of the observation are this."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    shown = np.full((2, policy.observation_size), observation, np.float32)
    return policy.begin(2).act(shown, generators=generators)


def bins_of(dimensions: int) -> Discretiser:
    """Four, from -1 to 1."""
    return fitted(np.stack([np.full(dimensions, -1.0), np.full(dimensions, 1.0)]), 4, "widths")


def test_observations_are_rounded_to_middles(tiny_policy: Policy) -> None:
    rounded = acts(binned(tiny_policy, bins_of(tiny_policy.observation_size)), 9.0)
    assert np.array_equal(rounded, acts(tiny_policy, 0.75))
    assert not np.array_equal(rounded, acts(tiny_policy, 9.0))


def test_actions_are_rounded_to_middles(tiny_policy: Policy) -> None:
    plain = acts(tiny_policy, 0.3)
    rounded = acts(binned(tiny_policy, done=bins_of(plain.shape[1])), 0.3)
    assert np.isin(rounded, MIDDLES).all()
    assert np.abs(rounded - plain).max() <= 0.25


def test_nothing_is_rounded_by_default(tiny_policy: Policy) -> None:
    assert np.array_equal(acts(binned(tiny_policy), 0.3), acts(tiny_policy, 0.3))
