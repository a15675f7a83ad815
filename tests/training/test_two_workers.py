"""Two workers that share every batch learn what one learns of the whole."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing

from mage.algorithms.mage.config import MageConfig
from mage.config import AlgorithmConfig, make_config
from mage.data.trajectories import Trajectories
from mage.files import write_json
from mage.training.artefacts import History
from mage.training.trainer import Trainer


def train(trajectories: Trajectories, config: AlgorithmConfig) -> History:
    """The loss curve of a run."""
    trainer = Trainer(trajectories, config, seed=0)
    trainer.advance(trainer.total_steps)
    return trainer.history


def work(number: int, folder: Path, trajectories: Trajectories, configs: list[AlgorithmConfig]) -> None:
    """One of two workers, in a process of its own; the first leaves the loss curves of all runs."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=number, world_size=2)
    histories = [train(trajectories, config) for config in configs]
    if number == 0:
        write_json(folder / "histories.json", {"histories": histories})
    dist.destroy_process_group()


def test_two_workers_that_share_each_batch_learn_what_one_learns(
    tiny_maze: Trajectories, tiny_config: MageConfig, tmp_path: Path
) -> None:
    configs = []
    for num_scales in (1, 3):
        # no dropout, no restarts and no Gumbel noise, which every worker draws for itself
        data = tiny_config.model_dump(mode="json")
        data["autoencoder"] |= {"dropout": 0.0, "dead_code_threshold": 0.0, "num_scales": num_scales, "scales": None}
        data["transformer"] |= {"dropout": 0.0, "condition_weight": 0.0}
        configs.append(make_config(data))
    multiprocessing.spawn(work, (tmp_path, tiny_maze, configs), nprocs=2)
    shared = json.loads((tmp_path / "histories.json").read_text())["histories"]
    for ours, config in zip(shared, configs, strict=True):
        alone = train(tiny_maze, config)
        for name in ("loss", "reconstruction_error", "cross_entropy"):
            expected = [row[name] for row in alone if name in row]
            assert expected
            assert [row[name] for row in ours if name in row] == pytest.approx(expected, rel=5e-3)
