"""Where the story of a sweep is told: a view that renews itself on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.live import Live

REFRESH_SECONDS = 0.5


class Lines:
    """For job logs and pipes: a line an event, details included."""

    shows_state = False

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def event(self, line: str) -> None:
        """Something to keep: a plan, a score, an end."""
        print(line, flush=True)

    def detail(self, line: str) -> None:
        """Something that the state shows, too, where it is shown."""
        print(line, flush=True)


class View:
    """For terminals: events scroll by above the state of all trials, which says the details."""

    shows_state = True

    def __init__(self, state: Callable[[], RenderableType], console: Console) -> None:
        self._console = console
        self._live = Live(console=console, get_renderable=state, refresh_per_second=1 / REFRESH_SECONDS, transient=True)

    def __enter__(self) -> View:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def event(self, line: str) -> None:
        """As `Lines`."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def detail(self, line: str) -> None:
        """Nothing: the state shows it."""


def make_display(state: Callable[[], RenderableType]) -> Lines | View:
    """A view of `state` where standard output is a terminal that can show one."""
    console = Console(file=sys.stdout)
    return View(state, console) if console.is_terminal and not console.is_dumb_terminal else Lines()
