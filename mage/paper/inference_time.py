"""How long one step of a policy takes on this machine (Table 8): a batch of one, on real observations.

Networks are untrained: how long a step takes does not depend on their weights.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
import torch

from mage.config import AlgorithmConfig
from mage.data.sources import trajectories_of
from mage.data.trajectories import Trajectories
from mage.interface import Policy
from mage.training.trainer import Trainer

WARM_UP_STEPS, STEPS, REPEATS = 25, 50, 5


def inference_times(configs: Mapping[str, Mapping[str, AlgorithmConfig]], namespace: str | None = None) -> pd.DataFrame:
    """One row a repeat: scenario, variant, config_hash, repeat, milliseconds (a step), steps, device, threads.

    Args:
        configs: scenario -> variant -> configuration.
        namespace: take the datasets from this local Minari namespace.
    """
    rows = []
    for scenario, variants in configs.items():
        trajectories = trajectories_of(scenario, namespace)
        policies = {name: Trainer(trajectories, config, seed=0).policy() for name, config in variants.items()}
        for name, repeat, milliseconds in _measure(policies, trajectories):
            policy = policies[name]
            rows.append(
                {
                    "scenario": scenario,
                    "variant": name,
                    "config_hash": policy.config.hash(),
                    "repeat": repeat,
                    "milliseconds": milliseconds,
                    "steps": STEPS,
                    "device": str(policy.device),
                    "threads": policy.config.training.threads,
                }
            )
    return pd.DataFrame(rows)


def _measure(policies: Mapping[str, Policy], trajectories: Trajectories) -> list[tuple[str, int, float]]:
    """(variant, repeat, milliseconds a step); the variants take turns, so that a busy moment hits all alike."""
    observations = {name: cycle(trajectories.observations[: WARM_UP_STEPS + STEPS, None]) for name in policies}
    for name, policy in policies.items():
        torch.set_num_threads(policy.config.training.threads)
        # one that looks back is at its slowest, and stays there, once its context is full
        steps = max(WARM_UP_STEPS, policy.agent.context)
        _act(policy, [next(observations[name]) for _ in range(steps)])
    measured = []
    for repeat in range(REPEATS):
        for name, policy in policies.items():
            batch = [next(observations[name]) for _ in range(STEPS)]
            started = time.perf_counter()
            _act(policy, batch)
            measured.append((name, repeat, 1000 * (time.perf_counter() - started) / STEPS))
    return measured


def _act(policy: Policy, observations: Sequence[np.ndarray]) -> None:
    generators = [torch.Generator().manual_seed(0)]
    for observation_1S in observations:
        policy.act(observation_1S, policy.target_return, generators)
