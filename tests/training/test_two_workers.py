"""Two workers that share every batch learn what one learns of the whole."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing

from mage.algorithms.mage.config import MageConfig
from mage.config import AlgorithmConfig, make_config
from mage.data.trajectories import Trajectories
from mage.files import write_json
from mage.training.trainer import Trainer
from tests.golden.test_training import digests


def train(trajectories: Trajectories, config: AlgorithmConfig) -> Trainer:
    """A run to its end."""
    trainer = Trainer(trajectories, config, seed=0)
    trainer.advance(trainer.total_steps)
    return trainer


def work(number: int, folder: Path, trajectories: Trajectories, configs: list[AlgorithmConfig]) -> None:
    """One of two workers, in a process of its own; leaves loss curves and digests of the weights of all runs."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=number, world_size=2)
    runs = [train(trajectories, config) for config in configs]
    found = {"histories": [run.history for run in runs], "weights": [digests(run) for run in runs]}
    write_json(folder / f"worker-{number}.json", found)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def same_noise(tiny_config: MageConfig) -> list[AlgorithmConfig]:
    """Without dropout, restarts and Gumbel noise, which every worker draws for itself; of one scale and of three."""
    configs = []
    for num_scales in (1, 3):
        data = tiny_config.model_dump(mode="json")
        data["autoencoder"] |= {"dropout": 0.0, "dead_code_threshold": 0.0, "num_scales": num_scales, "scales": None}
        data["transformer"] |= {"dropout": 0.0, "condition_weight": 0.0}
        configs.append(make_config(data))
    return configs


@pytest.fixture(scope="module")
def own_noise(tiny_config: MageConfig) -> AlgorithmConfig:
    """With dropout, codes that are restarted, and L_cond on free-running draws."""
    data = tiny_config.model_dump(mode="json")
    data["autoencoder"] |= {"dead_code_threshold": 3.0}
    data["transformer"] |= {"condition_weight": 1.0, "condition_latent": "free_running"}
    return make_config(data)


@pytest.fixture(scope="module")
def workers(
    tiny_maze: Trajectories,
    same_noise: list[AlgorithmConfig],
    own_noise: AlgorithmConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[dict[str, Any]]:
    """What each of two workers leaves of all runs, the one with own noise the last."""
    folder = tmp_path_factory.mktemp("workers")
    multiprocessing.spawn(work, (folder, tiny_maze, [*same_noise, own_noise]), nprocs=2)
    return [json.loads((folder / f"worker-{number}.json").read_text()) for number in range(2)]


def test_workers_that_restart_codes_and_draw_noise_of_their_own_keep_the_same_weights(
    workers: list[dict[str, Any]], tiny_maze: Trajectories, own_noise: AlgorithmConfig
) -> None:
    first, second = (worker["weights"][-1] for worker in workers)
    assert first == second
    assert {name.split(".")[0] for name in first} == {"autoencoder", "transformer", "adapted_decoder"}
    ours, alone = workers[0]["histories"][-1], train(tiny_maze, own_noise).history
    assert max(row["code_restarts"] for row in ours if "code_restarts" in row) > 16
    for name in ("reconstruction_error", "cross_entropy", "condition_error"):
        (*_, expected), (*_, found) = ([row[name] for row in rows if name in row] for rows in (alone, ours))
        assert found == pytest.approx(expected, rel=0.3)  # other noise


def test_two_workers_that_share_each_batch_learn_what_one_learns(
    workers: list[dict[str, Any]], tiny_maze: Trajectories, same_noise: list[AlgorithmConfig]
) -> None:
    for ours, config in zip(workers[0]["histories"], same_noise, strict=False):
        alone = train(tiny_maze, config).history
        for name in ("loss", "reconstruction_error", "cross_entropy"):
            expected = [row[name] for row in alone if name in row]
            assert expected
            assert [row[name] for row in ours if name in row] == pytest.approx(expected, rel=5e-3)
