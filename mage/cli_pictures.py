"""`mage results plot` and `mage results video`: pictures of what came out, and films of what was played."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
    from mage.evaluation.headless import draw_without_a_display

    draw_without_a_display()
    from mage.evaluation.video import film

    played = film(run, to, episode, seed, every)
    success = "" if played["success"] is None else f", {'success' if played['success'] else 'no success'}"
    print(f"episode {episode}: return {played['return']:.6g}{success}, {played['length']} steps")
    for changed in played["changed"]:
        print(f"recorded with another version: {changed}")
    print(f"video: {to}, {played['frames']} pictures")
