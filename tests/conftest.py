"""What many tests share: one small maze dataset, really recorded, and a tiny policy, really trained on it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from mage import scenarios
from mage.algorithms.mage.config import MageConfig
from mage.config import make_config
from mage.data import maze2d
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories
from mage.evaluation.inspection import inspect_rollouts
from mage.inspection.document import Inspection
from mage.interface import Policy
from mage.testing import AlgorithmContract
from mage.training.inspection import inspect_training
from mage.training.trainer import Trainer

os.environ["HF_HUB_OFFLINE"] = "1"  # a missing dataset is missing at once; read when the hub's client is imported
torch.set_num_threads(1)
settings.register_profile("mage", deadline=None)  # how long a first call takes says nothing
settings.load_profile("mage")

CONTRACT_ON_RAY = {
    name
    for name, test in vars(AlgorithmContract).items()
    if any(mark.name == "ray" for mark in getattr(test, "pytestmark", ()))
}


@cache
def work_unit(file: Path, test_class: str = "", test: str = "") -> tuple[int, str]:
    """What pytest-xdist gives to one process, as (when, name): a file, or what must not run at once, or an algorithm.

    One process holds the Ray of `ray_cluster`, so it gets all files with a test that joins it; the machines of
    `tests/cluster` have the same addresses in each of its files. What takes longest comes first.
    """
    text = file.read_text()
    if file.parent.name == "cluster":
        return 1, "cluster"
    if "ray_cluster" in text or "ray_address" in text or test.partition("[")[0] in CONTRACT_ON_RAY:
        return 0, "ray"
    if "AlgorithmContract" in text:
        return 2, f"{file}::{test_class}"
    alone = {"pytest.mark.ray": 1, "pytest.mark.slow": 2}
    return next((when for mark, when in alone.items() if mark in text), 3), str(file)


def unit_of(root: Path, nodeid: str) -> tuple[int, str]:
    """The same, of a test by its id: `tests/test_cli.py::TestClass::test_name[parameters]`."""
    file, _, names = nodeid.partition("::")
    test_class, _, test = names.rpartition("::")
    return work_unit(root / file, test_class, test)


class ByWorkUnit(LoadScopeScheduling):
    """Gives the processes one work unit after the other.

    pytest-xdist 3.8 has marks for groups, which pytest 9.2 makes void (pytest-xdist issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(self.config.rootpath, nodeid)[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByWorkUnit:
    """Takes the units in the order of collection, not by their number of tests."""
    config.option.loadscopereorder = False
    return ByWorkUnit(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Brings the tests into the order of their work units."""
    items.sort(key=lambda item: unit_of(config.rootpath, item.nodeid)[0])


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is cached in the home folder, here and in the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAGE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def own_ray() -> Iterator[None]:
    """No test finds the Ray that one in another process has started.

    `ray.cluster_utils.Cluster` notes its address where `ray start` does, and whoever names no address joins that one.
    """
    folder = mkdtemp(prefix="r")  # short: Ray's sockets have 107 bytes for their paths
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_worker_niceness", "0")  # else workers starve beside the processes that run other tests
        yield
    shutil.rmtree(folder, ignore_errors=True)


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
def tiny_config() -> MageConfig:
    """All three stages of MAGE in 70 steps, about half a second."""
    stage = {"batch_size": 16, "learning_rate": 4e-3, "warmup_steps": 5}
    network = {"embed_dim": 16, "num_heads": 2, "dropout": 0.1}
    blocks = {"encoder_blocks": 1, "decoder_blocks": 1}
    codes = {"codebook_size": 16, "code_dim": 8, "num_scales": 3, "scales": [1, 3, 8]}
    config = make_config(
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
    assert isinstance(config, MageConfig)
    return config


@pytest.fixture(scope="session")
def tiny_trainer(tiny_maze: Trajectories, tiny_config: MageConfig) -> Trainer:
    """Trained to the end with seed 0; not to be trained further or changed."""
    trainer = Trainer(tiny_maze, tiny_config, seed=0)
    trainer.advance(trainer.total_steps)
    return trainer


@pytest.fixture(scope="session")
def tiny_policy(tiny_trainer: Trainer) -> Policy:
    """The policy of `tiny_trainer`; not to be changed."""
    return tiny_trainer.policy()


@pytest.fixture(scope="session")
def tiny_inspection(tiny_trainer: Trainer) -> Inspection:
    """What training says of `tiny_trainer`; not to be changed."""
    return inspect_training(tiny_trainer)


@pytest.fixture(scope="session")
def tiny_scan(tiny_policy: Policy, tiny_inspection: Inspection) -> Inspection:
    """The same with rollouts, of 3 episodes a target; not to be changed."""
    (rollouts,) = inspect_rollouts([tiny_policy], [tiny_inspection["targets"]], 3)
    return tiny_inspection | {"rollouts": rollouts}


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
        start = partial(
            ray.init, "local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error"
        )
        for _ in range(5):  # Ray's processes must be there in 30 seconds, which a busy machine may miss
            with suppress(Exception):
                start()
                break
            ray.shutdown()
        else:
            start()
        yield
        ray.shutdown()


@pytest.fixture
def ray_address(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the Ray of these tests is, for the processes that a test starts and that join it."""
    import ray

    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # else Ray does not show its token to an address that it is told
    return str(ray.get_runtime_context().gcs_address)
