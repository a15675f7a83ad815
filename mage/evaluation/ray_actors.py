"""Evaluation by Ray actors: each keeps its environments, and takes the next piece of work when it is done with one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self, TypeVar

import gymnasium as gym
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

    def __init__(self) -> None:
        self._environments: list[gym.Env] = []

    def ready(self) -> None:
        """Returns once the actor has found its place in the cluster."""

    def do(self, play: Play[T], policy: Policy, environments: int) -> tuple[T, bool]:
        """What `play` gives, and whether this actor has died before and was started again."""
        torch.set_num_threads(policy.config.training.threads)
        policy.to("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")
        rollout = Rollout(policy.task, environments, self._environments[:environments])
        done = play(policy, rollout)
        self._environments[:environments] = rollout.environments
        return done, ray.get_runtime_context().was_current_actor_reconstructed


class EvaluationActors:
    """Up to `count` actors, each with a CPU and a share of a GPU, kept with their environments until the block ends.

    Work goes to actors that run; one that the cluster has no room for is not waited for. A crashed actor is restarted
    and its item done again; since every episode has its own seed, nobody can tell from the results.
    """

    def __init__(self, count: int, gpus: float = 0.0) -> None:
        self.count = count
        # not in the placement group of a Tune trial, which holds nothing but its driver
        self._options: dict[str, Any] = {
            "num_cpus": 1,
            "num_gpus": gpus,
            "max_restarts": 3,
            "max_task_retries": 3,
            "scheduling_strategy": "DEFAULT",
        }
        self._actors: list[Any] = []
        self._died: set[Any] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []

    def share(
        self,
        policies: Sequence[Policy],
        work: Sequence[tuple[int, Play[T]]],
        environments: int,
        tell: Tell | None = None,
    ) -> list[T]:
        """`do_all` among them; `tell` hears how far they are, and of one that died."""
        # the references keep the policies in the object store until all is done
        references = [ray.put(copy.deepcopy(policy).to("cpu")) for policy in policies]
        missing = min(self.count, len(work)) - len(self._actors)
        self._actors += [EvaluationActor.options(**self._options).remote() for _ in range(missing)]  # type: ignore[attr-defined]
        done: dict[int, T] = {}
        busy: dict[ray.ObjectRef, tuple[Any, int | None]]
        busy = {actor.ready.remote(): (actor, None) for actor in self._actors}
        waiting = list(enumerate(work))[::-1]
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
                    tell(len(done), len(work), was_restarted and actor not in self._died)
                self._died |= {actor} if was_restarted else set()
            if waiting:
                item, (policy, play) = waiting.pop()
                busy[actor.do.remote(play, references[policy], environments)] = (actor, item)
        return [done[item] for item in range(len(work))]
