"""Fits a sweep to the cluster at hand: what a trial takes, how many train at once, and what evaluation gets meanwhile.

Nothing that holds CPUs or GPUs ever waits for more of them: the driver of a trial holds none, its training workers
start together or not at all, and each of its evaluation actors is of use alone. So however many trials are in flight,
what does not fit waits until something else ends, and something does as long as each request fits the empty cluster.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import ray

from mage.errors import MageError
from mage.search.settings import GPU_UNITS, PlacementSettings
from mage.training.ray_train import Placement

MAX_CPUS_PER_WORKER = 8
MAX_ACTORS = 8  # a seed's 100 episodes are four batches
FOUND = PlacementSettings()
GPU_OF_A_WORKER = 0.75  # the rest is for evaluation; more than half, so that no two workers share a GPU


class Node(NamedTuple):
    """What a node of the cluster has."""

    cpus: int
    gpus: int = 0

    def __str__(self) -> str:
        return in_words(self.cpus, self.gpus)


@dataclass(frozen=True)
class Crew:
    """The evaluation actors of a trial, of one CPU each; `gpus` is the share of a GPU that each takes."""

    actors: int
    gpus: float = 0.0

    def __str__(self) -> str:
        return f"{counted(self.actors, 'actor')} of {in_words(1, self.gpus)}"


@dataclass(frozen=True)
class SweepPlacement:
    """What runs where.

    Attributes:
        nodes: of the cluster.
        trial: the training workers of one trial.
        crew: its evaluation actors, when training is over.
        trainings: as many trials can train at once.
        trials_at_once: in flight, those that are evaluated or wait for others' GPUs included.
    """

    nodes: tuple[Node, ...]
    trial: Placement
    crew: Crew
    trainings: int
    trials_at_once: int

    def __str__(self) -> str:
        training = min(self.trainings, self.trials_at_once)
        train, evaluate = "trains" if training == 1 else "train", "evaluates" if self.crew.actors == 1 else "evaluate"
        workers = f"{counted(self.trial.workers, 'worker')} of {worker_in_words(self.trial)}"
        beside = f" while others train, {self.trials_at_once} trials in flight"
        return (
            f"on {nodes_in_words(self.nodes)}: {counted(training, 'trial')} {train} at a time, each on {workers}; "
            f"then {self.crew} {evaluate} it{beside if self.trials_at_once > self.trainings else ''}"
        )


def fit_to_cluster(
    trials: int, workers: int = 1, wanted: PlacementSettings = FOUND, device: str = "auto"
) -> SweepPlacement:
    """`fit` for the nodes that the running Ray cluster has now, and what `training.device` says."""
    return fit(alive_nodes(), trials, workers, wanted, device != "cpu", device == "cuda")


def alive_nodes() -> list[Node]:
    """The nodes of the running Ray cluster."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in resources]


def fit(
    nodes: Sequence[Node],
    trials: int,
    workers: int = 1,
    wanted: PlacementSettings = FOUND,
    use_gpu: bool = True,
    needs_gpu: bool = False,
) -> SweepPlacement:
    """Placement for a cluster of these nodes: what is `wanted`, and for the rest what suits them.

    On GPUs, a training worker takes three quarters of one and half of the CPUs that belong to it; evaluation has the
    rest, so that a GPU trains the next trial while the last one is evaluated. Without GPUs, all CPUs train, and
    evaluation takes the place of the trial's own training.

    Args:
        nodes: those without a CPU, and beside nodes with GPUs those without one, take no training.
        trials: more than these are never in flight.
        workers: of one trial; they may be spread over nodes, each fits one.
        use_gpu: whether GPUs may be used, where there are any.
        needs_gpu: whether training is for GPUs only.

    Raises:
        MageError: not even one trial fits; says which request, and what there is.
    """
    if needs_gpu and not any(node.gpus for node in nodes):
        raise MageError(
            f"training.device=cuda asks for GPUs, and the Ray cluster ({nodes_in_words(nodes)}) has none; set "
            "training.device=auto or cpu, or start Ray with GPUs"
        )
    trial = _one_trial(nodes, workers, wanted, use_gpu)
    trainings = trainings_at_once(nodes, trial)
    if trainings < 1:
        raise MageError(_why_not(nodes, trial))
    at_once = trials_at_once(nodes, trial, trials, wanted)
    return SweepPlacement(tuple(nodes), trial, _crew(nodes, trial, at_once, wanted), trainings, at_once)


def trainings_at_once(nodes: Sequence[Node], trial: Placement) -> int:
    """How many trials the cluster can train at once."""
    return sum(workers_on(node, trial) for node in nodes) // trial.workers


def trials_at_once(nodes: Sequence[Node], trial: Placement, trials: int, wanted: PlacementSettings) -> int:
    """How many trials to have in flight: those that train and, where CPUs are left for evaluation, half as many more.

    More would hardly keep a GPU busier, but have Optuna propose earlier, with less to go by.
    """
    trainings = trainings_at_once(nodes, trial)
    beside = (trainings + 1) // 2 if trial.use_gpu and _spare_cpus(nodes, trial) else 0
    return max(1, min(trials, wanted.trials_at_once or trainings + beside))


def workers_on(node: Node, trial: Placement) -> int:
    """How many training workers fit a node; a worker never takes parts of two GPUs."""
    by_cpus = node.cpus // trial.cpus_per_worker
    return min(by_cpus, node.gpus * _workers_of_a_gpu(trial.gpus_per_worker)) if trial.use_gpu else by_cpus


def _one_trial(nodes: Sequence[Node], workers: int, wanted: PlacementSettings, use_gpu: bool) -> Placement:
    gpus = wanted.gpus_per_worker
    if gpus and not use_gpu:
        raise MageError(f"training.device=cpu trains on CPUs, but {gpus:g} GPU a worker is asked for; drop one of them")
    if gpus is None:
        gpus = GPU_OF_A_WORKER if use_gpu and any(node.gpus and node.cpus for node in nodes) else 0.0
    if wanted.backend == "nccl" and not gpus:
        raise MageError(f"the nccl backend is for GPUs, and no worker gets one ({nodes_in_words(nodes)}); leave it out")
    shares = [max(1, node.cpus // node.gpus) for node in nodes if node.gpus and node.cpus] if gpus else []
    half = min(shares) // (2 * _workers_of_a_gpu(gpus)) if shares else 1
    cpus = wanted.cpus_per_worker or max(1, min(MAX_CPUS_PER_WORKER, half))
    # a single worker has nobody to talk to, and gloo starts everywhere
    return Placement(workers, cpus, gpus, wanted.backend or ("nccl" if gpus and workers > 1 else "gloo"))


def _crew(nodes: Sequence[Node], trial: Placement, at_once: int, wanted: PlacementSettings) -> Crew:
    cpus = sum(node.cpus for node in nodes if node.gpus or not trial.use_gpu)
    room = _spare_cpus(nodes, trial) // trainings_at_once(nodes, trial) if trial.use_gpu else cpus // at_once
    actors = min(wanted.evaluation_actors or max(1, min(MAX_ACTORS, room)), cpus)
    if not trial.use_gpu:
        return Crew(actors)
    of_a_gpu = _workers_of_a_gpu(trial.gpus_per_worker)
    left = GPU_UNITS - of_a_gpu * round(trial.gpus_per_worker * GPU_UNITS)
    return Crew(actors, left // math.ceil(actors * of_a_gpu / trial.workers) / GPU_UNITS)


def _spare_cpus(nodes: Sequence[Node], trial: Placement) -> int:
    """CPUs beside GPUs that are left when as many workers train as fit."""
    return sum(node.cpus - workers_on(node, trial) * trial.cpus_per_worker for node in nodes if node.gpus)


def _workers_of_a_gpu(gpus_per_worker: float) -> int:
    return GPU_UNITS // round(gpus_per_worker * GPU_UNITS)


def _why_not(nodes: Sequence[Node], trial: Placement) -> str:
    """Why no trial fits: which request is too large, and what to change."""
    if not any(node.cpus for node in nodes):
        return "no node of the Ray cluster has a CPU for a training worker; wait for its workers, or start some"
    room = sum(workers_on(node, trial) for node in nodes)
    if room:
        return (
            f"a trial asks for {trial.workers} training workers of {worker_in_words(trial)} each, the Ray cluster "
            f"({nodes_in_words(nodes)}) has room for {room}; use fewer workers, or let each take less"
        )
    change = "fewer CPUs a worker"
    if trial.use_gpu and not any(node.gpus for node in nodes):
        change = "0 GPUs a worker, which trains on CPUs, or start Ray with GPUs"
    largest = max(nodes, key=lambda node: (bool(node.gpus) and trial.use_gpu, node.cpus), default=Node(0))
    return (
        f"a training worker asks for {worker_in_words(trial)}, the largest node of the Ray cluster has {largest}; "
        f"use {change}"
    )


def nodes_in_words(nodes: Sequence[Node]) -> str:
    """Nodes by kind, the largest first, such as `4 nodes of 8 CPUs and 1 GPU`; those with neither are left out."""
    kinds = Counter(node for node in nodes if any(node))
    told = [f"{counted(number, 'node')} of {node}" for node, number in sorted(kinds.items(), reverse=True)]
    return ", ".join(told) or "no node with a CPU"


def worker_in_words(trial: Placement) -> str:
    """What one training worker takes."""
    return in_words(trial.cpus_per_worker, trial.gpus_per_worker)


def in_words(cpus: int, gpus: float) -> str:
    """Such as `8 CPUs and 0.75 GPU`."""
    return counted(cpus, "CPU") + (f" and {gpus:g} GPU{'s' if gpus > 1 else ''}" if gpus else "")


def counted(number: int, noun: str) -> str:
    """Such as `1 node`, `2 nodes`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
