"""Fits trials to the cluster at hand, so that no trial ever waits for what another holds."""

from __future__ import annotations

from dataclasses import dataclass

import ray

from mage.errors import MageError
from mage.training.ray_train import Placement

MAX_CPUS_PER_WORKER = 8


@dataclass(frozen=True)
class SweepPlacement:
    """How many trials run at once, and what each takes.

    A trial's driver takes nothing. Its training workers hold their CPUs and GPUs until training ends; its evaluation
    actors then take the place of the workers. So `concurrent_trials` x `trial.cpus` never exceeds the cluster, and
    nothing can deadlock.
    """

    trial: Placement
    concurrent_trials: int

    def __str__(self) -> str:
        kind = "GPU" if self.trial.use_gpu else "CPU"
        return (
            f"{self.concurrent_trials} trials at once, each with {self.trial.workers} {kind} training worker(s) of "
            f"{self.trial.cpus_per_worker} CPU(s), then {self.trial.cpus} evaluation actor(s)"
        )


def fit_to_cluster(trials: int, workers: int = 1, use_gpu: bool = True) -> SweepPlacement:
    """Placement for the running Ray cluster: GPUs if it has any and may be used, all CPUs shared out evenly."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if use_gpu and any(node.get("GPU") for node in nodes):
        nodes = [node for node in nodes if node.get("GPU")]
        room = min(int(node.get("CPU", 0) // node["GPU"]) for node in nodes)
        cpus, gpus = (int(sum(node.get(kind, 0) for node in nodes)) for kind in ("CPU", "GPU"))
        return fit(trials, cpus, gpus, workers, room)
    return fit(trials, int(sum(node.get("CPU", 0) for node in nodes)), 0, workers)


def fit(trials: int, cpus: int, gpus: int, workers: int = 1, cpus_per_gpu: int = MAX_CPUS_PER_WORKER) -> SweepPlacement:
    """Placement for a cluster of that size; `cpus_per_gpu` is what its smallest node has for each of its GPUs.

    Raises:
        MageError: not even one trial fits.
    """
    slots = (gpus or cpus) // workers
    if min(slots, cpus // workers, cpus_per_gpu) < 1:
        has = f"{cpus} CPUs" + (f" and {gpus} GPUs" if gpus else "")
        raise MageError(f"a trial needs {workers} training worker(s), the Ray cluster has {has}; use fewer workers")
    concurrent = max(1, min(trials, slots, cpus // workers))
    per_worker = min(MAX_CPUS_PER_WORKER, cpus_per_gpu, cpus // (concurrent * workers)) if gpus else 1
    return SweepPlacement(Placement(workers, gpus > 0, per_worker), concurrent)
