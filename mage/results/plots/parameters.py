"""Score against every swept field: where in the search space it pays to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mage.errors import MageError
from mage.results.plots.style import FAILED, MEAN, TRIAL, save
from mage.results.store import TRIAL_COLUMNS
from mage.words import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MOST_TICKS, MOST_LETTERS = 10, 36
"""A parameter with more tried values, or longer ones together, was drawn from a range, and gets an axis of numbers."""


def plot_parameters(trials: pd.DataFrame, path: str | Path) -> None:
    """Score against every swept parameter, a row of panels a scenario: where in the search space it pays to be.

    A point is a trial with its standard error over training seeds (hollow if the scheduler stopped it), the line goes
    through the means of each value, a cross at the bottom is a trial that failed.

    Args:
        trials: as from `load_trials`.
        path: of the PNG, written whole or not at all.

    Raises:
        MageError: there is no trial or no swept parameter, or the file cannot be written.
    """
    save(draw_parameters(trials), path)


def draw_parameters(trials: pd.DataFrame) -> Figure:
    """The picture of `plot_parameters`."""
    from matplotlib.figure import Figure

    parameters = [name for name in trials.columns if name not in TRIAL_COLUMNS]
    if trials.empty or not parameters:
        raise MageError("there is nothing to plot: the table has no trial or no swept parameter")
    scenarios = list(dict.fromkeys(trials["scenario"]))
    size = (0.6 + 3.8 * len(parameters), 0.8 + 2.8 * len(scenarios))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    panels = figure.subplots(len(scenarios), len(parameters), squeeze=False, sharey="row")
    for scenario, row in zip(scenarios, panels, strict=True):
        for parameter, panel in zip(parameters, row, strict=True):
            of_scenario = trials[(trials["scenario"] == scenario) & trials[parameter].notna()]
            _draw_panel(panel, of_scenario, parameter)
            panel.set_title(scenario, fontsize="medium")
        row[0].set_ylabel("score")
    figure.legend(
        handles=_legend(),
        loc="outside lower center",
        ncols=min(4, 2 * len(parameters)),
        frameon=False,
        fontsize="small",
    )
    return figure


def _draw_panel(panel: Axes, trials: pd.DataFrame, parameter: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panel.set_xlabel(parameter)
    panel.grid(axis="y", color="#dddddd", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    values = [_hashable(value) for value in trials[parameter]]
    tried = _in_order(set(values))
    fits = len(tried) <= MOST_TICKS and sum(len(_label(value)) for value in tried) <= MOST_LETTERS
    if not fits and all(isinstance(value, int | float) for value in tried):
        positions = np.array(values, dtype=float)
        if min(tried) > 0 and max(tried) / min(tried) >= 10:
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.xaxis.set_minor_formatter(NullFormatter())
    else:
        panel.set_xticks(range(len(tried)), [_label(value) for value in tried])
        panel.set_xlim(-0.5, max(len(tried), 1) - 0.5)
        centres = np.array([tried.index(value) for value in values], dtype=float)
        _draw_means(panel, centres, trials["score"].to_numpy(dtype=float))
        positions = centres + _side_by_side(centres)
    _draw_trials(panel, positions, trials)


def _draw_means(panel: Axes, centres: np.ndarray, scores: np.ndarray) -> None:
    means = pd.Series(scores).groupby(centres).mean().dropna()
    panel.plot(means.index.to_numpy(), means.to_numpy(), color=MEAN, linewidth=1.4, zorder=2)


def _draw_trials(panel: Axes, positions: np.ndarray, trials: pd.DataFrame) -> None:
    failed = (trials["status"] == "failed").to_numpy()
    scores = trials["score"].to_numpy(dtype=float)
    errors = np.nan_to_num(trials["score_standard_error"].to_numpy(dtype=float))
    for status, fill in (("finished", TRIAL), ("stopped", "white")):
        shown = (trials["status"] == status).to_numpy() & ~np.isnan(scores)
        panel.errorbar(
            positions[shown],
            scores[shown],
            yerr=errors[shown],
            fmt="o",
            markersize=5,
            color=TRIAL,
            markerfacecolor=fill,
            elinewidth=1,
            capsize=2,
            alpha=0.85,
            zorder=3,
        )
    bottom = np.full(failed.sum(), 0.03)
    panel.plot(positions[failed], bottom, "x", color=FAILED, transform=panel.get_xaxis_transform(), zorder=4)


def _side_by_side(centres: np.ndarray) -> np.ndarray:
    """Offsets that keep the trials of one value from hiding each other."""
    offsets = np.zeros_like(centres)
    for centre in np.unique(centres):
        (same,) = np.nonzero(centres == centre)
        offsets[same] = np.linspace(-1, 1, len(same) + 2)[1:-1] * 0.3
    return offsets


def _hashable(value: Any) -> Any:
    """A hashable Python value of what a table cell holds."""
    value = plain(value)
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def _in_order(values: set[Any]) -> list[Any]:
    numeric = all(isinstance(value, int | float) for value in values)
    return sorted(values) if numeric else sorted(values, key=_label)


def _label(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | tuple):
        return str(value)
    return ", ".join(map(_label, value)) if isinstance(value, tuple) else f"{value:g}"


def _legend() -> Sequence[Line2D]:
    from matplotlib.lines import Line2D

    return (
        Line2D([], [], color=TRIAL, marker="o", markersize=5, linestyle="", label="trial, ± s.e. over seeds"),
        Line2D(
            [], [], color=TRIAL, marker="o", markersize=5, linestyle="", markerfacecolor="white", label="stopped early"
        ),
        Line2D([], [], color=MEAN, linewidth=1.4, label="mean of a value"),
        Line2D([], [], color=FAILED, marker="x", linestyle="", label="failed"),
    )
