"""The first episodes of an evaluation, step by step: what was seen and asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mage.errors import MageError
from mage.evaluation.rollout import Rollout
from mage.interface import Policy


class Walk(NamedTuple):
    """One episode: observations (T, S) and targets (T,) that were acted on."""

    observations: np.ndarray
    targets: np.ndarray


def walks(policy: Policy, episodes: int, rollout: Rollout) -> list[Walk]:
    """Plays episodes 0, 1, ..; those of an evaluation, in batches of its size, are the same.

    Args:
        rollout: with as many environments as an evaluation's, of which `episodes` is at most the number.

    Raises:
        MageError: no episode could be played.
    """
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    rows = rollout.run(policy, range(episodes), policy.config.evaluation.seed, visit=lambda *step: steps.append(step))
    if rollout.failures:
        raise MageError(rollout.failures[0])
    found: list[list[Any]] = [[] for _ in rows]
    for number, (observations, targets) in enumerate(steps):
        running = [i for i, row in enumerate(rows) if row["length"] > number]
        for i, observation, target in zip(running, observations, targets, strict=True):
            found[i].append((observation, target))
    return [Walk(*(np.stack(part) for part in zip(*own, strict=True))) for own in found]
