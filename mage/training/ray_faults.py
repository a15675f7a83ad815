"""What a training run on Ray does when a worker or its storage fails: it says so, and goes on when it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray.train
from ray.train import Checkpoint
from ray.train.v2.api.callback import UserCallback

from mage.errors import first_line
from mage.files import Say, patiently


class SayWhatDied(UserCallback):
    """Puts on the board that a training worker, or the node under it, has died, and that training goes on."""

    def __init__(self, say: Say, allowed: int) -> None:
        self._say, self._allowed, self._failures = say, allowed, 0

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Called in the trial's controller, which outlives the workers."""
        self._failures += 1
        rank, error = min(worker_exceptions.items())
        what = f"training worker {rank} failed ({first_line(error)})"
        if self._failures <= self._allowed:
            self._say(f"{what}; training goes on from its last checkpoint, restart {self._failures} of {self._allowed}")


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
