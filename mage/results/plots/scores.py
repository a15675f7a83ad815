"""Scores with their intervals, and what tuning buys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mage.errors import MageError
from mage.results.plots.style import COLORS, color_of, finish, grid, style_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_intervals(table: pd.DataFrame) -> Figure:
    """A panel a scenario, a line a method: its mean and interval.

    Args:
        table: as from `mage.results.method_table`.

    Raises:
        MageError: there is no method.
    """
    if table.empty:
        raise MageError("there is nothing to plot: no episode has a normalised score")
    scenarios, methods = sorted(table["scenario"].unique()), sorted(table["method"].unique(), reverse=True)
    figure, panels = grid(len(scenarios), 1.0 + 0.3 * len(methods))
    for scenario, panel in zip(scenarios, panels, strict=True):
        own = table[table["scenario"] == scenario].set_index("method").reindex(methods)
        lines, means = np.arange(len(methods)), own["mean"].to_numpy(float)
        bounds = np.nan_to_num(np.abs(own[["low", "high"]].to_numpy(float).T - means))
        panel.errorbar(means, lines, xerr=bounds, fmt="o", markersize=5, color=COLORS[0], capsize=3)
        panel.set_yticks(lines, methods, fontsize="small")
        panel.set_ylim(-0.6, len(methods) - 0.4)
        panel.set_xlabel("normalised score", fontsize="small")
        finish(panel, scenario)
    return figure


def draw_budget(budget: pd.DataFrame) -> Figure:
    """A line a scenario: the score that so many configurations buy.

    Args:
        budget: as from `mage.results.budget`.

    Raises:
        MageError: no trial was tried.
    """
    from matplotlib.ticker import MaxNLocator

    if budget.empty:
        raise MageError("there is nothing to plot: the table has no trial that has ended")
    figure, (panel,) = grid(1, 3.0)
    for number, (scenario, own) in enumerate(budget.groupby("scenario")):
        color, style = color_of(number), style_of(number)
        panel.plot(own["configurations"], own["score"], style, marker="o", markersize=3, color=color, label=scenario)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("configurations tried")
    panel.set_ylabel("expected best score")
    panel.legend(frameon=False, fontsize="small")
    finish(panel)
    return figure
