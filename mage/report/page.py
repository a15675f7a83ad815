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
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from mage import __version__
from mage.errors import MageError
from mage.files import as_path, write_text
from mage.report.gallery import pictures
from mage.report.run_files import RunFiles, fingerprints, training_command
from mage.report.views import Runs
from mage.results import (
    aggregate,
    compare,
    improvement,
    summary,
    warnings,
)
from mage.results.failures import FAILURE_COLUMNS, unfinished
from mage.results.method_table import NOTE
from mage.words import cell, estimate

TEMPLATE = Path(__file__).with_name("page.html.jinja")
PAGE = "index.html"
BEST = " *"
"""At the end of a cell, which the template then shows in bold."""

STATISTICS = ("mean", "median", "iqm")


@dataclass(frozen=True)
class Table:
    """Cells as text; the first of a row names it."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


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
    shown = Runs(location, by, seed)
    results, failures, files, scored = shown.results, shown.failures, shown.files, shown.is_scored
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
            "trials of sweeps": str(len(shown.trials_if_any)),
        },
        "note": NOTE,
        "scores": _scores(shown.cells) if scored else None,
        "statistics": _or_none(lambda: _statistics(results, by, seed, failures)) if scored else None,
        "improvement": _or_none(lambda: _improvement(results, by, seed, failures)) if scored else None,
        "comparison": _or_none(lambda: _comparison(results, failures)),
        "configurations": _configurations(results, failures),
        "pictures": pictures(shown),
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
        known = {score["scenario"]: score for score in own.to_dict("records")}
        rows.append((str(method), *(_score(known.get(name)) for name in scenarios)))
    return Table(("method", *scenarios), rows)


def _score(score: Mapping[Any, Any] | None) -> str:
    if score is None:
        return "-"
    failed = f" ({score['failed']} of {score['runs']} failed)" if score["failed"] else ""
    return f"{_within(score, 'mean', '')}{failed}{BEST if score['is_best'] else ''}"


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
    return Table(names, [tuple(map(cell, row)) for row in rows])


def _configurations(results: pd.DataFrame, failures: pd.DataFrame) -> Table:
    table = summary(results, failures).drop(columns="iqm")
    digits = {"mean", "standard_error", "iqm_episodes", "success_rate", "mean_return"}
    rows = [
        tuple(cell(value, name in digits) for name, value in row.items())
        for row in table[["config_hash", *table.columns.drop("config_hash")]].to_dict("records")
    ]
    return Table(("configuration", *(str(name) for name in table.columns.drop("config_hash"))), rows)


def _failures(failures: pd.DataFrame) -> Table | None:
    if failures.empty:
        return None
    swept = [name for name in failures.columns if name not in FAILURE_COLUMNS]
    columns = ("trial_id", "scenario", "algorithm", *swept, "training_seed", "error", "log")
    return Table(tuple(map(str, columns)), [tuple(map(cell, row)) for row in failures[list(columns)].to_numpy()])


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
        (str(scenario), cell(version))
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
