"""Which pictures the report of some runs has, and what each shows in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from mage.report.pictures import as_data_uri, draw_budget, draw_curves, draw_intervals
from mage.report.run_files import RunFiles
from mage.results import budget, profile
from mage.results.plots import draw_parameters
from mage.results.profile_plot import draw_profiles
from mage.results.store import TRIAL_COLUMNS
from mage.results.variant_plot import draw_variants
from mage.words import short_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CURVES = 60
"""Trainings whose loss curves are drawn."""


@dataclass(frozen=True)
class Picture:
    """A picture, and what it shows in words, for who does not see it."""

    uri: str
    alt: str
    caption: str


def pictures(
    results: pd.DataFrame,
    cells: pd.DataFrame,
    trials: pd.DataFrame,
    files: RunFiles,
    by: str | None,
    seed: int,
    failures: pd.DataFrame,
) -> list[Picture]:
    """Those that there is something to draw for, in the order of the page."""
    swept = [name for name in trials.columns if name not in TRIAL_COLUMNS]
    curves = dict(list(files.curves.items())[:MOST_CURVES])
    of = f"{len(curves)} of {len(files.curves)}" if len(curves) < len(files.curves) else f"all {len(curves)}"
    wanted: list[tuple[bool, Callable[[], Any], str, str]] = [
        (
            len(cells) > 0,
            lambda: draw_intervals(cells),
            "Scores and their intervals",
            "A panel a scenario, a point a method: mean over training seeds and its 95 % bootstrap interval; the "
            "numbers are in the table of scores.",
        ),
        (
            len(cells) > 0,
            lambda: draw_profiles(profile(results, by=by, seed=seed, failures=failures)),
            "Performance profiles",
            "For each threshold, the share of a method's runs that score above it, scenarios weighed alike; the band "
            "is the 95 % bootstrap interval.",
        ),
        (
            "variant" in swept,
            lambda: _draw_named(trials),
            "Scores of the variants",
            "A panel a scenario, a line a variant: score with its standard error over training seeds; a cross failed.",
        ),
        (
            bool(set(swept) - {"variant"}),
            lambda: draw_parameters(trials.drop(columns="variant", errors="ignore")),
            "Score against each swept field",
            "A panel a field and scenario, a point a trial with its standard error; the line joins the means of each "
            "value, a cross failed.",
        ),
        (
            len(trials) > 1,
            lambda: draw_budget(budget(trials)),
            "What tuning buys",
            "The expected best score of so many configurations out of those tried; one that failed counts as 0.",
        ),
        (
            any("loss" in row for rows in curves.values() for row in rows),
            lambda: draw_curves(curves),
            "Learning curves of all stages",
            f"A panel a stage, a line a training: its loss as metrics.jsonl has it, of {of} trainings.",
        ),
    ]
    return [Picture(as_data_uri(draw()), alt, caption) for is_there, draw, caption, alt in wanted if is_there]


def _draw_named(trials: pd.DataFrame) -> Figure:
    named = trials.dropna(subset=["variant"])
    return draw_variants(named.assign(variant=named["variant"].map(short_name)))
