"""Data that many tests share: one small maze dataset, really recorded, in a Minari folder of its own."""

from pathlib import Path

import pytest

from mage import scenarios
from mage.data import maze2d
from mage.data.minari_source import load_trajectories
from mage.data.trajectories import Trajectories


@pytest.fixture(scope="session")
def tiny_maze_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MINARI_DATASETS_PATH that holds mage/maze2d/umaze-v0 with 40 episodes."""
    root = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        maze2d.collect("maze2d-umaze", episodes=40, workers=1, reference_episodes=10)
    return root


@pytest.fixture(scope="session")
def tiny_maze(tiny_maze_root: Path) -> Trajectories:
    """40 episodes of the U-maze, 12,000 steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
        return load_trajectories(scenarios.get("maze2d-umaze"), download=False)


@pytest.fixture
def minari_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty MINARI_DATASETS_PATH."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path
