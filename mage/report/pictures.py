"""The pictures of a report: drawn as SVG, and part of the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mage.results.profile_plot import COLORS, STYLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 400
"""Of a curve; what is longer is drawn by every so many."""

MOST_COLUMNS = 3
"""Of panels in a picture: more would be too small on a phone."""


def as_data_uri(figure: Figure) -> str:
    """The picture as an address that holds it; the same picture gives the same address."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    written = io.BytesIO()
    with rc_context({"svg.hashsalt": "mage"}):
        FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(written.getvalue()).decode()}"


def draw_intervals(table: pd.DataFrame) -> Figure:
    """A panel a scenario, a line a method: its mean and interval.

    Args:
        table: as from `mage.results.method_table`.
    """
    scenarios, methods = sorted(table["scenario"].unique()), sorted(table["method"].unique(), reverse=True)
    figure, panels = _grid(len(scenarios), 1.0 + 0.3 * len(methods))
    for scenario, panel in zip(scenarios, panels, strict=True):
        own = table[table["scenario"] == scenario].set_index("method").reindex(methods)
        lines, means = np.arange(len(methods)), own["mean"].to_numpy(float)
        bounds = np.nan_to_num(np.abs(own[["low", "high"]].to_numpy(float).T - means))
        panel.errorbar(means, lines, xerr=bounds, fmt="o", markersize=5, color=COLORS[0], capsize=3)
        panel.set_yticks(lines, methods, fontsize="small")
        panel.set_ylim(-0.6, len(methods) - 0.4)
        panel.set_xlabel("normalised score", fontsize="small")
        _finish(panel, scenario)
    return figure


def draw_curves(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """A panel a stage of an algorithm, a line a training: its loss.

    Args:
        curves: by the name of a run, the rows of its `metrics.jsonl`, each with `algorithm`.
    """
    rows = [{"run": name, **row} for name, own in curves.items() for row in own if "loss" in row]
    table = pd.DataFrame(rows)[["run", "algorithm", "stage", "step", "loss"]].dropna()
    stages = list(dict.fromkeys(table[["algorithm", "stage"]].itertuples(index=False, name=None)))
    figure, panels = _grid(len(stages), 2.4)
    for (algorithm, stage), panel in zip(stages, panels, strict=True):
        own = table[(table["algorithm"] == algorithm) & (table["stage"] == stage)]
        for number, (_, line) in enumerate(own.groupby("run", sort=False)):
            shown = line.iloc[:: max(1, len(line) // MOST_POINTS)]
            style = STYLES[number // len(COLORS) % len(STYLES)]
            panel.plot(shown["step"], shown["loss"], style, color=COLORS[number % len(COLORS)], linewidth=1)
        if (own["loss"] > 0).all() and own["loss"].max() > 20 * own["loss"].min():
            panel.set_yscale("log")
        panel.set_xlabel("step of the stage", fontsize="small")
        panel.set_ylabel("loss", fontsize="small")
        _finish(panel, f"{algorithm}: {stage}")
    return figure


def draw_budget(budget: pd.DataFrame) -> Figure:
    """A line a scenario: the score that so many configurations buy.

    Args:
        budget: as from `mage.results.budget`.
    """
    from matplotlib.ticker import MaxNLocator

    figure, (panel,) = _grid(1, 3.0)
    for number, (scenario, own) in enumerate(budget.groupby("scenario")):
        style = STYLES[number // len(COLORS) % len(STYLES)]
        color = COLORS[number % len(COLORS)]
        panel.plot(own["configurations"], own["score"], style, marker="o", markersize=3, color=color, label=scenario)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("configurations tried")
    panel.set_ylabel("expected best score")
    panel.legend(frameon=False, fontsize="small")
    _finish(panel, "")
    return figure


def _grid(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(panels, MOST_COLUMNS)
    lines = -(-panels // columns)
    figure = Figure(figsize=(max(4.6, 3.4 * columns), height * lines), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).ravel())
    for unused in axes[panels:]:
        unused.set_axis_off()
    return figure, axes[:panels]


def _finish(panel: Axes, title: str) -> None:
    panel.set_title(title, fontsize="medium")
    panel.grid(color="#dddddd", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize="small")
    panel.spines[["top", "right"]].set_visible(False)
