"""What `mage paper` does: the paper's tables run as one sweep, and shown in the paper's own layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mage import registry
from mage.errors import MageError
from mage.files import write_text
from mage.paper.formats import FORMATS
from mage.paper.layouts import Layout, get_layouts
from mage.paper.measurements import REPLICATE_COLUMNS, Found, scores, times
from mage.paper.options import PaperOptions
from mage.paper.own_runs import joined, read_runs, scores_of_runs
from mage.paper.plan import COLUMNS, summary_of
from mage.paper.plan import plan as plan_sweep
from mage.paper.printed import MARK, Printed, fill
from mage.paper.script import ABLATION, TIMES, measure, settings_of
from mage.paper.tables import AblationTable, get_tables, narrowed
from mage.paper.tuned import Tuned, read_tuned
from mage.results.costs import costs
from mage.results.published import SEEDS, algorithms_by_method, reconstructions
from mage.results.published import published as published_results


def chosen(options: PaperOptions) -> tuple[list[AblationTable], PaperOptions]:
    """The tables that the options name, narrowed by them, and the options that are left to their sweep.

    Raises:
        MageError: no or unknown tables, or nothing is left of them.
    """
    if options.algorithm is not None:
        raise MageError(
            f"the tables say which algorithms are run; write --algorithms {options.algorithm} for only this"
        )
    tables = narrowed(get_tables(options.table or ()), options.scenarios, options.algorithms or ())
    return tables, replace(options, scenarios=[])


def run(options: PaperOptions) -> None:
    """Trains and measures what the tables need, then prints them and keeps them as table-<n>-printed.md.

    Raises:
        MageError: as `chosen`, or what no sweep can be made of.
    """
    tables, shared = chosen(options)
    out = options.directory("paper").absolute()
    for layout in get_layouts(table.number for table in tables):
        if (missing := not_here(layout)) and not options.algorithms:
            print(f"table {layout.number} cannot run {', '.join(missing)}: not in this library", flush=True)
    measure(tables, shared, out)
    for table in tables:
        text = FORMATS["md"](printed([table.number], out))
        write_text(out / f"table-{table.number}-printed.md", text)
        print(f"\n{text}")
    print(f"tables: {', '.join(str(out / f'table-{table.number}-printed.md') for table in tables)}")
    print(f"in other formats: mage paper show --table {' '.join(str(t.number) for t in tables)} --out {out} --as latex")


def plan(options: PaperOptions) -> tuple[pd.DataFrame, list[str]]:
    """What the tables would train, a row a scenario and algorithm, and what all of it comes to.

    Raises:
        MageError: as `run`, but for its directory.
    """
    tables, shared = chosen(options)
    settings = settings_of([table for table in tables if table.measures == "score"], shared)
    notes = [
        f"table {table.number}: inference times of untrained networks, minutes on one core"
        for table in tables
        if table.measures == "milliseconds"
    ]
    if settings is None:
        return pd.DataFrame(columns=COLUMNS), notes
    planned = plan_sweep(settings, costs())
    return planned, [*summary_of(planned), *notes]


def printed(
    numbers: Sequence[str | int], out: Path | None = None, sweeps: Sequence[Path] = (), results: Sequence[str] = ()
) -> list[Printed]:
    """Tables filled with what is published and, of a run directory, with what has been measured so far.

    Args:
        numbers: of the tables.
        out: the run directory.
        sweeps: run directories of sweeps whose choice, measured with fresh seeds, stands in the column of its method.
        results: other runs, or files of episodes, whose scores stand in the columns of their algorithms' methods.

    Raises:
        MageError: no or unknown tables, there is no run, or it, or a sweep, or all results, are of none of a table's
            rows; a cell was measured twice.
    """
    layouts = get_layouts(numbers)
    if out is not None:
        ABLATION.check_there(out)
    tuned, tables = read_tuned(sweeps), list(zip(layouts, get_tables(numbers), strict=True))
    if sweeps and all(tuned.of(*_cells(layout, table)).replicates.empty for layout, table in tables):
        where = ", ".join(f"{method} on {scenario}" for scenario, method in tuned.notes)
        raise MageError(f"what was chosen, {where}, stands in none of the tables {', '.join(map(str, numbers))}")
    runs = read_runs(results)
    own = [scores_of_runs(runs, *_cells(layout, table)) for layout, table in tables]
    if results and not any(own):
        raise MageError(f"the runs in {', '.join(results)} stand in none of the tables {', '.join(map(str, numbers))}")
    return [
        _printed(layout, table, joined(_found(table, out), found), tuned.of(*_cells(layout, table)))
        for (layout, table), found in zip(tables, own, strict=True)
    ]


def _cells(layout: Layout, table: AblationTable) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The scenarios and methods whose scores a table has."""
    scenarios = table.scenarios if table.measures == "score" else ()
    return tuple(scenarios), tuple(layout.columns.values())


def not_here(layout: Layout) -> list[str]:
    """The methods of a table that are no algorithms of this library, as it prints them."""
    return [head for head, method in layout.columns.items() if algorithms_by_method().get(method) in _missing()]


def _missing() -> set[str]:
    return set(algorithms_by_method().values()) - set(registry.names())


def _printed(layout: Layout, table: AblationTable, found: Found | None, tuned: Tuned) -> Printed:
    replicates = tuned.in_place(pd.DataFrame(columns=REPLICATE_COLUMNS) if found is None else found.replicates)
    if table.published_as:
        replicates = replicates.assign(scenario=table.published_as)
    notes = [_about_published(layout), _about_measured(table, replicates, found), *tuned.notes.values(), *table.notes]
    if layout.bold == "best":
        notes.append("Bold: the best of a row; of the measured ones where there are two or more.")
    versions = {} if found is None else {name: own for name, own in found.versions.items() if name in table.scenarios}
    for scenario, own in versions.items():
        notes.append(f"{MARK} {scenario} was played with {' and with '.join(own)}, which reward differently.")
    for method in set(layout.columns.values()) & set(replicates["variant"]):
        if told := reconstructions().get(algorithms_by_method().get(method, "")):
            notes.append(f"{method} is measured with {algorithms_by_method()[method]}: {told}.")
    if missing := not_here(layout):
        notes.append(f"Not in this library: {', '.join(missing)}.")
    notes += [f"Failed: {row} on {where}: {why}" for (where, row), why in (found.failures if found else {}).items()]
    return fill(layout, replicates, published_results(), notes, versions)


def _found(table: AblationTable, out: Path | None) -> Found | None:
    if out is None:
        return None
    whole = _with_others(table)
    return times(whole, out / TIMES) if table.measures == "milliseconds" else scores(whole, out, whole=False)


def _with_others(table: AblationTable) -> AblationTable:
    """With the methods of others that are algorithms here: a run of another table may have them."""
    names = {method: algorithms_by_method().get(method) for method in table.published_only}
    others = {method: (f"algorithm={name}",) for method, name in names.items() if name in registry.names()}
    return table.model_copy(update={"variants": table.variants | others})


def _about_published(layout: Layout) -> str:
    cells = published_results().query("table == @layout.number")
    episodes = cells["episodes_per_seed"].dropna().unique()
    each = f", {' or '.join(f'{number:.0f}' for number in sorted(episodes))} episodes each" if len(episodes) else ""
    if (cells["metric"] == "inference_ms_per_step").any():
        return "Published, in parentheses: milliseconds on its authors' machine."
    return (
        f"Published, in parentheses: mean ± standard error, as the paper says, over {SEEDS} training seeds{each}; "
        "numbers of other methods come from several sources, some with standard deviations over other seeds."
    )


def _about_measured(table: AblationTable, replicates: pd.DataFrame, found: Found | None) -> str:
    if replicates.empty:
        return "Measured: nothing yet (-)."
    counts = replicates.groupby(["scenario", "variant"])["episodes"].agg(["size", "max"])
    what = ("repeats", "steps") if table.measures == "milliseconds" else ("training seeds", "episodes")
    sizes = f"over {_range(counts['size'])} {what[0]}, {_range(counts['max'])} {what[1]} each"
    return " ".join([f"Measured: mean ± standard error {sizes}; - where nothing is.", *(found.notes if found else ())])


def _range(numbers: pd.Series) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"
