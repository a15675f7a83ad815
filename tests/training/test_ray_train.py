"""Training on Ray Train workers is the training of this process."""

import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import ray
from ray.train import Checkpoint

from mage.algorithms.mage.config import MageConfig
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.files import seal
from mage.interface import Policy
from mage.progress.ray_board import Message, shown_board
from mage.training.checkpoint import load_newest
from mage.training.inspection import inspect_training
from mage.training.ray_checkpoints import CHECKPOINT_PREFIX, load_seeds, newest_first, seed_folder
from mage.training.ray_train import Placement, train_with_ray
from mage.training.trainer import Trainer
from tests.processes import flip_last_byte, kill_children


@pytest.mark.ray
def test_one_ray_worker_gives_the_loss_curve_and_the_inspection_of_a_plain_process(
    ray_cluster: None, tiny_maze: Trajectories, tiny_config: MageConfig, tiny_trainer: Trainer, tmp_path: Path
) -> None:
    told: list[Message] = []
    interrupted = signal.getsignal(signal.SIGINT)
    with shown_board(told.append) as board:
        trained = train_with_ray(ray.put(tiny_maze), tiny_config, [0, 1], "run", tmp_path, board=board, trial="a")
    assert signal.getsignal(signal.SIGINT) is interrupted
    (policy, history, inspection), (other_policy, other_history, _) = trained
    assert (policy.training_seed, other_policy.training_seed) == (0, 1)
    assert history == tiny_trainer.history
    assert other_history != history
    assert inspection == inspect_training(tiny_trainer)
    assert any(str(message).startswith("seed 1: transformer") for message in told)
    steps = [message.step for message in told if message.trial == "a" and message.seed == 0 and message.step]
    assert [dict(step.row) for step in steps] == [row for row in history if row["stage"] != "codebook"]
    assert [step.total_step for step in steps] == [10, 20, 30, 40, 50, 60, 70]
    assert [message.step.fraction for message in told if message.step][-1] == 1.0


@pytest.mark.ray
def test_a_worker_trains_its_seeds_at_once_as_it_would_one_by_one(
    ray_cluster: None, tiny_maze: Trajectories, tiny_config: MageConfig, tmp_path: Path
) -> None:
    often = tiny_config.training.model_copy(update={"stacked": True, "checkpoint_every": 35})
    config = tiny_config.model_copy(update={"training": often})
    for seed, together in enumerate(train_with_ray(ray.put(tiny_maze), config, [0, 1], "run", tmp_path)):
        alone = Trainer(tiny_maze, tiny_config, seed)
        alone.advance(alone.total_steps)
        assert together.policy.training_seed == seed
        assert together.history[-1]["loss"] == pytest.approx(alone.history[-1]["loss"], rel=1e-3)


@pytest.mark.ray
def test_one_of_two_workers_that_knows_better_ends_training_at_once_with_its_sentence(
    ray_cluster: None, tiny_maze: Trajectories, tiny_config: MageConfig, tmp_path: Path
) -> None:
    def score(policies: list[Policy]) -> float:  # only the first worker is asked; the other waits for it
        raise MageError("there is nothing to play")

    told: list[Message] = []
    with (
        shown_board(told.append) as board,
        pytest.raises(MageError, match=r"^there is nothing to play$"),
    ):
        train_with_ray(
            ray.put(tiny_maze),
            tiny_config,
            [0],
            "run",
            tmp_path,
            Placement(workers=2),
            board=board,
            evaluations=1,
            score=score,
        )
    assert [message.doing for message in told].count("evaluating, short") == 1
    assert not [message for message in told if message.is_trouble]


@pytest.mark.ray
def test_a_killed_worker_goes_on_from_its_checkpoint_as_if_nothing_had_happened(
    ray_cluster: None, tiny_maze: Trajectories, tiny_config: MageConfig, tmp_path: Path
) -> None:
    training = tiny_config.training
    longer = training.transformer.model_copy(update={"steps": 600})
    training = training.model_copy(update={"transformer": longer, "checkpoint_every": 50})
    config = tiny_config.model_copy(update={"training": training})
    told: list[Message] = []
    killed: list[int] = []

    def kill_the_worker() -> None:
        deadline = time.time() + 300
        while not killed and time.time() < deadline:
            time.sleep(0.02)
            if any("transformer 100/600" in message.text for message in told):
                killed.extend(kill_children("RayTrainWorker"))

    killer = threading.Thread(target=kill_the_worker)
    killer.start()
    with shown_board(told.append) as board:
        ((_, history, _),) = train_with_ray(ray.put(tiny_maze), config, [0], "run", tmp_path, board=board)
    killer.join()
    assert killed
    assert any("goes on from step" in message.text for message in told)
    undisturbed = Trainer(tiny_maze, config, seed=0)
    undisturbed.advance(undisturbed.total_steps)
    assert history == undisturbed.history


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tiny_maze: Trajectories, tiny_config: MageConfig, tiny_trainer: Trainer, tmp_path: Path
) -> None:
    trainer = Trainer(tiny_maze, tiny_config, seed=0)
    for step in (50, 60, 70):
        trainer.advance(step)
        folder = tmp_path / f"{CHECKPOINT_PREFIX}{step}"
        trainer.save(seed_folder(folder, seed=0))
        seal(folder)
    flip_last_byte(tmp_path / f"{CHECKPOINT_PREFIX}60" / "seed-0" / "optimisers.safetensors")
    told: list[str] = []
    # Ray names the newest that was reported; what is newer was left by a worker that died before it could
    checkpoints = newest_first(Checkpoint.from_directory(tmp_path / f"{CHECKPOINT_PREFIX}60"))
    again = Trainer(tiny_maze, tiny_config, seed=0, log=told.append)
    load_newest(checkpoints, partial(load_seeds, [again]), again.log)
    assert "optimisers.safetensors is not what was written; the checkpoint before it is tried" in told[0]
    assert again.step == 50
    again.advance(again.total_steps)
    assert again.history == tiny_trainer.history
