"""Ray's scheduling in miniature, for trials as they really are: drivers that hold nothing, training workers that are
placed together or not at all, and evaluation actors that are placed one by one. The order of events is random, and
workers and actors crash.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from mage.search.placement import Node, SweepPlacement
from mage.search.settings import GPU_UNITS

CRASH = 0.1


@dataclass(frozen=True)
class Place:
    """Where something runs: a node, and one of its GPUs, with what is taken of them."""

    node: int
    gpu: int
    cpus: int
    units: int


class Cluster:
    """What is free of each node's CPUs and of each of its GPUs."""

    def __init__(self, nodes: Sequence[Node], order: random.Random) -> None:
        self.cpus = [node.cpus for node in nodes]
        self.gpus = [[GPU_UNITS] * node.gpus for node in nodes]
        self.order = order

    def place(self, cpus: int, gpus: float) -> Place | None:
        """Takes that much of any node that has it, the whole share of one GPU; None where none has."""
        units = round(gpus * GPU_UNITS)
        rooms = [
            Place(node, gpu, cpus, units)
            for node, free in enumerate(self.gpus)
            for gpu in (range(len(free)) if units else [-1])
            if self.cpus[node] >= cpus and (not units or free[gpu] >= units)
        ]
        if not rooms:
            return None
        chosen = self.order.choice(rooms)
        self._change(chosen, -1)
        return chosen

    def place_all(self, count: int, cpus: int, gpus: float) -> list[Place] | None:
        """Takes that much `count` times, or nothing."""
        places: list[Place] = []
        for _ in range(count):
            place = self.place(cpus, gpus)
            if place is None:
                self.free(places)
                return None
            places.append(place)
        return places

    def free(self, places: Sequence[Place]) -> None:
        """Gives places back."""
        for place in places:
            self._change(place, +1)

    def _change(self, place: Place, sign: int) -> None:
        self.cpus[place.node] += sign * place.cpus
        if place.units:
            self.gpus[place.node][place.gpu] += sign * place.units


@dataclass
class Trial:
    """One trial in flight: what runs of it, what it waits for, and what is left to evaluate."""

    work: int
    workers: list[Place] = field(default_factory=list)
    trained: bool = False
    actors: list[Place] = field(default_factory=list)
    waiting_actors: int = 0
    crashes: int = 0


def run_trials(nodes: Sequence[Node], placement: SweepPlacement, trials: int, order: random.Random) -> int:
    """Runs that many trials to their end; returns how many trained at once at most.

    Raises:
        AssertionError: nothing runs, and nothing can start.
    """
    cluster, flight, started, most = Cluster(nodes, order), [Trial(order.randint(1, 6))], 1, 0
    while flight:
        while started < trials and len(flight) < placement.trials_at_once:
            flight.append(Trial(order.randint(1, 6)))
            started += 1
        for trial in order.sample(flight, len(flight)):
            _start_what_fits(cluster, trial, placement)
        running = [trial for trial in flight if trial.workers or trial.actors]
        assert running, f"deadlock: {flight} on {nodes}"
        most = max(most, sum(bool(trial.workers) for trial in flight))
        _next_event(cluster, order.choice(running), placement, order)
        flight = [trial for trial in flight if trial.work]
    return most


def _start_what_fits(cluster: Cluster, trial: Trial, placement: SweepPlacement) -> None:
    ask = placement.trial
    if not trial.trained and not trial.workers:
        trial.workers = cluster.place_all(ask.workers, ask.cpus_per_worker, ask.gpus_per_worker) or []
    while trial.waiting_actors and (place := cluster.place(1, placement.crew.gpus)):
        trial.actors.append(place)
        trial.waiting_actors -= 1


def _next_event(cluster: Cluster, trial: Trial, placement: SweepPlacement, order: random.Random) -> None:
    """Something of the trial ends, or crashes and waits for its place again."""
    crashes = trial.crashes < 5 and order.random() < CRASH
    trial.crashes += crashes
    if trial.workers:
        cluster.free(trial.workers)
        trial.workers, trial.trained = [], not crashes
        trial.waiting_actors = 0 if crashes else placement.crew.actors
    elif crashes:
        cluster.free([trial.actors.pop()])
        trial.waiting_actors += 1
    else:
        trial.work -= 1
        if not trial.work:
            cluster.free(trial.actors)
