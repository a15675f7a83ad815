"""`mage results report`: one self-contained page, without scripts and without a request to anywhere.

The template is `page.html.jinja`; what it is given are plain tables (`Table`), pictures (`Picture`) and texts, all of
which it escapes.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from mage import __version__
from mage.errors import MageError
from mage.files import as_path, write_text
from mage.report.pictures import as_data_uri, draw_budget, draw_curves, draw_intervals
from mage.report.run_files import RunFiles, fingerprints, read_files, training_command
from mage.results import (
    aggregate,
    budget,
    compare,
    improvement,
    load,
    load_failures,
    load_trials,
    method_table,
    profile,
    summary,
    warnings,
)
from mage.results.failures import FAILURE_COLUMNS, unfinished
from mage.results.method_table import NOTE
from mage.results.plots import draw_parameters
from mage.results.profile_plot import draw_profiles
from mage.results.store import TRIAL_COLUMNS
from mage.results.variant_plot import draw_variants
from mage.words import estimate, short_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = Path(__file__).with_name("page.html.jinja")
PAGE = "index.html"
MOST_CURVES = 60
"""Trainings whose loss curves are drawn."""

BEST = " *"
"""At the end of a cell, which the template then shows in bold."""

STATISTICS = ("mean", "median", "iqm")


@dataclass(frozen=True)
class Table:
    """Cells as text; the first of a row names it."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Picture:
    """A picture, and what it shows in words, for who does not see it."""

    uri: str
    alt: str
    caption: str


def write_report(
    location: str | Path, to: str | Path, by: str | None = None, seed: int = 0, now: datetime | None = None
) -> Path:
    """Writes `index.html` into a folder: summary, tables, pictures, failures, configurations, data and commands.

    Args:
        location: as for `mage.results.load`.
        to: the folder; a report that is there is replaced.
        by: the column that names the methods, as for `mage.results.runs`.
        seed: of the resampling.
        now: when it is written; by default it is.

    Returns:
        The page.

    Raises:
        MageError: there are no results, or the page cannot be written.
    """
    page = as_path(to) / PAGE
    written = now or datetime.now(UTC)
    with TEMPLATE.open(encoding="utf-8") as file:
        template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        shown = gather(location, by, seed) | {"written": f"{written:%Y-%m-%d %H:%M} UTC"}
        text = template.from_string(file.read()).render(shown).lstrip()
    write_text(page, text)
    return page


def gather(location: str | Path, by: str | None, seed: int) -> dict[str, Any]:
    """What the page shows."""
    results = load(location)
    failures, files = load_failures(location, results), read_files(location)
    trials = pd.DataFrame(columns=list(TRIAL_COLUMNS))
    with suppress(MageError):  # trainings outside of sweeps have no trials
        trials = load_trials(location)
    scored = bool(results["normalized_score"].notna().any())
    cells = method_table(results, by, failures, seed=seed) if scored else pd.DataFrame()
    scenarios = sorted(results["scenario"].unique())
    runs = len(results.drop_duplicates(["scenario", "config_hash", "dataset_id", "training_seed"]))
    return {
        "title": f"Results of {Path(str(location)).name or location}",
        "location": shlex.quote(str(location)),
        "options": f" --by {shlex.quote(by)}" if by else "",
        "seed": seed,
        "version": __version__,
        "facts": {
            "scenarios": ", ".join(scenarios),
            "algorithms": ", ".join(sorted(map(str, results["algorithm"].unique()))),
            "training runs played": str(runs),
            "runs that failed": str(len(failures)),
            "episodes": str(len(results)),
            "configurations": str(len(summary(results))),
            "trials of sweeps": str(len(trials)),
        },
        "note": NOTE,
        "scores": _scores(cells) if scored else None,
        "statistics": _or_none(lambda: _statistics(results, by, seed, failures)) if scored else None,
        "improvement": _or_none(lambda: _improvement(results, by, seed, failures)) if scored else None,
        "comparison": _or_none(lambda: _comparison(results, failures)),
        "configurations": _configurations(results, failures),
        "pictures": _pictures(results, cells, trials, files, by, seed, failures),
        "failures": _failures(failures),
        "unfinished": unfinished(location),
        "warnings": warnings(results),
        "policies": _policies(files),
        "fingerprints": _fingerprints(files),
        "versions": _versions(results, files),
    }


def _scores(cells: pd.DataFrame) -> Table:
    scenarios = tuple(sorted(cells["scenario"].unique()))
    rows = []
    for method, own in cells.groupby("method"):
        known = {cell["scenario"]: cell for cell in own.to_dict("records")}
        rows.append((str(method), *(_cell(known.get(name)) for name in scenarios)))
    return Table(("method", *scenarios), rows)


def _cell(cell: Mapping[Any, Any] | None) -> str:
    if cell is None:
        return "-"
    failed = f" ({cell['failed']} of {cell['runs']} failed)" if cell["failed"] else ""
    return f"{_within(cell, 'mean', '')}{failed}{BEST if cell['is_best'] else ''}"


def _within(row: Mapping[Any, Any], name: str, prefix: str, digits: int = 1) -> str:
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return f"{row[name]:.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if low == low else "")


def _statistics(results: pd.DataFrame, by: str | None, seed: int, failures: pd.DataFrame) -> Table:
    rows = [
        (
            *(str(row[name]) for name in ("method", "scenarios", "runs", "failed", "of")),
            *(_within(row, name, f"{name}_") for name in STATISTICS),
        )
        for row in aggregate(results, by, seed=seed, failures=failures).to_dict("records")
    ]
    return Table(("method", "scenarios", "runs", "failed", "best of", *STATISTICS), rows)


def _improvement(results: pd.DataFrame, by: str | None, seed: int, failures: pd.DataFrame) -> Table | None:
    rows = [
        (row["method"], row["over"], _within(row, "probability", "", 2))
        for row in improvement(results, by, seed=seed, failures=failures).to_dict("records")
    ]
    return Table(("method", "is better than", "with probability"), rows) if rows else None


def _comparison(results: pd.DataFrame, failures: pd.DataFrame) -> Table | None:
    rows = []
    for row in compare(results, failures=failures).to_dict("records"):
        published = (estimate(row[f"{kind}_mean"], row[f"{kind}_error"]) for kind in ("published", "mage", "baseline"))
        own, full, other = published
        best = f"{row['baseline_method']} {other}" if other != "-" else "-"
        measured = estimate(row["measured_mean"], row["measured_standard_error"])
        rows.append((row["scenario"], row["algorithm"], row["dataset_id"], measured, own, full, best))
    if all(set(row[4:]) == {"-"} for row in rows):
        return None
    names = ("scenario", "algorithm", "dataset", "measured", "published", "MAGE published", "best other published")
    return Table(names, [tuple(map(_text, row)) for row in rows])


def _configurations(results: pd.DataFrame, failures: pd.DataFrame) -> Table:
    table = summary(results, failures).drop(columns="iqm")
    digits = {"mean", "standard_error", "iqm_episodes", "success_rate", "mean_return"}
    rows = [
        tuple(_text(value, name in digits) for name, value in row.items())
        for row in table[["config_hash", *table.columns.drop("config_hash")]].to_dict("records")
    ]
    return Table(("configuration", *(str(name) for name in table.columns.drop("config_hash"))), rows)


def _pictures(
    results: pd.DataFrame,
    cells: pd.DataFrame,
    trials: pd.DataFrame,
    files: RunFiles,
    by: str | None,
    seed: int,
    failures: pd.DataFrame,
) -> list[Picture]:
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


def _failures(failures: pd.DataFrame) -> Table | None:
    if failures.empty:
        return None
    swept = [name for name in failures.columns if name not in FAILURE_COLUMNS]
    columns = ("trial_id", "scenario", "algorithm", *swept, "training_seed", "error", "log")
    return Table(tuple(map(str, columns)), [tuple(map(_text, row)) for row in failures[list(columns)].to_numpy()])


def _policies(files: RunFiles) -> list[dict[str, Any]]:
    """Each configuration once: where it is, its seeds, the commands that make it, and itself."""
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for folder, described in sorted(files.policies.items()):
        config = json.dumps(described.get("config"), indent=1)
        task = described.get("task") or {}
        own = known.setdefault((str(task.get("dataset_id")), config), {"config": config, "folders": []})
        own["folders"].append(folder)
        own.setdefault("command", training_command(described))
        own.setdefault("name", f"{(described.get('config') or {}).get('algorithm', '?')} on {task.get('scenario')}")
    return list(known.values())


def _fingerprints(files: RunFiles) -> Table | None:
    rows = fingerprints(files.policies)
    return Table(tuple(rows[0]), [tuple(row.values()) for row in rows]) if rows else None


def _versions(results: pd.DataFrame, files: RunFiles) -> Table:
    rows = {
        (str(scenario), _text(version))
        for scenario, version in results[["scenario", "environment_version"]].itertuples(index=False, name=None)
    }
    told = [(scenario, "environment", version) for scenario, version in sorted(rows)]
    for path, versions in sorted(files.versions.items()):
        told.append((path, "recorded with", ", ".join(f"{name} {version}" for name, version in versions.items())))
    return Table(("of", "what", "versions"), told)


def _or_none(make: Callable[[], Table | None]) -> Table | None:
    """A table that cannot be made of these results is left out; the others do not need it."""
    with suppress(MageError):
        return make()
    return None


def _text(value: Any, is_measure: bool = False) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if value is None or value is pd.NA or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}" if is_measure else f"{value:.6g}"
    return str(value)
