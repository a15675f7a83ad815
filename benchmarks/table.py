"""Prints the results of a sweep as a Markdown table, with what is needed to repeat it.

python benchmarks/table.py runs/adroit >> benchmarks/adroit_cpu.md
"""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from mage.evaluation.latency import cpu_name
from mage.results import load, load_trials, summary
from mage.results.store import TRIAL_COLUMNS

PACKAGES = ("torch", "ray", "optuna", "minari", "gymnasium-robotics", "mujoco", "numpy")


def main(run: Path) -> None:
    """Prints settings, machine and one row a configuration, in the order of their scores."""
    settings = json.loads((run / "sweep.json").read_text())
    trials, results = load_trials(str(run)), load(str(run))
    print(f"- settings: `{json.dumps(settings)}`")
    print("\n".join(environment_lines()))
    print(f"- datasets: {', '.join(sorted(results['dataset_id'].unique()))}\n")
    print(markdown(table(trials, results)))


def environment_lines() -> list[str]:
    """What the figures were measured on."""
    return [
        f"- machine: {os.cpu_count()} cores ({cpu_name()}), Python {platform.python_version()}",
        f"- versions: {', '.join(f'{name} {version(name)}' for name in PACKAGES)}",
    ]


def table(trials: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """One row a trial, finished or not, with the time it took."""
    swept = [name for name in trials.columns if name not in TRIAL_COLUMNS]
    summarised = summary(results)[["scenario", "config_hash", "episodes", "iqm_episodes"]]
    rows = trials.merge(summarised, how="left", on=["scenario", "config_hash"])
    rows["seconds a seed"] = rows["seconds"] / rows["seeds"]
    columns = [
        "scenario",
        *swept,
        "status",
        "seeds",
        "episodes",
        "score",
        "score_standard_error",
        "iqm_episodes",
        "success_rate",
    ]
    rows = rows.sort_values(["scenario", "score"], ascending=[True, False])
    return rows[[*columns, "seconds a seed", "config_hash"]]


def markdown(frame: pd.DataFrame) -> str:
    """A Markdown table with one decimal."""
    lines = [
        "| " + " | ".join(name.rsplit(".", 1)[-1] for name in frame.columns) + " |",
        "|" + " --- |" * len(frame.columns),
    ]
    for row in frame.itertuples(index=False):
        lines.append("| " + " | ".join(cell(value) for value in row) + " |")
    return "\n".join(lines)


def cell(value: object) -> str:
    """A value as people write it; unknown numbers are `-`."""
    if value is None or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.1f}"
    return str(value)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/table.py RUN_DIRECTORY")
    main(Path(sys.argv[1]))
