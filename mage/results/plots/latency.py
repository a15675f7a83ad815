"""What a step costs, and what it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mage.errors import MageError
from mage.results.plots.style import COLORS, color_of, finish, grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = "os^Dv"
"""Of methods, where the colours begin anew."""


def draw_latency(table: pd.DataFrame, machine: str) -> Figure:
    """A panel a scenario, a point a method: milliseconds a step, on a log scale, over its score.

    Args:
        table: a row a method and scenario: `scenario`, `method`, `score`, `standard_error` (over training seeds, NaN
            with one) and `milliseconds` (a step of one environment).
        machine: on which the steps were timed.

    Raises:
        MageError: there is no row.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, NullFormatter

    if table.empty:
        raise MageError("there is nothing to plot: no method has a policy here and a normalised score")
    methods, scenarios = sorted(table["method"].unique()), sorted(table["scenario"].unique())
    marks = {method: MARKS[number // len(COLORS) % len(MARKS)] for number, method in enumerate(methods)}
    figure, panels = grid(len(scenarios), 3.2, width=3.8)
    for scenario, panel in zip(scenarios, panels, strict=True):
        for row in table[table["scenario"] == scenario].sort_values("method").to_dict("records"):
            panel.errorbar(
                row["score"],
                row["milliseconds"],
                xerr=np.nan_to_num(row["standard_error"]),
                fmt=marks[row["method"]],
                color=color_of(methods.index(row["method"])),
                capsize=2,
            )
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.margins(x=0.15, y=0.15)
        panel.set_xlabel("normalised score, ± s.e. over seeds", fontsize="small")
        panel.set_ylabel("ms a step", fontsize="small")
        finish(panel, scenario)
    figure.suptitle(f"one environment on {machine}", fontsize="small")
    shown = [
        Line2D([], [], color=color_of(number), marker=marks[method], linestyle="", label=method)
        for number, method in enumerate(methods)
    ]
    figure.legend(handles=shown, loc="outside lower center", ncols=5, frameon=False, fontsize="small")
    return figure
