"""`mage results plot` and `mage results video`: pictures of what came out, and films of what was played."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mage.errors import MageError
from mage.words import reason_of


def plot(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A run directory, a sweep, or a folder of several.")],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="curves, fields, variants, budget, intervals, profiles, targets, codes, latency, parallel, "
            "importance or mazes.",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="Ends in .png, .svg or .pdf; or a folder.", show_default="KIND.png"),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="That names the methods.", show_default="variant or algorithm")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    episodes: Annotated[int, typer.Option(min=1, help="Played for a picture of trajectories.")] = 10,
) -> None:
    """Draw a picture of results: learning curves, scores against what was varied, intervals, and others."""
    from mage.report.views import Runs, plot

    for file in plot(Runs(path, by, seed, episodes), kind, to):
        print(f"{kind}: {file}")


def video(
    run: Annotated[
        Path, typer.Argument(help="A run that was evaluated, or policies/<config hash>/seed-<n> of a sweep.")
    ],
    to: Annotated[Path, typer.Option(metavar="FILE", help="Ends in .gif or .mp4.")],
    episode: Annotated[int, typer.Option(min=0, help="Its number in the table.")] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Training seed, of a recording of several.", show_default="the first")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Show one of so many steps.")] = 1,
) -> None:
    """Play a recorded episode again and film it, without a display; MP4 needs `pip install "mage-rl[video]"`."""
    _draw_without_a_display()
    from mage.evaluation.video import film

    played = film(run, to, episode, seed, every)
    success = "" if played["success"] is None else f", {'success' if played['success'] else 'no success'}"
    print(f"episode {episode}: return {played['return']:.6g}{success}, {played['length']} steps")
    for changed in played["changed"]:
        print(f"recorded with another version: {changed}")
    print(f"video: {to}, {played['frames']} pictures")


def _draw_without_a_display() -> None:
    """MuJoCo draws by EGL where there is no display and nobody has said otherwise; it looks when it is imported.

    Raises:
        MageError: what it is to draw by is not installed.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco  # noqa: F401
    except Exception as error:  # of PyOpenGL: an ImportError, or an AttributeError of a library that is not there
        chosen = os.environ.get("MUJOCO_GL")
        raise MageError(
            f"MuJoCo cannot draw with MUJOCO_GL={chosen} on this machine ({reason_of(error)}); install the library "
            "(libegl1, libosmesa6) or set MUJOCO_GL to the one that is here: egl, osmesa, or glfw with a display"
        ) from error
