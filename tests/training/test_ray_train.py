"""Training on Ray Train workers is the training of this process."""

import threading
import time
from pathlib import Path

import pytest
import ray

from mage.config import Config, make_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.model.policy import Policy
from mage.training.ray_board import Message, shown_board
from mage.training.ray_train import Placement, train_with_ray
from mage.training.trainer import Trainer
from tests.processes import flip_last_byte, kill_children

pytestmark = pytest.mark.ray


def train_here(trajectories: Trajectories, config: Config) -> list[dict]:
    """The loss curve of an undisturbed run in this process."""
    trainer = Trainer(trajectories, config, seed=0)
    trainer.advance(trainer.total_steps)
    return trainer.history


@pytest.fixture(scope="module")
def undisturbed(tiny_maze: Trajectories, tiny_config: Config) -> list[dict]:
    """The loss curve of a run in this process that nothing happened to."""
    return train_here(tiny_maze, tiny_config)


def test_one_ray_worker_gives_the_loss_curve_of_a_plain_process(
    ray_cluster: None, tiny_maze: Trajectories, tiny_config: Config, undisturbed: list[dict], tmp_path: Path
) -> None:
    told: list[Message] = []
    with shown_board(told.append) as board:
        trained = train_with_ray(ray.put(tiny_maze), tiny_config, [0, 1], "run", tmp_path, board=board, trial="a")
    (policy, history, _), (other_policy, other_history, _) = trained
    assert (policy.training_seed, other_policy.training_seed) == (0, 1)
    assert history == undisturbed
    assert other_history != undisturbed
    assert any(str(message).startswith("seed 1: transformer") for message in told)
    steps = [message.step for message in told if message.trial == "a" and message.seed == 0 and message.step]
    assert [dict(step.row) for step in steps] == [row for row in history if row["stage"] != "codebook"]
    assert [step.total_step for step in steps] == [10, 20, 30, 40, 50, 60, 70]
    assert [message.step.fraction for message in told if message.step][-1] == 1.0


@pytest.mark.parametrize("num_scales", [1, 3])
def test_two_workers_that_share_each_batch_learn_what_one_learns(
    ray_cluster: None, tiny_maze: Trajectories, tiny_config: Config, tmp_path: Path, num_scales: int
) -> None:
    # no dropout, no restarts and no Gumbel noise, which every worker draws for itself
    data = tiny_config.model_dump(mode="json")
    data["autoencoder"] |= {"dropout": 0.0, "dead_code_threshold": 0.0, "num_scales": num_scales, "scales": None}
    data["transformer"] |= {"dropout": 0.0, "condition_weight": 0.0}
    config = make_config(data)
    ((_, shared, _),) = train_with_ray(ray.put(tiny_maze), config, [0], "run", tmp_path, Placement(workers=2))
    alone = train_here(tiny_maze, config)
    for name in ("loss", "reconstruction_error", "cross_entropy"):
        ours = [row[name] for row in shared if name in row]
        assert ours == pytest.approx([row[name] for row in alone if name in row], rel=5e-3)


def test_one_of_two_workers_that_knows_better_ends_training_at_once_with_its_sentence(
    ray_cluster: None, tiny_maze: Trajectories, tiny_config: Config, tmp_path: Path
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


def test_a_killed_worker_goes_on_from_its_checkpoint_as_if_nothing_had_happened(
    ray_cluster: None, tiny_maze: Trajectories, tiny_config: Config, tmp_path: Path
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
    assert history == train_here(tiny_maze, config)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    ray_cluster: None, tiny_maze: Trajectories, tiny_config: Config, undisturbed: list[dict], tmp_path: Path
) -> None:
    training = tiny_config.training.model_copy(update={"checkpoint_every": 50})
    config = tiny_config.model_copy(update={"training": training})
    train_with_ray(ray.put(tiny_maze), config, [0], "run", tmp_path)
    *_, newest = sorted((tmp_path / "run").glob("checkpoint_*/"))
    flip_last_byte(newest / "seed-0" / "policy.safetensors")
    told: list[Message] = []
    with shown_board(told.append) as board:
        ((_, history, _),) = train_with_ray(ray.put(tiny_maze), config, [0], "run", tmp_path, board=board)
    damaged = "policy.safetensors is not what was written; the checkpoint before it is tried"
    assert any(damaged in message.text for message in told)
    assert any("goes on from step 50 of 70" in message.text for message in told)
    assert history == undisturbed
