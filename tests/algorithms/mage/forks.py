"""Data that goes two ways from one state with one return, so that neither says which way a window goes."""

from functools import cache

import numpy as np

from mage.config import make_config
from mage.data.trajectories import Trajectories
from mage.training.trainer import Trainer
from tests.data.builders import make_trajectories


def make_fork(episodes: int = 60, steps: int = 12) -> Trajectories:
    """Half of the episodes go left from 0, half right, and all earn 1 at their last step."""
    ways_E = np.where(np.arange(episodes) % 2 == 0, 1.0, -1.0).astype(np.float32)
    places_ET = ways_E[:, None] * np.arange(steps, dtype=np.float32)
    rewards_ET = np.zeros((episodes, steps), np.float32)
    rewards_ET[:, -1] = 1.0
    return make_trajectories(
        [steps] * episodes,
        observations=np.stack([places_ET.reshape(-1), np.zeros(episodes * steps, np.float32)], 1),
        actions=np.repeat(ways_E, steps)[:, None],
        rewards=rewards_ET.reshape(-1),
    )


@cache
def trained_at_the_fork() -> Trainer:
    """I(z_1, s_0), learned on the coarse token of the window; not to be changed."""
    stage = {"batch_size": 64, "learning_rate": 4e-3, "warmup_steps": 5}
    config = make_config(
        {
            "autoencoder": {"horizon": 8, "latent_stride": 2, "num_scales": 2, "scales": [1, 4], "codebook_size": 16},
            "inverse_dynamics": {"inputs": "latent_and_observation", "scales": 1},
            "transformer": {"depth": 1, "condition_weight": 0.0},
            "training": {
                "autoencoder": stage | {"steps": 150},
                "transformer": stage | {"steps": 80},
                "inverse_dynamics": stage | {"steps": 150, "given_scales": 1},
                "device": "cpu",
            },
        }
    )
    trainer = Trainer(make_fork(), config, seed=0)
    trainer.advance(trainer.total_steps)
    return trainer
