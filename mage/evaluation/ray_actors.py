"""Evaluation by Ray actors: each steps a batch of environments with one forward pass, and takes the next batch when
done.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from mage.errors import MageError, first_line
from mage.evaluation.inspection import environments_for, play_target
from mage.evaluation.rollout import Rollout, batches, play_batch
from mage.interface import Policy

Tell = Callable[[int, int, bool], None]
"""Hears how many pieces of work are done, of how many, and whether an actor was found to have died meanwhile."""


@ray.remote
class EvaluationActor:
    """Holds environments and plays batches of episodes of any policy of the same task."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._rollout: Rollout | None = None

    def ready(self) -> None:
        """Returns once the actor has found its place in the cluster."""

    def do(self, policy: Policy, method: str, arguments: Sequence[Any]) -> tuple[Any, bool]:
        """What a method gives, and whether this actor has died before and was started again."""
        return getattr(self, method)(policy, *arguments), ray.get_runtime_context().was_current_actor_reconstructed

    def play(self, policy: Policy, episodes: list[int]) -> list[dict[str, Any]]:
        """As `play_batch`; the rows are the same whoever plays them."""
        settings = policy.config.evaluation
        return play_batch(self._environments(policy, settings.batch_size), policy, episodes, settings.seed)

    def scan(self, policy: Policy, target: float | None, episodes: int) -> dict[str, Any]:
        """What the policy does when asked for this return."""
        rollout = self._environments(policy, environments_for(policy, episodes))
        return play_target(policy, rollout, target, episodes)

    def _environments(self, policy: Policy, size: int) -> Rollout:
        """Environments of the policy's task, which is moved to this actor's device."""
        policy.to("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")
        if self._rollout is None:
            self._rollout = Rollout(policy.task, size)
        return self._rollout


def play_with_actors(
    policies: list[Policy], episodes: int, actors: int, gpus: float = 0.0, tell: Tell | None = None
) -> list[list[dict[str, Any]]]:
    """Plays every policy for `episodes` episodes, shared among actors; one list of rows per policy."""
    size = policies[0].config.evaluation.batch_size
    work = [(number, "play", (list(batch),)) for number in range(len(policies)) for batch in batches(episodes, size)]
    played = share(policies, work, actors, gpus, tell)
    return [
        [row for (number, _, _), rows in zip(work, played, strict=True) if number == index for row in rows]
        for index in range(len(policies))
    ]


def scan_with_actors(
    policies: list[Policy], asked: Sequence[tuple[int, float | None]], episodes: int, actors: int, gpus: float = 0.0
) -> list[dict[str, Any]]:
    """`play_target` for every (number of a policy, target), shared among actors; in the order given."""
    return share(policies, [(number, "scan", (target, episodes)) for number, target in asked], actors, gpus)


def share(
    policies: list[Policy],
    work: Sequence[tuple[int, str, tuple[Any, ...]]],
    actors: int,
    gpus: float,
    tell: Tell | None = None,
) -> list[Any]:
    """Shares work, items (number of a policy, method, arguments), among up to `actors` actors; results in that order.

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
    done: dict[int, Any] = {}
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
                raise MageError(f"evaluation failed: {first_line(error)}") from None
            if item is not None:
                done[item], was_restarted = result
                if tell:
                    tell(len(done), len(work), was_restarted and actor not in died)
                died |= {actor} if was_restarted else set()
            if waiting:
                item, (policy, method, arguments) = waiting.pop()
                busy[actor.do.remote(references[policy], method, arguments)] = (actor, item)
    finally:
        for actor in crew:
            ray.kill(actor)
    return [done[item] for item in range(len(work))]
