"""Which pictures the report of some runs has, and what each shows in words."""

from __future__ import annotations

import base64
import io
from collections.abc import Sized
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mage.errors import MageError
from mage.report.views import VIEWS, Runs, swept_fields

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A picture, and what it shows in words, for who does not see it."""

    uri: str
    alt: str
    caption: str


WORDS = {
    "intervals": (
        "Scores and their intervals",
        "A panel a scenario, a point a method: mean over training seeds and its 95 % bootstrap interval; the "
        "numbers are in the table of scores.",
    ),
    "profiles": (
        "Performance profiles",
        "For each threshold, the share of a method's runs that score above it, scenarios weighed alike; the band "
        "is the 95 % bootstrap interval.",
    ),
    "variants": (
        "Scores of the variants",
        "A panel a scenario, a line a variant: score with its standard error over training seeds; a cross failed.",
    ),
    "fields": (
        "Score against each swept field",
        "A panel a field and scenario, a point a trial with its standard error; the line joins the means of each "
        "value, a cross failed.",
    ),
    "budget": (
        "What tuning buys",
        "The expected best score of so many configurations out of those tried; one that failed counts as 0.",
    ),
    "curves": (
        "Learning curves of all stages",
        "A panel a stage, a line a training: its loss as metrics.jsonl has it, of {curves} trainings.",
    ),
    "targets": (
        "Measured return over target return",
        "A panel a scenario, a line a policy, with standard errors over episodes; on a dashed diagonal a policy brings "
        "what it is asked for, a star is the target that it is evaluated with. Of {inspections} inspections.",
    ),
    "codes": (
        "Use of the codebook by scale",
        "The share of the codes that each scale uses, and their perplexity, coarse to fine; a colour a policy, of "
        "{inspections} inspections.",
    ),
}
"""Caption and description of the report's pictures, in the order of the page."""


def pictures(runs: Runs) -> list[Picture]:
    """Those that there is something to draw for."""
    trials = runs.trials_if_any
    swept = swept_fields(trials)
    is_there = {
        "intervals": runs.is_scored,
        "profiles": runs.is_scored,
        "variants": "variant" in swept,
        "fields": bool(set(swept) - {"variant"}),
        "budget": len(trials) > 1,
        "curves": any("loss" in row for rows in runs.curves.values() for row in rows),
        "targets": bool(runs.inspections),
        "codes": bool(runs.inspections),
    }
    of = {
        "curves": _share(runs.curves, runs.files.curves),
        "inspections": _share(runs.inspections, runs.files.inspections),
    }
    drawn = []
    for kind, (caption, alt) in WORDS.items():
        if is_there[kind]:
            with suppress(MageError):  # an inspection may be of no target, or no codebook
                drawn.append(Picture(as_data_uri(VIEWS[kind](runs)), alt.format(**of), caption))
    return drawn


def _share(drawn: Sized, known: Sized) -> str:
    return f"{len(drawn)} of {len(known)}" if len(drawn) < len(known) else f"all {len(drawn)}"


def as_data_uri(figure: Figure) -> str:
    """The picture as an address that holds it; the same picture gives the same address."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    written = io.BytesIO()
    with rc_context({"svg.hashsalt": "mage"}):
        FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(written.getvalue()).decode()}"
