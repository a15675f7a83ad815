"""A training worker keeps to what Ray gave it, on a node whose GPUs it can see all the same."""

import pytest
import ray
import torch

from mage.config import AlgorithmConfig, make_config
from mage.data.trajectories import Trajectories
from mage.training import ray_train
from mage.training.ray_train import WorkerJob, own_device, train_loop
from mage.training.trainer import Trainer


@pytest.fixture
def gpu_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a node with a GPU, which Ray does not hide from workers that it gave none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.parametrize(
    ("given", "wanted", "device"),
    [
        ([], "auto", "cpu"),
        ([], "cpu", "cpu"),
        ([], "cuda", "cuda"),
        ([0], "auto", "cuda"),
        ([0], "cpu", "cpu"),
        ([0], "cuda", "cuda"),
    ],
)
def test_auto_is_a_gpu_only_where_ray_gave_one(
    gpu_in_sight: None, monkeypatch: pytest.MonkeyPatch, given: list[int], wanted: str, device: str
) -> None:
    monkeypatch.setattr(ray, "get_gpu_ids", lambda: given)
    assert own_device(wanted).type == device


def test_a_worker_without_a_gpu_trains_on_its_cpu(
    gpu_in_sight: None, monkeypatch: pytest.MonkeyPatch, tiny_maze: Trajectories, tiny_config: AlgorithmConfig
) -> None:
    trained: list[Trainer] = []
    monkeypatch.setattr(ray, "get_gpu_ids", list)
    monkeypatch.setattr(ray, "get", lambda reference: reference)
    monkeypatch.setattr(ray.train, "get_checkpoint", lambda: None)
    monkeypatch.setattr(ray_train, "report", lambda trainers, *_, **__: trained.extend(trainers))
    config = make_config(tiny_config.model_dump(), ["training.device=auto", "training.checkpoint_every=1000"])
    train_loop(WorkerJob(tiny_maze, config.model_dump(mode="json"), folder=None, seeds=(0,)))
    (trainer,) = trained
    assert trainer.step == trainer.total_steps
    assert trainer.data.device.type == trainer.stage.device.type == "cpu"
