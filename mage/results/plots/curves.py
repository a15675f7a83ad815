"""Learning curves, as `metrics.jsonl` of each training has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from mage.errors import MageError
from mage.results.plots.style import color_of, finish, grid, style_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_POINTS = 400
"""Of a curve; what is longer is drawn by every so many."""

MOST_NAMES = 8
"""Of trainings, for which there is a legend."""


def draw_curves(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """A panel a stage of an algorithm, a line a training: its loss; with names where the trainings are few.

    Args:
        curves: by the name of a run, the rows of its `metrics.jsonl`, each with `algorithm`.

    Raises:
        MageError: no row has a loss.
    """
    rows = [{"run": name, **row} for name, own in curves.items() for row in own if "loss" in row]
    if not rows:
        raise MageError("there is nothing to plot: no metrics.jsonl with a loss is there; training writes it")
    table = pd.DataFrame(rows)[["run", "algorithm", "stage", "step", "loss"]].dropna()
    names = list(dict.fromkeys(table["run"]))
    stages = list(dict.fromkeys(table[["algorithm", "stage"]].itertuples(index=False, name=None)))
    figure, panels = grid(len(stages), 2.4)
    lines = {}
    for (algorithm, stage), panel in zip(stages, panels, strict=True):
        own = table[(table["algorithm"] == algorithm) & (table["stage"] == stage)]
        for name, line in own.groupby("run", sort=False):
            shown, number = line.iloc[:: max(1, len(line) // MOST_POINTS)], names.index(str(name))
            color, style = color_of(number), style_of(number)
            (lines[name],) = panel.plot(shown["step"], shown["loss"], style, color=color, linewidth=1)
        if (own["loss"] > 0).all() and own["loss"].max() > 20 * own["loss"].min():
            panel.set_yscale("log")
        panel.set_xlabel("step of the stage", fontsize="small")
        panel.set_ylabel("loss", fontsize="small")
        finish(panel, f"{algorithm}: {stage}")
    if 1 < len(names) <= MOST_NAMES:
        shown_names = [lines[name] for name in names]
        figure.legend(shown_names, names, loc="outside lower center", frameon=False, fontsize="small")
    return figure
