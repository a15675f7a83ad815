"""Performance profiles as a picture: how many runs of each method score above each threshold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mage.errors import MageError
from mage.results.plots import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")  # told apart by the colour-blind
STYLES = ("-", "--", ":", "-.")


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
    from matplotlib.figure import Figure

    if profiles.empty:
        raise MageError("there is nothing to plot: the table of profiles is empty")
    figure = Figure(figsize=(6.4, 4.0), dpi=150, layout="constrained")
    panel = figure.subplots()
    for number, (method, own) in enumerate(profiles.groupby("method")):
        color, style = COLORS[number % len(COLORS)], STYLES[number // len(COLORS) % len(STYLES)]
        panel.plot(own["threshold"], own["share"], style, color=color, label=str(method))
        if own["low"].notna().all():
            panel.fill_between(own["threshold"], own["low"], own["high"], color=color, alpha=0.2, linewidth=0)
    panel.set_xlabel("normalised score")
    panel.set_ylabel("share of runs above it")
    panel.set_ylim(-0.02, 1.02)
    panel.grid(color="#dddddd", linewidth=0.8)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)
    return figure
