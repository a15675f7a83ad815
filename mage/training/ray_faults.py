"""What a training run on Ray does when a worker or its storage fails: it says so, and goes on when it can.

What a `MageError` says is so however often one trains: it ends the run at once, and the driver raises it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray.train
from ray.exceptions import RayActorError
from ray.train import Checkpoint, ControllerError, FailureConfig, TrainingFailedError
from ray.train.v2.api.callback import UserCallback

from mage.errors import MageError
from mage.files import Say, patiently
from mage.words import sentence_of

SPARES_PREEMPTED = hasattr(FailureConfig, "max_preemption_failures")
"""Whether this Ray counts preemptions apart from failures, without a limit; before it had that, each was a failure."""


class SayWhatDied(UserCallback):
    """Puts on the board that a training worker, or the node under it, has died, and that training goes on.

    A node that its cloud takes away is no failure of what ran on it: as Ray does, this counts preemptions apart.

    A worker's `MageError` is raised instead: after what a callback raises, Ray tries nothing again. It ends all
    workers, also those that wait for the one that has raised it.
    """

    def __init__(self, say: Say, allowed: int) -> None:
        self._say, self._allowed, self._failures = say, allowed, 0

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Called in the trial's controller, which outlives the workers.

        Raises:
            MageError: of a worker; the others may have failed because of it.
        """
        for error in worker_exceptions.values():
            if isinstance(error, MageError):
                raise error
        preempted = [rank for rank, error in sorted(worker_exceptions.items()) if is_preemption(error)]
        if preempted and SPARES_PREEMPTED:
            told = f"the node of training worker {preempted[0]} was preempted"
            self._say(f"{told}; training goes on from its last checkpoint, and this counts as no restart")
            return
        self._failures += 1
        rank, error = min(worker_exceptions.items())
        what = f"training worker {rank} failed ({sentence_of(error)})"
        if self._failures <= self._allowed:
            self._say(f"{what}; training goes on from its last checkpoint, restart {self._failures} of {self._allowed}")


def is_preemption(error: Exception) -> bool:
    """Whether a worker died with a node that Ray was told would be taken away (`ray drain-node`), not on its own."""
    error = getattr(error, "health_check_failure", error)  # as Ray Train wraps it
    return isinstance(error, RayActorError) and error.preempted


def as_mage_error(error: TrainingFailedError) -> MageError:
    """What `TorchTrainer.fit` has raised, for the user: a worker's own sentence, or why its last attempt failed."""
    if isinstance(error, ControllerError) and isinstance(error.controller_failure, MageError):
        return error.controller_failure
    return MageError(f"training failed: {sentence_of(error)}")


def upload_patiently(say: Say) -> Callable[[Checkpoint, str], Checkpoint]:
    """How a training worker brings a checkpoint to the run's storage; left to Ray, an error would end the worker."""

    def upload(checkpoint: Checkpoint, name: str) -> Checkpoint:
        storage = ray.train.get_context().get_storage()

        def copy() -> Checkpoint:
            try:
                return storage.persist_current_checkpoint(checkpoint, name)
            except RuntimeError as error:  # the file is gone by which Ray knows the storage
                raise OSError(f"the run directory is not there: {storage.experiment_fs_path}") from error

        return patiently(copy, say)

    return upload
