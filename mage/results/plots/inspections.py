"""What inspections hold, as pictures: the return that a target brings, and how much of a codebook is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mage.errors import MageError
from mage.results.plots.style import MEAN, color_of, finish, grid, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from mage.interface.explanation import CodeUse

MOST_NAMES = 12
"""Of policies, for which there is a legend."""
MOST_WIDTH = 9.0
"""Inches of a panel of bars: in a wider one nobody reads the letters on a page."""


class Asked(NamedTuple):
    """What the targets of a panel are: of which scenario, and returns with which discount, or advantages."""

    scenario: str
    discount: float = 1.0
    what: str = "return"

    @property
    def is_measured(self) -> bool:
        """Whether a target is in the units of what is measured."""
        return self.what == "return" and self.discount == 1

    @property
    def label(self) -> str:
        """Of the axis."""
        if self.what != "return":
            return f"target {self.what}, in deviations"
        return "target return" if self.is_measured else f"target return, discounted by {self.discount:g} a step"


Scans = Mapping[Asked, Mapping[str, Sequence[Mapping[str, Any]]]]
"""Name of a policy -> rows of its inspection's scan."""


def draw_targets(scans: Scans) -> Figure:
    """The return that was measured over what was asked for: a panel for each of `scans`, a line a policy.

    On the dashed diagonal a policy brings what it is asked for. A star is the target that it is evaluated with. Targets
    that are discounted, or advantages, are in other units than what is measured: there is no diagonal.

    Args:
        scans: of each row `target`, `return`, `return_standard_error` and `own` are read.

    Raises:
        MageError: no policy has been asked for two returns.
    """
    asked = {
        panel: {name: rows for name, rows in own.items() if len(rows) > 1 and rows[0]["target"] is not None}
        for panel, own in scans.items()
    }
    asked = {panel: own for panel, own in asked.items() if own}
    if not asked:
        raise MageError(
            "there is nothing to plot: no policy here was played with several targets (`mage inspect RUN` plays them); "
            "one whose algorithm is asked for nothing, or whose data has but one return, cannot be"
        )
    names = list(dict.fromkeys(name for own in asked.values() for name in own))
    figure, panels = grid(len(asked), 3.3, width=3.8)
    lines: dict[str, Line2D] = {}
    for (targets, own), panel in zip(asked.items(), panels, strict=True):
        for name, rows in own.items():
            lines[name] = _draw_scan(panel, rows, names.index(name))
        if targets.is_measured:
            values = [row["target"] for rows in own.values() for row in rows]
            ends = min(values), max(values)
            panel.plot(ends, ends, "--", color=MEAN, linewidth=0.8, zorder=1, label="diagonal")
        panel.set_xlabel(targets.label, fontsize="small")
        panel.set_ylabel("measured return, ± s.e. of episodes", fontsize="small")
        finish(panel, targets.scenario)
    if 1 < len(names) <= MOST_NAMES:
        shown = [lines[name] for name in names]
        figure.legend(shown, names, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure


def _draw_scan(panel: Axes, rows: Sequence[Mapping[str, Any]], number: int) -> Line2D:
    targets, returns = ([row[name] for row in rows] for name in ("target", "return"))
    errors = [row["return_standard_error"] or 0.0 for row in rows]
    color = color_of(number)
    drawn = panel.errorbar(
        targets, returns, yerr=errors, fmt=f"o{style_of(number)}", color=color, markersize=4, capsize=2, linewidth=1.2
    )
    for row in rows:
        if row["own"]:
            panel.plot(row["target"], row["return"], "*", color=color, markersize=12, zorder=4)
    line: Line2D = drawn.lines[0]
    return line


def draw_code_use(use: Mapping[str, Sequence[CodeUse]]) -> Figure:
    """The share of the codes that each scale uses, and their perplexity, as bars; a colour a policy.

    Args:
        use: by the name of a policy, as its algorithm explains its inspection.

    Raises:
        MageError: no policy has a codebook.
    """
    use = {name: own for name, own in use.items() if own}
    if not use:
        raise MageError(
            "there is nothing to plot: no inspection here tells of a codebook; either the algorithm has none, or "
            "inspection.json is missing, which training writes"
        )
    scales = list(dict.fromkeys(code.scale for own in use.values() for code in own if code.scale != "all"))
    scales += ["all"] if any(code.scale == "all" for own in use.values() for code in own) else []
    figure, (shares, perplexities) = grid(2, 3.2, width=min(max(3.6, 0.25 * len(scales) * len(use)), MOST_WIDTH))
    width = 0.8 / len(use)
    for number, (name, own) in enumerate(use.items()):
        places = np.array([scales.index(code.scale) for code in own]) + width * (number - (len(use) - 1) / 2)
        for panel, heights in (
            (shares, [code.codes_used for code in own]),
            (perplexities, [code.perplexity for code in own]),
        ):
            panel.bar(places, heights, 0.9 * width, color=color_of(number), label=name)
    (own, *_) = use.values()
    tokens = {code.scale: code.tokens for code in own}
    several = len({tuple((code.scale, code.tokens) for code in own) for own in use.values()}) > 1
    ticks = [scale if several else f"{scale}\n{tokens[scale]}" for scale in scales]
    for panel, title, unit in (
        (shares, "codes used", "% of the codebook"),
        (perplexities, "perplexity", "codes, were they used alike"),
    ):
        panel.set_xticks(range(len(scales)), ticks)
        panel.set_xlabel("scale, coarse to fine" + ("" if several else "; tokens of it"), fontsize="small")
        panel.set_ylabel(unit, fontsize="small")
        finish(panel, title)
        panel.grid(visible=False, axis="x")
    shares.set_ylim(0, 105)
    if 1 < len(use) <= MOST_NAMES:
        handles, names = shares.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure
