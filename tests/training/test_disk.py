"""A disk that has no room for what a training leaves is told of before the training."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

import mage
from mage.config import load_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.search.settings import make_settings
from mage.search.sweep import prepare_sweep
from mage.training.checkpoint import KEPT, keep_checkpoint
from mage.training.disk import check_room, existing, size_of_weights
from mage.training.trainer import Trainer

Usage = namedtuple("Usage", ["total", "used", "free"])
BC = ["algorithm=bc", "training.reference.steps=5", "training.device=cpu"]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**12, 10**12 - 1000, 1000))


@pytest.mark.parametrize("algorithm", ["bc", "iql", "mage"])
def test_what_is_asked_for_holds_all_that_a_training_writes(
    algorithm: str, tiny_maze: Trajectories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(overrides={"training.device": "cpu"}, algorithm=algorithm, domain="maze2d")
    trainer = Trainer(tiny_maze, config, 0)
    trainer.stage.train_until(2)
    keep_checkpoint(trainer, tmp_path / "checkpoints")
    one = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    policy = trainer.policy()
    policy.save(tmp_path / "policy")
    left = sum(path.stat().st_size for path in (tmp_path / "policy").rglob("*"))
    weights = size_of_weights(tiny_maze, config)
    assert one + left <= 1.05 * 4 * weights + 50_000
    assert left >= weights
    most = (3 * (KEPT + 1) + 1) * weights
    for free, fits in ((most, True), (most - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: Usage(10**12, 0, free))
        if fits:
            check_room(tmp_path / "run", tiny_maze, config)
        else:
            with pytest.raises(MageError, match=r"checkpoints and policies in .* take up to .*choose another --out"):
                check_room(tmp_path / "run", tiny_maze, config)


def test_a_training_and_a_sweep_say_so_before_they_begin(full: None, tiny_maze_here: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    with pytest.raises(MageError, match="free some space"):
        mage.train("maze2d-umaze", overrides=BC, out=out)
    space = {"behaviour_cloning.hidden_dim": [8]}
    with pytest.raises(MageError, match="free some space"):
        prepare_sweep(make_settings(scenarios=["maze2d-umaze"], algorithm="bc", space=space), out)
    assert not out.parent.exists()


def test_what_is_measured_draws_no_random_numbers_and_finds_a_folder_to_be(
    tiny_maze: Trajectories, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    size_of_weights(tiny_maze, load_config(algorithm="bc"))
    assert torch.equal(torch.get_rng_state(), before)
    assert existing(tmp_path / "a" / "b") == tmp_path
