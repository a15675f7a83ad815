"""What workers anywhere in the cluster tell the driver: how far they are, and what they hold.

Ray can forward what workers print, but mixes it with its own lines; a sweep should read as one story. And when a
trial's driver is killed, by Tune, say, which does not wait long for one to end early, Ray Train (2.60, without the
dashboard's state service) leaves the workers' placement group behind, CPUs and all; the driver of the sweep gives back
what a dead worker holds, or a sweep would slowly starve.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.util import remove_placement_group
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

if TYPE_CHECKING:
    from mage.training.trainer import Trainer

POLL_SECONDS = 0.5
Held = tuple[Any, PlacementGroup]


@dataclass(frozen=True)
class Step:
    """How far the training of one seed is.

    Attributes:
        row: of the loss curve: stage, step of the stage, loss terms, diagnostics.
        steps: of the stage.
        total_step: over all stages.
        fraction: of the training of all seeds that is done.
    """

    row: Mapping[str, float | str]
    steps: int
    total_step: int
    fraction: float


@dataclass(frozen=True)
class Message:
    """What a worker tells: a line for people (or none, which only changes what is shown), and what it is about."""

    text: str = ""
    trial: str = ""
    seed: int | None = None
    step: Step | None = None
    doing: str | None = None
    is_trouble: bool = False

    def __str__(self) -> str:
        return self.text if self.seed is None else f"seed {self.seed}: {self.text}"


@dataclass(frozen=True)
class Teller:
    """Tells a board of one trial, from the first worker only; nobody where there is no board.

    Attributes:
        board: its handle.
        trial: that the messages are about.
    """

    board: Any = None
    trial: str = ""

    def tell(self, message: Message) -> None:
        """Puts a message on the board, as one of this trial."""
        from mage.distributed import rank  # not above: the board's own process needs no torch

        if self.board is not None and rank() == 0:
            self.board.say.remote(replace(message, trial=self.trial))

    def say(self, seed: int, line: str) -> None:
        """Tells a line about a training seed."""
        self.tell(Message(line, seed=seed))

    def say_step(self, trainers: Sequence[Trainer], trainer: Trainer) -> None:
        """Tells how far a training seed is; `trainers` are those of all seeds."""
        row, steps = trainer.stage.history[-1], trainer.stage.config.steps
        fraction = sum(other.step for other in trainers) / (len(trainers) * trainer.total_steps)
        step = Step(row, steps, trainer.step, fraction)
        self.tell(Message(trainer.stage.in_words(), seed=trainer.seed, step=step, doing="training"))

    def complain(self, line: str) -> None:
        """Tells what is wrong with the run."""
        self.tell(Message(line, is_trouble=True))


@ray.remote(num_cpus=0)
class Board:
    """Holds messages until the driver takes them, and remembers which worker lives in which placement group."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._held: dict[Any, Held] = {}

    def say(self, message: Message) -> None:
        """Adds a message."""
        self._messages.append(message)

    def hold(self, worker: Any, group: PlacementGroup) -> None:
        """A training worker tells where it lives."""
        self._held[group.id] = (worker, group)

    def release(self, group: PlacementGroup) -> None:
        """Forgets a placement group."""
        self._held.pop(group.id, None)

    def take(self) -> tuple[list[Message], list[Held]]:
        """All messages since the last call, and all that is held."""
        messages, self._messages = self._messages, []
        return messages, list(self._held.values())


@contextmanager
def shown_board(show: Callable[[Message], None]) -> Iterator[Any]:
    """Yields a handle for workers; a thread hands each of their messages to `show`, gives back what the dead hold."""
    # on this node: it must not go down with a worker's
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board = Board.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]
    done = threading.Event()

    def follow() -> None:
        while not done.wait(POLL_SECONDS):
            with suppress(RayError):
                _attend(board, show)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield board
    finally:
        done.set()
        thread.join()
        with suppress(RayError):
            _attend(board, show)
        ray.kill(board)


def _attend(board: Any, show: Callable[[Message], None]) -> None:
    messages, held = ray.get(board.take.remote())
    for message in messages:
        show(message)
    for worker, group in held:
        if _is_dead(worker):
            remove_placement_group(group)
            board.release.remote(group)


def _is_dead(worker: Any) -> bool:
    answer = worker.__ray_ready__.remote()
    ready, _ = ray.wait([answer], timeout=0.1)
    try:
        ray.get(ready)
    except RayActorError:
        return True
    return False
