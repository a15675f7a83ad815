"""`mage results plot`: pictures of what came out."""

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
