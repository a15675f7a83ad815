"""A run in this process, stopped, with what it left on disk damaged, and resumed."""

from pathlib import Path

import pytest

from mage.config import AlgorithmConfig
from mage.data.trajectories import Trajectories
from mage.errors import DamagedError, MageError
from mage.training.checkpoint import KEPT, check_where, keep_checkpoint, kept_checkpoints, resume_training
from mage.training.trainer import Trainer
from tests.processes import flip_last_byte


@pytest.fixture
def folder(tiny_maze: Trajectories, tiny_config: AlgorithmConfig, tmp_path: Path) -> Path:
    """The checkpoints of a run that was stopped in stage 2, after a checkpoint every 10 steps."""
    trainer = Trainer(tiny_maze, tiny_config, seed=0)
    for step in (10, 20, 30, 40, 50):
        trainer.advance(step)
        keep_checkpoint(trainer, tmp_path)
    return tmp_path


def finished(trajectories: Trajectories, config: AlgorithmConfig, folder: Path, lines: list[str]) -> Trainer:
    trainer = Trainer(trajectories, config, seed=0, log=lines.append)
    resume_training(trainer, folder)
    lines.append(f"step {trainer.step}")
    trainer.advance(trainer.total_steps)
    return trainer


def test_the_last_two_checkpoints_are_kept(folder: Path) -> None:
    assert [path.name for path in kept_checkpoints(folder)] == ["step-000000050", "step-000000040"]
    assert len(list(folder.iterdir())) == KEPT


def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_the_run_ends_the_same(
    folder: Path, tiny_maze: Trajectories, tiny_config: AlgorithmConfig, tiny_trainer: Trainer
) -> None:
    newest, _ = kept_checkpoints(folder)
    flip_last_byte(newest / "weights.safetensors")
    lines: list[str] = []
    trainer = finished(tiny_maze, tiny_config, folder, lines)
    assert lines[0].endswith("weights.safetensors is not what was written; the checkpoint before it is tried")
    assert "step 40" in lines
    assert trainer.history == tiny_trainer.history


def test_a_checkpoint_that_was_being_written_is_never_read(
    folder: Path, tiny_maze: Trajectories, tiny_config: AlgorithmConfig, tiny_trainer: Trainer
) -> None:
    newest, _ = kept_checkpoints(folder)
    newest.rename(folder / ".step-000000060")  # the name that it has until it is whole
    lines: list[str] = []
    assert finished(tiny_maze, tiny_config, folder, lines).history == tiny_trainer.history
    assert "step 40" in lines


def test_without_a_whole_checkpoint_the_run_says_so_and_begins_nothing(
    folder: Path, tiny_maze: Trajectories, tiny_config: AlgorithmConfig
) -> None:
    for path in kept_checkpoints(folder):
        (path / "training.json").write_text("{")
    with pytest.raises(DamagedError, match=r"step-000000040 is damaged: .* no whole checkpoint before it"):
        finished(tiny_maze, tiny_config, folder, [])


def test_a_run_without_checkpoints_begins_at_the_beginning(
    tmp_path: Path, tiny_maze: Trajectories, tiny_config: AlgorithmConfig
) -> None:
    lines: list[str] = []
    finished(tiny_maze, tiny_config, tmp_path / "none", lines)
    assert lines[0] == "step 0"


def test_a_run_goes_on_where_it_was_trained(tmp_path: Path) -> None:
    for folder in (
        "here/checkpoints/step-000000005",
        "there/training/train",
        "both/checkpoints/step-1",
        "both/training",
    ):
        (tmp_path / folder).mkdir(parents=True)
    for workers, name, said in ((2, "here", "without workers"), (0, "there", "with --workers N")):
        with pytest.raises(MageError, match=said):
            check_where(tmp_path / name, workers)
    for workers, name in ((0, "here"), (1, "there"), (0, "both"), (2, "both"), (0, "nowhere"), (3, "nowhere")):
        check_where(tmp_path / name, workers)
