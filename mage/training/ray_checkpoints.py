"""What a group of Ray Train workers reports: metrics, and a checkpoint with a folder a training seed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import ray.train
from pyarrow.fs import FileSelector, FileType
from ray.train import Checkpoint

from mage.distributed import rank
from mage.files import seal, write_json
from mage.training.artefacts import History
from mage.training.inspection import inspect_training
from mage.training.ray_faults import Say, upload_patiently
from mage.training.trainer import Trainer

CHECKPOINT_PREFIX = "checkpoint_"  # Ray's name, followed by the time


def report(trainers: list[Trainer], metrics: dict[str, float], told: Say, with_policies: bool = False) -> None:
    """Reports metrics with a checkpoint of all seeds; every worker calls it, the first one writes."""
    metrics = metrics | {"step": float(sum(trainer.step for trainer in trainers))}
    if rank() != 0:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        for trainer in trainers:
            trainer.save(seed_folder(folder, trainer.seed))
            if with_policies:
                trainer.policy().save(seed_folder(folder, trainer.seed))
                write_json(seed_folder(folder, trainer.seed) / "inspection.json", inspect_training(trainer))
        seal(Path(folder))
        checkpoint = Checkpoint.from_directory(folder)
        ray.train.report(metrics, checkpoint=checkpoint, checkpoint_upload_fn=upload_patiently(told))


def newest_first(newest: Checkpoint) -> Iterator[AbstractContextManager[Path]]:
    """A checkpoint and those that Ray keeps before it, each to be opened as a local folder."""
    place = PurePosixPath(newest.path)
    beside = newest.filesystem.get_file_info(FileSelector(str(place.parent)))
    names = [info.base_name for info in beside if info.type == FileType.Directory]
    for name in sorted(names, reverse=True):
        if name.startswith(CHECKPOINT_PREFIX) and name <= place.name:
            yield opened(Checkpoint(str(place.parent / name), newest.filesystem))


@contextmanager
def opened(checkpoint: Checkpoint) -> Iterator[Path]:
    """The checkpoint as a local folder, downloaded if it is elsewhere."""
    with checkpoint.as_directory() as folder:
        yield Path(folder)


def load_seeds(trainers: list[Trainer], folder: Path) -> None:
    """Goes on from a checkpoint of all seeds."""
    for trainer in trainers:
        trainer.load(seed_folder(folder, trainer.seed))


def read_history(folder: Path) -> History:
    """The loss curve that a checkpoint of one seed remembers."""
    history: History = json.loads((folder / "training.json").read_text())["history"]
    return history


def read_inspection(folder: Path) -> dict[str, Any]:
    """What the first worker found when training was done."""
    inspection: dict[str, Any] = json.loads((folder / "inspection.json").read_text())
    return inspection


def seed_folder(folder: str | Path, seed: int) -> Path:
    """Where a checkpoint keeps one training seed."""
    return Path(folder) / f"seed-{seed}"
