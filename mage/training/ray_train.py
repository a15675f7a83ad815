"""The same training on Ray Train workers: any number of them, on CPUs or GPUs, resumed when one dies.

One worker group trains all seeds of a configuration, all stages: starting a group costs 5 to 20 seconds, whatever it
does then.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig
from ray.train.v2.api.callback import UserCallback

from mage import registry
from mage.config import AlgorithmConfig, make_config
from mage.data.trajectories import Trajectories
from mage.distributed import all_agree, rank
from mage.errors import MageError
from mage.files import check_seal
from mage.interface.policy import Policy, load_policy
from mage.progress.ray_board import Message, Teller
from mage.training.checkpoint import KEPT, load_newest
from mage.training.ray_checkpoints import (
    load_seeds,
    newest_first,
    opened,
    read_history,
    read_inspection,
    report,
    seed_folder,
)
from mage.training.ray_faults import SayWhatDied, as_mage_error
from mage.training.ray_lean import LeanTorchTrainer
from mage.training.ray_turns import wait_for_turn
from mage.training.stacked import StackedTrainers
from mage.training.trainer import Trained, Trainer, choose_device

MAX_WORKER_FAILURES = 2


@dataclass(frozen=True)
class Placement:
    """What one training run takes of the cluster.

    Attributes:
        workers: Ray Train workers (their gradients are averaged), each on one node, together on any.
        cpus_per_worker: as it says.
        gpus_per_worker: 0 to 1; workers with a fraction of a GPU share it, with each other or with evaluation.
        backend: `nccl` or `gloo`; nccl refuses two workers of a run on one GPU.
    """

    workers: int = 1
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0.0
    backend: str = "gloo"

    @property
    def use_gpu(self) -> bool:
        """Whether the workers get GPUs."""
        return self.gpus_per_worker > 0


@dataclass(frozen=True)
class WorkerJob:
    """What a training worker is sent; plain data, but for what Ray sends by reference.

    Attributes:
        trajectories: in Ray's object store.
        config: as JSON; its class is only found once `folder` is looked into.
        folder: of the class, where it is the user's own.
        seeds: one policy each.
        artefacts: folder of what stages share.
        teller: hears how far the worker is.
        evaluations: how often `score` is asked, inside the stage that makes what it judges.
        score: of the policies so far.
    """

    trajectories: ray.ObjectRef[Trajectories]
    config: dict[str, Any]
    folder: str | None
    seeds: tuple[int, ...]
    artefacts: str | None = None
    teller: Teller = field(default_factory=Teller)
    evaluations: int = 0
    score: Callable[[list[Policy]], float] | None = None


def train_with_ray(
    trajectories: ray.ObjectRef[Trajectories],
    config: AlgorithmConfig,
    seeds: Sequence[int],
    name: str,
    storage: str | Path,
    placement: Placement = Placement(),
    artefacts: Path | None = None,
    board: Any = None,
    trial: str = "",
    evaluations: int = 0,
    score: Callable[[list[Policy]], float] | None = None,
    callbacks: Sequence[UserCallback] = (),
) -> list[Trained]:
    """Trains one policy per seed on a group of Ray Train workers; returns each with its loss curve and inspection.

    Args:
        trajectories: in Ray's object store, shared by the workers of a node.
        name: of the run; the same name and storage go on from the last checkpoint there.
        storage: folder or URI that all nodes reach.
        board: a `mage.progress.ray_board` handle to tell of progress.
        trial: that the messages there are about.
        evaluations: how often to report what `score` says of the policies so far, inside the stage that makes them.
        score: called in the first worker, while the others wait; reported as `score`, with a count as `eval_step`.

    Raises:
        MageError: a worker's own, at once; or why training failed when its workers had died too often.
    """
    # the controller looks for reports every 2 s by default, and a report waits for it
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    # workers that wait for their turn should keep their place in Ray's queue; by default they give it up every minute
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "86400")
    # a process a group that only logs that a cloud will take a node away; checkpoints come often enough without it
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    # a class of the user's is imported here, where its configuration may have come from another process: its folder
    # is then known, for the workers, and its policies can be read
    registry.get(config.algorithm)
    job = WorkerJob(
        trajectories,
        config.model_dump(mode="json"),
        registry.folder_of(config.algorithm),
        tuple(seeds),
        str(artefacts) if artefacts else None,
        Teller(board, trial),
        evaluations if score else 0,
        score,
    )
    trainer = LeanTorchTrainer(
        partial(train_loop, job),
        torch_config=TorchConfig(backend=placement.backend),
        scaling_config=ScalingConfig(
            num_workers=placement.workers,
            use_gpu=placement.use_gpu,
            resources_per_worker={"CPU": placement.cpus_per_worker}
            | ({"GPU": placement.gpus_per_worker} if placement.use_gpu else {}),
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(storage),
            failure_config=FailureConfig(max_failures=MAX_WORKER_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=KEPT),
            callbacks=[SayWhatDied(job.teller.complain, MAX_WORKER_FAILURES), *callbacks],
        ),
    )
    wait_for_turn()
    try:
        with interrupts_kept():
            result = trainer.fit()
    except TrainingFailedError as error:
        raise as_mage_error(error) from None
    if result.checkpoint is None:
        raise MageError(f"training {name} left no checkpoint in {storage}; look at the workers' logs")
    with opened(result.checkpoint) as folder:
        check_seal(folder)
        folders = [seed_folder(folder, seed) for seed in seeds]
        return [Trained(load_policy(own), read_history(own), read_inspection(own)) for own in folders]


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Ctrl-C afterwards does what it did before; Ray Train leaves a handler that asks a controller which is gone."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def train_loop(job: WorkerJob) -> None:
    """What each Ray Train worker runs: all seeds, up to one milestone after the other."""
    if job.teller.board is not None:
        worker = ray.get_runtime_context().current_actor
        job.teller.board.hold.remote(worker, ray.util.get_current_placement_group())
    trainers = make_trainers(job)
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        load_newest(newest_first(checkpoint), partial(load_seeds, trainers), trainers[0].log)
        for trainer in trainers:
            trainer.log(f"goes on from step {trainer.step} of {trainer.total_steps}")
    every, complain = trainers[0].config.training.checkpoint_every, job.teller.complain
    stacked = trainers[0].config.training.stacked and len(trainers) > 1
    together = [StackedTrainers(trainers)] if stacked else None
    steps = trainers[0].milestones(job.evaluations)
    for number, milestone in enumerate(steps):
        if all(trainer.step >= milestone for trainer in trainers) and milestone < steps[-1]:
            continue
        for crew in together or in_turn(trainers):
            while crew.step < milestone:
                crew.advance(min(milestone, (crew.step // every + 1) * every))
                if crew.step < milestone:
                    report(trainers, {}, complain)
        if milestone == steps[-1]:
            report(trainers, {}, complain, with_policies=True)
            return
        job.teller.tell(Message(doing="evaluating, short"))
        said = job.score([trainer.policy() for trainer in trainers]) if job.score and rank() == 0 else float("nan")
        report(trainers, {"score": said, "eval_step": number + 1}, complain)


def in_turn(trainers: Sequence[Trainer]) -> Iterator[Trainer]:
    """The seeds one by one; last those whose first stage another trial is training, which may be done by then.

    So trials that begin together begin with different seeds, and each takes the first stages of the others.
    """
    left = list(trainers)
    while left:
        free = (trainer for trainer in left if all_agree(not trainer.is_claimed))
        chosen = next(free, left[0])
        left.remove(chosen)
        chosen.take_shared()
        chosen.claim()
        yield chosen


def make_trainers(job: WorkerJob) -> list[Trainer]:
    """One a seed, of one set of tensors, on this worker's device."""
    if job.folder:
        registry.look_in(job.folder)
    config = make_config(job.config)
    torch.set_num_threads(config.training.threads)
    trajectories = ray.get(job.trajectories)
    artefacts = Path(job.artefacts) if job.artefacts else None
    device = own_device(config.training.device)
    trainers: list[Trainer] = []
    for seed in job.seeds:
        data = trainers[0].data if trainers else None
        log, watch = partial(job.teller.say, seed), partial(job.teller.say_step, trainers)
        trainers.append(Trainer(trajectories, config, seed, artefacts, log, data, watch, device))
    return trainers


def own_device(wanted: str) -> torch.device:
    """Where this worker trains: `auto` is a GPU only where Ray gave it one."""
    # to a worker without a GPU of its own, Ray shows all those of the node
    return choose_device("cpu" if wanted == "auto" and not ray.get_gpu_ids() else wanted)
