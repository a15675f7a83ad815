"""How `mage.train` trains: in this process or on Ray Train workers, its curves and checkpoints in the run directory."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import torch

from mage.config import AlgorithmConfig
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.progress.trackers.tensorboard import FOLDER, EventFile
from mage.training.artefacts import Log
from mage.training.checkpoint import HERE, ON_WORKERS, keep_checkpoint, resume_training
from mage.training.inspection import inspect_training
from mage.training.trainer import Trained, Trainer, log_row


def train_here(
    trajectories: Trajectories, config: AlgorithmConfig, seed: int, folder: Path | None, log: Log
) -> Trained:
    """Trains in this process; in `folder`, where there is one, it keeps checkpoints and goes on from them."""
    torch.set_num_threads(config.training.threads)
    curves = EventFile(folder / FOLDER) if folder else None

    def watch(trainer: Trainer) -> None:
        log_row(trainer)
        if curves:
            curves.add_row(trainer.history[-1], trainer.step)

    trainer = Trainer(trajectories, config, seed, log=log, watch=watch)
    if folder:
        resume_training(trainer, folder / HERE)
    if trainer.step:
        log(f"goes on from step {trainer.step} of {trainer.total_steps}")
    while trainer.step < trainer.total_steps:
        every = config.training.checkpoint_every
        trainer.advance((trainer.step // every + 1) * every)
        if folder:
            keep_checkpoint(trainer, folder / HERE)
    if curves:
        curves.close()
    return Trained(trainer.policy(), trainer.history, inspect_training(trainer))


def train_on_workers(
    trajectories: Trajectories, config: AlgorithmConfig, seed: int, workers: int, folder: Path | None, log: Log
) -> Trained:
    """Trains on so many Ray Train workers; Ray is started where none runs."""
    import ray

    from mage.progress.ray_board import Message, shown_board
    from mage.search.placement import fit_to_cluster
    from mage.training.ray_death import ends_with_ray
    from mage.training.ray_start import start_ray
    from mage.training.ray_train import train_with_ray

    log(f"the training runs on {start_ray()}")
    curves = EventFile(folder / FOLDER) if folder else None

    def show(message: Message) -> None:
        log(str(message))
        if curves and message.step:
            with suppress(MageError):  # a disk that is full is waited for, and metrics.jsonl has the curve, too
                curves.add_row(message.step.row, message.step.total_step)

    placement = fit_to_cluster(trials=1, workers=workers, device=config.training.device).trial
    kept = "the same command with --resume goes on from the last checkpoint" if folder else "train again, with out="
    with ends_with_ray(kept), tempfile.TemporaryDirectory() as nowhere, shown_board(show) as board:
        storage = (folder or Path(nowhere)).absolute() / ON_WORKERS
        return train_with_ray(ray.put(trajectories), config, [seed], "train", storage, placement, board=board)[0]
