"""How results, sweeps and the comparison with the paper look on a terminal.

The heavy packages are imported by the caller; a data frame comes in, a rich table goes out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import mage
from mage.console import print_table, show
from mage.words import cell

if TYPE_CHECKING:
    import pandas as pd

    from mage.results.status import SweepStatus

MEASURES = ("mean", "standard_error", "iqm_episodes", "success_rate", "mean_return")


def print_summary(summary: pd.DataFrame) -> None:
    """`mage.results.summary`: a row a configuration."""
    rows = summary.to_dict("records")
    print_table(
        [name.rsplit(".", 1)[-1] for name in summary.columns],
        [[cell(value, name in MEASURES) for name, value in row.items()] for row in rows],
    )


def print_results(results: pd.DataFrame, failures: pd.DataFrame | None = None) -> None:
    """The summary of a results table, and what keeps its scores from being compared with others."""
    from mage.results import summary, warnings

    failed = failures if failures is not None and len(failures) else None
    print_summary(summary(results, failed).drop(columns="iqm"))
    for warning in warnings(results):
        print(f"warning: {warning}")


def print_failures(failures: pd.DataFrame, location: str | Path) -> None:
    """What no table can show: failed trials, a line each, and trainings at a location that have no score."""
    from mage.results.failures import failure_lines, unfinished

    lines = failure_lines(failures)
    for line in lines:
        print(line)
    if lines:
        print(f"{len(lines)} trial(s), {len(failures)} run(s) failed: each run counts as a random policy, with score 0")
    for line in unfinished(location):
        print(f"in no mean: {line}")


def print_statistics(results: pd.DataFrame, by: str | None, seed: int, failures: pd.DataFrame | None = None) -> None:
    """Methods over runs and scenarios, with intervals, and how probably each is better than each other one."""
    from mage.results import aggregate, improvement
    from mage.results.statistics import MEASURES, RESAMPLES

    failed = ("failed",) if failures is not None and len(failures) else ()
    counts = ("method", "scenarios", "runs", *failed, "of")
    rows: list[dict[Any, Any]] = aggregate(results, by, seed=seed, failures=failures).to_dict("records")
    print_table(
        (*counts, *MEASURES),
        [(*(str(row[name]) for name in counts), *(_with_interval(row, name) for name in MEASURES)) for row in rows],
    )
    pairs: list[dict[Any, Any]] = improvement(results, by, seed=seed, failures=failures).to_dict("records")
    if pairs:
        print()
        print_table(
            ("method", "is better than", "with probability"),
            [(row["method"], row["over"], _with_interval(row, "probability", "", 2)) for row in pairs],
        )
    print(
        f"\nruns are training seeds; [low, high] holds 95 % of {RESAMPLES} resamples of them within scenarios "
        f"(seed {seed}). of: configurations of which each method shows its best."
    )


def _with_interval(row: dict[Any, Any], name: str, prefix: str | None = None, digits: int = 1) -> str:
    prefix = f"{name}_" if prefix is None else prefix
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return f"{row[name]:.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if low == low else "")


def print_budget(budget: pd.DataFrame) -> None:
    """The score that so many configurations buy, a column a scenario."""
    if budget.empty:
        return
    table = budget.pivot(index="configurations", columns="scenario", values="score")
    print()
    print_table(
        ("best of", *map(str, table.columns)),
        [(str(n), *(cell(value, True) for value in row)) for n, row in zip(table.index, table.to_numpy(), strict=True)],
    )
    print("\nbest of so many configurations, as expected of those tried; one that failed counts as a random policy")


MOST_NOTES = 10
"""Of what `print_verified` says in a line each."""


def print_verified(verified: pd.DataFrame) -> None:
    """`mage.evaluation.verify`: of each training seed's episodes, how many came out how, and of some what differs."""
    runs = ["scenario", "algorithm", "config_hash", "training_seed"]
    verdicts = list(dict.fromkeys(["same", "differs", *verified["verdict"]]))
    counts = verified.groupby([*runs, "verdict"]).size().unstack(fill_value=0).reindex(columns=verdicts, fill_value=0)
    rows = counts.reset_index().astype(str).to_numpy().tolist()
    print_table((*runs, *verdicts), rows)
    noted = verified[verified["note"] != ""]
    for row in noted.head(MOST_NOTES).to_dict("records"):
        whose = f"{row['scenario']} {row['config_hash']} seed {row['training_seed']}"
        print(f"{whose} episode {row['episode']}: {row['note']}")
    if len(noted) > MOST_NOTES:
        print(f".. and {len(noted) - MOST_NOTES} more")
    same = int((verified["verdict"] == "same").sum())
    print(f"\n{same} of {len(verified)} episodes give the same return to the bit")


def print_plan(planned: pd.DataFrame) -> None:
    """What tables of the paper would train, a row a scenario and algorithm."""
    heads = ("scenario", "algorithm", "configurations", "trainings", "shared first stages", "core-hours")
    rows = zip(*(planned[name] for name in planned.columns if name != "measured"), strict=True)
    print_table(heads, ([*map(str, row[:-1]), "unknown" if row[-1] != row[-1] else f"{row[-1]:.1f}"] for row in rows))


def print_statuses(statuses: dict[str, SweepStatus]) -> None:
    """How far each sweep is, by the folder that it is in."""
    from mage.progress.view import status_view

    for number, (folder, status) in enumerate(statuses.items()):
        if number:
            print()
        title = status.scenario if folder in (".", status.scenario) else f"{status.scenario} ({folder})"
        show(status_view(status, title))


def print_counts(location: str | Path) -> None:
    """How many trials the results at a location are of, and when that was so, as far as the sweeps there say."""
    from mage.progress.view import how_far
    from mage.results.status import statuses_if_any

    for status in statuses_if_any(location).values():
        when = f" (as of {status.updated.astimezone():%d %b %H:%M:%S})" if status.updated else ""
        print(f"{status.scenario}: {how_far(status)}{when}")


def print_comparison(comparison: pd.DataFrame) -> None:
    """`mage.results.compare`, and below it what keeps a measured and a published number apart."""
    from mage.results.published import reconstructions

    measured = ("scenario", "algorithm", "dataset", "of", "measured", "seeds x episodes")
    published = ("published", "MAGE published", "best other published", "tables")
    rows: list[dict[Any, Any]] = comparison.to_dict("records")
    print_table(measured + published, [_comparison_row(row) for row in rows])
    print("\nmeasured: the best of so many configurations, ± standard error over training seeds if several.")
    print(
        "published: of the same algorithm, as printed in the paper, over 5 training seeds; its baselines come from "
        "several sources."
    )
    for name, told in reconstructions().items():
        if name in set(comparison["algorithm"]):
            print(f"{name}: {told}.")
    for row in rows:
        if row["scenario"] not in mage.scenarios.names():
            print(f"{row['scenario']}: no scenario of the paper.")
        elif row["dataset_id"] != mage.scenarios.get(row["scenario"]).published_dataset_id:
            print(f"{row['scenario']}: measured on {row['dataset_id']}, which is not the published data.")


def _comparison_row(row: dict[Any, Any]) -> tuple[str, ...]:
    # a data frame mixes whole numbers with NaN as floats
    per_seed = row["measured_episodes"] / row["measured_seeds"]
    known = row["baseline_mean"] == row["baseline_mean"]
    baseline = f"{row['baseline_method']} {_estimate(row, 'baseline', 'error')}" if known else "-"
    tables = [cell(row[f"{kind}_table"]) for kind in ("published", "mage", "baseline")]
    return (
        row["scenario"],
        row["algorithm"],
        row["dataset_id"],
        f"{row['configurations']}" + (f" ({row['failed']} runs failed)" if row["failed"] else ""),
        _estimate(row, "measured", "standard_error"),
        f"{row['measured_seeds']} x {per_seed:g}",
        _estimate(row, "published", "error"),
        _estimate(row, "mage", "error"),
        baseline,
        ", ".join(tables) if any(table != "-" for table in tables) else "-",
    )


def _estimate(row: dict[Any, Any], prefix: str, error: str) -> str:
    mean, deviation = (cell(row[f"{prefix}_{name}"], is_measure=True) for name in ("mean", error))
    return mean if deviation == "-" else f"{mean} ± {deviation}"
