"""Performance profiles as a picture: how many runs of each method score above each threshold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mage.errors import MageError
from mage.results.plots.style import color_of, finish, grid, save, style_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_profiles(profiles: pd.DataFrame, path: str | Path) -> None:
    """A line a method, with its interval.

    Args:
        profiles: as from `profile`.
        path: of the PNG, written whole or not at all.

    Raises:
        MageError: there is no method, or the file cannot be written.
    """
    save(draw_profiles(profiles), path)


def draw_profiles(profiles: pd.DataFrame) -> Figure:
    """The picture of `plot_profiles`."""
    if profiles.empty:
        raise MageError("there is nothing to plot: the table of profiles is empty")
    figure, (panel,) = grid(1, 4.0, width=6.4)
    for number, (method, own) in enumerate(profiles.groupby("method")):
        color = color_of(number)
        panel.plot(own["threshold"], own["share"], style_of(number), color=color, label=str(method))
        if own["low"].notna().all():
            panel.fill_between(own["threshold"], own["low"], own["high"], color=color, alpha=0.2, linewidth=0)
    panel.set_xlabel("normalised score")
    panel.set_ylabel("share of runs above it")
    panel.set_ylim(-0.02, 1.02)
    finish(panel)
    panel.legend(frameon=False)
    return figure
