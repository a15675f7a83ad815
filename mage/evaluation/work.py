"""Does pieces of work with policies in their environments, in this process or shared among Ray actors.

What comes of a piece is the same whoever does it, since every episode has a seed and neighbours of its own (`rollout`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import torch

from mage.evaluation.rollout import Play, Rollout, Tell
from mage.interface import Policy

if TYPE_CHECKING:
    from mage.evaluation.ray_actors import EvaluationActors

T = TypeVar("T")


def do_all(
    policies: Sequence[Policy],
    work: Sequence[tuple[int, Play[T]]],
    environments: int,
    crew: EvaluationActors | None = None,
    tell: Tell | None = None,
) -> list[T]:
    """What each piece of work, the number of a policy and what to do with it, gives, in the order of the work.

    Args:
        policies: of one task and configuration.
        work: at least one piece.
        environments: that are stepped together.
        crew: Ray actors that share the work; without, it is done in this process.
        tell: with a crew, is told how far it is.
    """
    if crew is not None:
        return crew.share(policies, work, environments, tell)
    # as the actors do: the last bit of a matrix product depends on the number of threads
    torch.set_num_threads(policies[0].config.training.threads)
    rollout = Rollout(policies[0].task, environments)
    try:
        return [play(policies[number], rollout) for number, play in work]
    finally:
        rollout.close()
