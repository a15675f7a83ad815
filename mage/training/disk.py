"""Whether the disk has room for what a training leaves, known before it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

from mage import registry
from mage.config import AlgorithmConfig
from mage.data.trajectories import Statistics, Trajectories
from mage.errors import MageError
from mage.interface import Sizes
from mage.training.checkpoint import KEPT

STATES = 3
"""As large as the weights: they, and the two moments that Adam keeps of each."""


def check_room(
    folder: Path, trajectories: Trajectories, config: AlgorithmConfig, trials: int = 1, seeds: int = 1
) -> None:
    """Makes sure that a run directory has room for the checkpoints of one trial, and for the policies of all.

    A new checkpoint is written before the oldest is dropped.

    Raises:
        MageError: says how much is needed, and how much there is.
    """
    weights = seeds * size_of_weights(trajectories, config)
    needed, there = weights * ((KEPT + 1) * STATES + trials), existing(folder)
    free = shutil.disk_usage(there).free
    if free < needed:
        raise MageError(
            f"checkpoints and policies in {folder} take up to {megabytes(needed)}, and the disk has {megabytes(free)} "
            "free; free some space, or choose another --out"
        )


def size_of_weights(trajectories: Trajectories, config: AlgorithmConfig) -> int:
    """Bytes of all that a policy of these sizes learns."""
    sizes = Sizes(trajectories.observation_size, trajectories.action_size)
    zeros, one = np.zeros(sizes.observation, np.float32), np.ones(1, np.float32)
    with torch.random.fork_rng(devices=[]):
        agent = registry.get(config.algorithm)(config, sizes, Statistics(zeros, zeros + 1, one - 1, one))
    return sum(tensor.nbytes for tensor in agent.state_dict().values())


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())


def megabytes(size: int) -> str:
    """Such as `12 MB`."""
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e6:.1g} MB"
