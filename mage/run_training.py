"""How `mage.train` and `mage.train_seeds` train: in this process or on Ray Train workers, with curves and
checkpoints in the run directories.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mage import __version__, scenarios
from mage.config import AlgorithmConfig, load_config, make_config
from mage.data.environments import check_environment
from mage.data.precision import notes_on
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.files import as_path, expand_variables
from mage.interface import Policy
from mage.progress.trackers.tensorboard import FOLDER, EventFile
from mage.run_directory import TRAINING, Differences, differences, started_otherwise, write_started
from mage.training.artefacts import Log
from mage.training.checkpoint import HERE, ON_WORKERS, check_where, keep_checkpoint, resume_training
from mage.training.disk import check_room
from mage.training.engine import check_shares
from mage.training.inspection import inspect_training
from mage.training.stacked import StackedTrainers, check_stacks
from mage.training.trainer import Trained, Trainer, choose_device, log_row, save_run


class Data(NamedTuple):
    """On what is trained: a scenario, another dataset of it, or a dataset that belongs to none."""

    scenario: str | None
    dataset: str | None
    dataset_namespace: str | None


def train_runs(
    runs: Mapping[int, str | Path | None],
    data: Data,
    preset: str,
    overrides: Iterable[str] | Mapping[str, Any],
    algorithm: str | None,
    resume: bool,
    workers: int,
    log: Log,
) -> list[Policy]:
    """Trains the seeds of one configuration, each with its run directory, if any; `workers` are for one seed."""
    expand_variables()
    known = scenarios.get(data.scenario) if data.scenario else None
    config = load_config(preset, overrides, known.domain if known else None, algorithm, data.scenario)
    folders = {
        seed: check_run_directory(out, config, resume, workers, data._asdict() | {"seed": seed}) if out else None
        for seed, out in runs.items()
    }
    if not workers:
        choose_device(config.training.device)
    check_shares(config, workers)
    trajectories = load_trajectories(known, data.dataset, data.dataset_namespace)
    unplayable = check_environment(trajectories) if trajectories.task.environment_spec else None
    if unplayable:
        log(unplayable)
    for note in notes_on(trajectories):
        log(note)
    if config.training.stacked and len(folders) > 1:
        check_stacks(Trainer(trajectories, config, min(folders)))  # before anything is written
    for seed, folder in folders.items():
        if folder is None:
            continue
        if not resume:
            check_room(folder, trajectories, config, seeds=len(folders))
        TRAINING.write(folder, config.model_dump(mode="json"))
        own = {"seed": seed, "dataset_id": trajectories.task.dataset_id, "workers": workers, "mage": __version__}
        write_started(folder, data._asdict() | own)
    if workers:
        [(seed, folder)] = folders.items()
        trained = train_on_workers(trajectories, config, seed, workers, folder, log)
        if folder:
            save_run(folder, trained)
        return [trained.policy]
    return train_here(trajectories, config, folders, log)


Runs = Mapping[int, Path | None]
"""A run directory a training seed; None: nothing is kept of it."""


def train_here(trajectories: Trajectories, config: AlgorithmConfig, runs: Runs, log: Log) -> list[Policy]:
    """Trains in this process: seed by seed, or all of them at once (`training.stacked`).

    Checkpoints are kept in each run directory, and gone on from; what is trained is saved there as soon as it is.
    """
    torch.set_num_threads(config.training.threads)
    if config.training.stacked:
        return _train_together(trajectories, config, runs, log)
    return [
        policy
        for seed, folder in runs.items()
        for policy in _train_together(trajectories, config, {seed: folder}, log if len(runs) == 1 else named(log, seed))
    ]


def _train_together(trajectories: Trajectories, config: AlgorithmConfig, runs: Runs, log: Log) -> list[Policy]:
    curves = [EventFile(folder / FOLDER) if folder else None for folder in runs.values()]
    trainers: list[Trainer] = []
    for (seed, folder), curve in zip(runs.items(), curves, strict=True):
        data, say = trainers[0].data if trainers else None, log if len(runs) == 1 else named(log, seed)
        trainer = Trainer(trajectories, config, seed, log=say, watch=partial(watch, curve), data=data)
        trainers.append(trainer)
        if folder:
            resume_training(trainer, folder / HERE)
        if trainer.step:
            trainer.log(f"goes on from step {trainer.step} of {trainer.total_steps}")
    crew = trainers[0] if len(trainers) == 1 else StackedTrainers(trainers)
    while crew.step < config.total_steps:
        every = config.training.checkpoint_every
        crew.advance((crew.step // every + 1) * every)
        for trainer, folder in zip(trainers, runs.values(), strict=True):
            if folder:
                keep_checkpoint(trainer, folder / HERE)
    for curve in curves:
        if curve:
            curve.close()
    trained = [Trained(trainer.policy(), trainer.history, inspect_training(trainer)) for trainer in trainers]
    for each, folder in zip(trained, runs.values(), strict=True):
        if folder:
            save_run(folder, each)
    return [each.policy for each in trained]


def watch(curves: EventFile | None, trainer: Trainer) -> None:
    """Tells of a new row of the loss curve, and keeps it."""
    log_row(trainer)
    if curves:
        curves.add_row(trainer.history[-1], trainer.step)


def named(log: Log, seed: int) -> Log:
    """The same, each line with its seed."""
    return lambda line: log(f"seed {seed}: {line}")


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


def check_run_directory(
    out: str | Path, config: AlgorithmConfig, resume: bool, workers: int, started: Mapping[str, Any]
) -> Path:
    """The run directory as a path; `workers` are the workers of a run that is to go on, `started` its data and seed.

    Raises:
        MageError: it is taken, an address or, to resume, holds no run or one of another configuration, data or seed.
    """
    folder = as_path(out)

    def differing() -> Differences:
        then = TRAINING.read(folder, partial(make_config, from_disk=True))
        same = then.hash() == config.hash()  # of what determines the result
        other = {} if same else differences(then.model_dump(mode="json"), config.model_dump(mode="json"))
        return {**started_otherwise(folder, started), **other}

    TRAINING.check(folder, resume, differing)
    if resume:
        check_where(folder, workers)
    return folder
