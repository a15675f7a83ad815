"""A short, real training on the U-maze: what is asked of the policy decides what it gets."""

import numpy as np
import pytest

from mage import scenarios
from mage.config import AlgorithmConfig, make_config
from mage.data import maze2d
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories, target_return
from mage.evaluation.rollout import Rollout
from mage.training.trainer import Trainer

pytestmark = pytest.mark.slow

EPISODES = 25


@pytest.fixture(scope="module")
def maze(tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    """200 tours of the U-maze, 60,000 steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("maze")))
        maze2d.collect("maze2d-umaze", episodes=200, workers=1, reference_episodes=10)
        return load_trajectories(scenarios.get("maze2d-umaze"), download=False)


@pytest.fixture(scope="module")
def config() -> AlgorithmConfig:
    """A small network with few, long latents, which tours say more about (as the cpu preset has it for mazes)."""
    network = {"embed_dim": 32, "num_heads": 4}
    stage = {"learning_rate": 2e-3}
    latents = {"latent_stride": 6, "num_scales": 3, "codebook_size": 64, "code_dim": 16}
    autoencoder = latents | {"encoder_blocks": 1, "decoder_blocks": 1}
    return make_config(
        {
            "autoencoder": network | autoencoder,
            "inverse_dynamics": {"inputs": "latent_and_observation"},
            "transformer": network | {"depth": 1},
            "training": {
                "autoencoder": stage | {"steps": 500, "batch_size": 64},
                "transformer": stage | {"steps": 400, "batch_size": 256},
                "device": "cpu",
            },
        }
    )


def test_a_policy_asked_for_much_gets_more_than_one_asked_for_little(
    maze: Trajectories, config: AlgorithmConfig
) -> None:
    trainer = Trainer(maze, config, seed=0)
    trainer.advance(trainer.total_steps)
    policy, rollout = trainer.policy(), Rollout(maze.task, EPISODES)
    high, low = (
        [row["normalized_score"] for row in rollout.run(policy, range(EPISODES), return_to_go=target_return(maze, q))]
        for q in (1.0, 0.02)
    )
    rollout.close()
    # seeds 0 and 1 were 16 points apart and more; other small recipes 8 to 27
    gap, error = np.mean(high) - np.mean(low), np.std(np.subtract(high, low)) / EPISODES**0.5
    assert gap > 5, (np.mean(high), np.mean(low), error)
    assert gap > 3 * error, (np.mean(high), np.mean(low), error)
