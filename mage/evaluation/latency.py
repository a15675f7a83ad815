"""How long a policy takes for a step on this machine, with one environment."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import numpy as np
import torch

from mage.interface import Policy

STEPS, LONGEST_SECONDS = 50, 5.0


def milliseconds_a_step(policy: Policy, steps: int = STEPS, seconds: float = LONGEST_SECONDS) -> float:
    """The median over steps, by the clock, of all that an environment waits for: observation in, action out.

    Observations are drawn at random, with the mean and deviation of the training data. One that looks back is timed
    when its context is full, for from then on a step takes no longer. Threads are those of its configuration.

    Args:
        steps: that are timed, where they do not take longer than
        seconds: in all.
    """
    torch.set_num_threads(policy.config.training.threads)
    statistics, random = policy.statistics, np.random.default_rng(0)
    acting, generators = policy.begin(1), [torch.Generator().manual_seed(0)]

    def act() -> float:
        noise_1S = random.standard_normal((1, policy.observation_size))
        observation_1S = (statistics.observation_mean + noise_1S * statistics.observation_std).astype(np.float32)
        started = time.perf_counter()
        acting.act(observation_1S, generators=generators)
        return 1000 * (time.perf_counter() - started)

    for _ in range(policy.agent.context):
        act()
    took: list[float] = []
    while len(took) < steps and (not took or sum(took) < 1000 * seconds):
        took.append(act())
    return float(np.median(took))


def cpu_name() -> str:
    """The processor's own name, on Linux."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
