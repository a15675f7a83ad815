"""Evaluation by Ray actors: each keeps its environments, and takes the next piece of work when it is done with one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar

import ray
import torch
from ray.exceptions import RayError

from mage.errors import MageError
from mage.evaluation.rollout import Play, Rollout, Tell
from mage.interface import Policy
from mage.words import sentence_of

T = TypeVar("T")


@ray.remote
class EvaluationActor:
    """Holds environments, for any policy of the same task."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._rollout: Rollout | None = None

    def ready(self) -> None:
        """Returns once the actor has found its place in the cluster."""

    def do(self, play: Play[T], policy: Policy, environments: int) -> tuple[T, bool]:
        """What `play` gives, and whether this actor has died before and was started again."""
        policy.to("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")
        if self._rollout is None:
            self._rollout = Rollout(policy.task, environments)
        return play(policy, self._rollout), ray.get_runtime_context().was_current_actor_reconstructed


def share(
    policies: Sequence[Policy],
    work: Sequence[tuple[int, Play[T]]],
    environments: int,
    actors: int,
    gpus: float,
    tell: Tell | None = None,
) -> list[T]:
    """`do_all` among up to `actors` actors.

    Each takes a CPU and that share of a GPU. Work goes to actors that run; one that the cluster has no room for is not
    waited for. A crashed actor is restarted and its item done again; since every episode has its own seed, nobody
    can tell from the results; `tell` hears of it.
    """
    # the references keep the policies in the object store until all is done
    references = [ray.put(copy.deepcopy(policy).to("cpu")) for policy in policies]
    # not in the placement group of a Tune trial, which holds nothing but its driver
    options: dict[str, Any] = {
        "num_cpus": 1,
        "num_gpus": gpus,
        "max_restarts": 3,
        "max_task_retries": 3,
        "scheduling_strategy": "DEFAULT",
    }
    size = min(actors, len(work))
    threads = policies[0].config.training.threads
    crew = [EvaluationActor.options(**options).remote(threads) for _ in range(size)]  # type: ignore[attr-defined]
    done: dict[int, T] = {}
    busy: dict[ray.ObjectRef, tuple[Any, int | None]] = {actor.ready.remote(): (actor, None) for actor in crew}
    waiting = list(enumerate(work))[::-1]
    died: set[Any] = set()
    try:
        while len(done) < len(work):
            finished, _ = ray.wait(list(busy))
            actor, item = busy.pop(finished[0])
            try:
                result = ray.get(finished[0])
            except RayError as error:
                raise MageError(f"evaluation failed: {sentence_of(error)}") from None
            if item is not None:
                done[item], was_restarted = result
                if tell:
                    tell(len(done), len(work), was_restarted and actor not in died)
                died |= {actor} if was_restarted else set()
            if waiting:
                item, (policy, play) = waiting.pop()
                busy[actor.do.remote(play, references[policy], environments)] = (actor, item)
    finally:
        for actor in crew:
            ray.kill(actor)
    return [done[item] for item in range(len(work))]
