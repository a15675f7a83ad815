"""What many tests share: one small maze dataset, really recorded, and a tiny policy, really trained on it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from mage import scenarios
from mage.config import Config, make_config
from mage.data import maze2d
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories
from mage.model.policy import Policy
from mage.training.trainer import Trainer

os.environ["HF_HUB_OFFLINE"] = "1"  # a missing dataset is missing at once; read when the hub's client is imported
torch.set_num_threads(1)
settings.register_profile("mage", deadline=None)  # how long a first call takes says nothing
settings.load_profile("mage")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is cached in the home folder, here and in the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAGE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_maze_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MINARI_DATASETS_PATH that holds mage/maze2d/umaze-v0 with 100 episodes, shorter than D4RL's by 180 steps.

    So is what tests play. In still shorter ones hardly an episode would reach the goal.
    """
    root = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        maze2d.collect("maze2d-umaze", episodes=100, workers=1, reference_episodes=10, max_episode_steps=120)
    return root


@pytest.fixture(scope="session")
def tiny_maze(tiny_maze_root: Path) -> Trajectories:
    """100 episodes of the U-maze, 12,000 steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
        return load_trajectories(scenarios.get("maze2d-umaze"), download=False)


@pytest.fixture
def minari_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty MINARI_DATASETS_PATH."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="session")
def tiny_config() -> Config:
    """All three stages in 70 steps, about half a second."""
    stage = {"batch_size": 16, "learning_rate": 4e-3, "warmup_steps": 5}
    network = {"embed_dim": 16, "num_heads": 2, "dropout": 0.1}
    blocks = {"encoder_blocks": 1, "decoder_blocks": 1}
    codes = {"codebook_size": 16, "code_dim": 8, "num_scales": 3, "scales": [1, 3, 8]}
    return make_config(
        {
            "autoencoder": network | blocks | codes,
            "inverse_dynamics": {"hidden_dim": 32, "hidden_layers": 1},
            "transformer": network | {"depth": 1, "adapter_dim": 4},
            "training": {
                "autoencoder": stage | {"steps": 30},
                "transformer": stage | {"steps": 30},
                "inverse_dynamics": stage | {"steps": 10},
                "log_every": 10,
                "device": "cpu",
            },
            "evaluation": {"batch_size": 5},
        }
    )


@pytest.fixture(scope="session")
def tiny_trainer(tiny_maze: Trajectories, tiny_config: Config) -> Trainer:
    """Trained to the end with seed 0; not to be trained further or changed."""
    trainer = Trainer(tiny_maze, tiny_config, seed=0)
    trainer.advance(trainer.total_steps)
    return trainer


@pytest.fixture(scope="session")
def tiny_policy(tiny_trainer: Trainer) -> Policy:
    """The policy of `tiny_trainer`; not to be changed."""
    return tiny_trainer.policy()


@pytest.fixture
def tiny_maze_here(tiny_maze_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny maze is the dataset of maze2d-umaze on this machine."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
    return tiny_maze_root


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray of two CPUs for this session of tests, reachable from this machine only."""
    import ray
    from ray._private import ray_constants

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)  # the same, had Ray been imported before
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
        patch.setenv("RAY_AIR_NEW_OUTPUT", "0")
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield
        ray.shutdown()
