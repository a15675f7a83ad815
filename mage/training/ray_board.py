"""Carries lines of progress from workers anywhere in the cluster to the driver's console.

Ray can forward what workers print, but mixes it with its own lines; a sweep should read as one story.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

POLL_SECONDS = 0.5


@ray.remote(num_cpus=0)
class Board:
    """Holds lines until the driver takes them."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def say(self, line: str) -> None:
        """Adds a line."""
        self._lines.append(line)

    def take(self) -> list[str]:
        """All lines since the last call."""
        lines, self._lines = self._lines, []
        return lines


@contextmanager
def shown_board(show: Callable[[str], None]) -> Iterator[Any]:
    """Yields a handle for workers to `say` lines on; a thread hands each to `show` while the block runs."""
    board = Board.remote()  # type: ignore[attr-defined]
    done = threading.Event()

    def follow() -> None:
        while not done.wait(POLL_SECONDS):
            for line in ray.get(board.take.remote()):
                show(line)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield board
    finally:
        done.set()
        thread.join()
        for line in ray.get(board.take.remote()):
            show(line)
        ray.kill(board)
