"""How tables look on a terminal, and light views of scenarios and datasets.

The heavy packages are imported by the caller; a data frame comes in, a rich table goes out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mage
from mage.files import as_path
from mage.words import cell

if TYPE_CHECKING:
    import numpy as np
    from rich.console import RenderableType

    from mage.data.check import Report
    from mage.data.d4rl_import import Imported
    from mage.scenarios import Scenario

WIDTH_OF_A_PIPE = 200
"""Columns where no terminal gives a width, so that `mage scenarios | grep door` sees whole rows."""


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table on standard output."""
    from rich.table import Table

    table = Table(*columns, header_style="bold", show_edge=False, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    show(table)


def show(view: RenderableType) -> None:
    """Prints what rich can draw on standard output."""
    from rich.console import Console

    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)
    console.print(view)


def print_scenarios(namespace: str | None = None) -> None:
    """The registry, and which datasets are on this machine; `namespace` also looks for local copies."""
    columns = ("scenario", "domain", "published data", "built-in", "environment", "score", "tables", "here")
    rows = []
    for scenario in map(mage.scenarios.get, mage.scenarios.names()):
        first, *others = scenario.dataset_ids or ("-",)
        data = (" + ".join([first, *(name.rsplit("/", 1)[1] for name in others)]), scenario.builtin_dataset_id or "-")
        protocol = (scenario.environment, scenario.score, ", ".join(scenario.paper_tables) or "-")
        here = ", ".join(datasets_here(scenario, namespace)) or "no"
        rows.append((scenario.name, scenario.domain, *data, *protocol, here))
    print_table(columns, rows)


def print_scenario(scenario: Scenario, namespace: str | None = None) -> None:
    """Everything that the registry says of one scenario."""
    entry = scenario.model_dump()
    entry["here"] = datasets_here(scenario, namespace) or "no"
    print_description({name: value for name, value in entry.items() if value not in (None, {}, ())})


def datasets_here(scenario: Scenario, namespace: str | None = None) -> list[str]:
    """What of the scenario's data is in the Minari folder: published, imported, built-in, or the namespace's name."""
    known: dict[str, list[tuple[str, ...]]] = {
        "published": [scenario.dataset_ids],
        "imported": [(scenario.imported_dataset_id,)],
        "built-in": [(scenario.builtin_dataset_id,) if scenario.builtin_dataset_id else ()],
    }
    if namespace:
        whole = (mage.scenarios.own_dataset_id(scenario, namespace),)
        known[namespace] = [whole, mage.scenarios.local_dataset_ids(scenario, namespace)]
    root = minari_folder()

    def is_here(names: tuple[str, ...]) -> bool:
        return bool(names) and all((root / name / "data" / "metadata.json").is_file() for name in names)

    return [kind for kind, copies in known.items() if any(map(is_here, copies))]


def minari_folder() -> Path:
    """Where Minari keeps datasets, without importing it (which would load Gymnasium)."""
    return as_path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def print_description(description: dict[str, Any]) -> None:
    """One aligned line a number of `mage.data.trajectories.describe`."""
    width = max(map(len, description))
    for name, value in description.items():
        print(f"{name:<{width}}  {cell(value)}")


def print_import(imported: Imported) -> None:
    """What `mage data import-d4rl` has made of a file; the id of the dataset comes last."""
    scenario, episodes = imported.scenario, imported.episodes
    print(
        f"{episodes} episodes of {imported.steps} steps: {imported.terminated} end in a terminal state, "
        f"{episodes - imported.terminated} are cut off, {imported.one_step_episodes} have one step; "
        f"{imported.dropped_steps} steps after the last end are dropped"
    )
    if imported.trimmed_observations:
        print(f"left out: the last {imported.trimmed_observations} observation values, contact forces that are all 0")
    if imported.environment:
        print(f"evaluation environment: {imported.environment}, {scenario.max_episode_steps} steps")
    else:
        print(
            f"evaluation environment: none, since nothing observes what D4RL's {scenario.d4rl_name} does any more; "
            f"train and inspect with this data, and use {scenario.published_dataset_id} to evaluate"
        )
    print(imported.dataset_id)


def print_report(report: Report) -> None:
    """`mage.data.check`: a row a check, then, if nothing is wrong, the numbers of `mage data show` and the returns."""
    from mage.data.trajectories import describe

    print_table(("", "check", "finding"), report.checks)
    if report.trajectories is not None:
        print()
        print_description(describe(report.trajectories))
        print("\nepisodes by return")
        print_histogram(report.trajectories.episode_returns)


def print_histogram(values: np.ndarray, bins: int = 10, width: int = 50) -> None:
    """A line a bin, with its lower border, its count and a bar."""
    import numpy as np

    counts, borders = np.histogram(values, bins if values.min() < values.max() else 1)
    labels = [f"{border:.4g}" for border in borders[:-1]]
    for label, count in zip(labels, counts, strict=True):
        bar = "#" * int(np.ceil(width * count / counts.max()))
        print(f"{label:>{max(map(len, labels))}}  {count:>{len(str(counts.max()))}}  {bar}".rstrip())
    print(f"up to {values.max():.4g}")
