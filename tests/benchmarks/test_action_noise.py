"""The benchmark of shaking hands moves every action by noise of the size that was asked for, and remembers it."""

import numpy as np
import torch

from benchmarks.action_noise import shaking
from benchmarks.altered_policy import scored
from mage.evaluation.episodes import evaluate_policies
from mage.interface import Policy


def generators(environments: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(environments)]


def test_noise_is_as_large_as_asked_and_the_policy_is_told_of_it(tiny_policy: Policy) -> None:
    observations = np.zeros((2000, tiny_policy.observation_size), np.float32)
    plain = tiny_policy.begin(2000).act(observations, generators=generators(2000))
    acting = shaking(tiny_policy, 0.01).begin(2000)
    moved = acting.act(observations, generators=generators(2000))
    inside = np.abs(plain) < 0.9
    assert inside.any()
    assert np.isclose((moved - plain)[inside].std(), 0.01, rtol=0.05)
    assert np.array_equal(acting._action_BA, moved)


def test_no_noise_is_the_policy_itself_and_much_is_seen_in_the_score(tiny_policy: Policy) -> None:
    still, wild = (scored(shaking(tiny_policy, deviation), episodes=3) for deviation in (0.0, 10.0))
    assert still["score"] == evaluate_policies([tiny_policy], 3)["normalized_score"].mean()
    assert still["score"] != wild["score"]
