"""Evaluation by Ray actors: each steps a batch of environments with one forward pass, and takes the next batch when
done.
"""

from __future__ import annotations

import copy
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from mage.errors import MageError, first_line
from mage.evaluation.rollout import Rollout, batches
from mage.model.policy import Policy


@ray.remote
class EvaluationActor:
    """Holds environments and plays batches of episodes of any policy of the same task."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._rollout: Rollout | None = None

    def ready(self) -> None:
        """Returns once the actor has found its place in the cluster."""

    def play(self, policy: Policy, episodes: list[int]) -> list[dict[str, Any]]:
        """One row per episode; the rows are the same whoever plays them."""
        settings = policy.config.evaluation
        policy.to("cuda" if ray.get_gpu_ids() else "cpu")
        if self._rollout is None:
            self._rollout = Rollout(policy.task, settings.batch_size)
        return self._rollout.run(policy, episodes, settings.seed)


def play_with_actors(policies: list[Policy], episodes: int, actors: int, gpus: int = 0) -> list[list[dict[str, Any]]]:
    """Plays every policy for `episodes` episodes, shared among up to `actors` actors; one list of rows per policy.

    The actors share `gpus` GPUs, if any. Work goes to actors that run; one that the cluster has no room for is not
    waited for. A crashed actor is restarted and its batch played again; since every episode has its own seed, nobody
    can tell.
    """
    settings = policies[0].config
    work = [
        (number, list(batch))
        for number in range(len(policies))
        for batch in batches(episodes, settings.evaluation.batch_size)
    ]
    # the references keep the policies in the object store until every batch is played
    references = [ray.put(copy.deepcopy(policy).to("cpu")) for policy in policies]
    # not in the placement group of a Tune trial, which holds nothing but its driver
    options: dict[str, Any] = {
        "num_cpus": 1,
        "max_restarts": 3,
        "max_task_retries": 3,
        "scheduling_strategy": "DEFAULT",
    }
    size = min(actors, len(work))
    if gpus:
        options["num_gpus"] = min(1.0, gpus / size)
    crew = [
        EvaluationActor.options(**options).remote(settings.training.threads)  # type: ignore[attr-defined]
        for _ in range(size)
    ]
    played: dict[int, list[dict[str, Any]]] = {}
    busy: dict[ray.ObjectRef, tuple[Any, int | None]] = {actor.ready.remote(): (actor, None) for actor in crew}
    waiting = list(enumerate(work))[::-1]
    try:
        while len(played) < len(work):
            done, _ = ray.wait(list(busy))
            actor, number = busy.pop(done[0])
            try:
                rows = ray.get(done[0])
            except RayError as error:
                raise MageError(f"evaluation failed: {first_line(error)}") from None
            if number is not None:
                played[number] = rows
            if waiting:
                number, (policy, batch) = waiting.pop()
                busy[actor.play.remote(references[policy], batch)] = (actor, number)
    finally:
        for actor in crew:
            ray.kill(actor)
    return [
        [row for number, (policy, _) in enumerate(work) if policy == index for row in played[number]]
        for index in range(len(policies))
    ]
