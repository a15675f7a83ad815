"""Scores of named variants, drawn without a display: a panel a scenario, a line a variant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mage.errors import MageError
from mage.results.plots.style import FAILED, TRIAL, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_variants(trials: pd.DataFrame, path: str | Path) -> None:
    """Score of every variant with its standard error over training seeds; a cross at the left is one that failed.

    Args:
        trials: as from `load_trials`, with a column `variant`.
        path: of the PNG, written whole or not at all.

    Raises:
        MageError: there is no trial, or the file cannot be written.
    """
    save(draw_variants(trials), path)


def draw_variants(trials: pd.DataFrame) -> Figure:
    """The picture of `plot_variants`."""
    from matplotlib.figure import Figure

    if trials.empty:
        raise MageError("there is nothing to plot: the table has no trial")
    scenarios = list(dict.fromkeys(trials["scenario"]))
    counts = [int((trials["scenario"] == scenario).sum()) for scenario in scenarios]
    size = (7.0, 0.6 + sum(0.6 + 0.28 * count for count in counts))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    panels = figure.subplots(len(scenarios), 1, squeeze=False, height_ratios=[2 + count for count in counts])[:, 0]
    for scenario, panel in zip(scenarios, panels, strict=True):
        _draw(panel, trials[trials["scenario"] == scenario].iloc[::-1])
        panel.set_title(scenario, fontsize="medium")
    panels[-1].set_xlabel("score, ± standard error over training seeds")
    return figure


def _draw(panel: Axes, trials: pd.DataFrame) -> None:
    panel.set_yticks(range(len(trials)), list(trials["variant"]), fontsize="small")
    panel.set_ylim(-0.6, len(trials) - 0.4)
    panel.grid(axis="both", color="#dddddd", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    lines, scores = np.arange(len(trials)), trials["score"].to_numpy(dtype=float)
    errors = np.nan_to_num(trials["score_standard_error"].to_numpy(dtype=float))
    known = ~np.isnan(scores)
    panel.errorbar(scores[known], lines[known], xerr=errors[known], fmt="o", markersize=5, color=TRIAL, capsize=2)
    failed = lines[(trials["status"] == "failed").to_numpy()]
    panel.plot(np.full(len(failed), 0.02), failed, "x", color=FAILED, transform=panel.get_yaxis_transform())
