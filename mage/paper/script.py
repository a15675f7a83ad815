"""What `tune/ablation.py` does: one run directory for any number of the paper's ablation tables.

The scores of all tables come from one sweep, in which each distinct configuration is trained once; inference times are
measured in this process. Each table is then saved and printed, measured beside published.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mage.errors import MageError
from mage.search.script import (
    directory_of,
    errors_end_it,
    make_parser,
    make_settings,
    shared_settings,
    sweep,
)

if TYPE_CHECKING:
    from mage.paper.tables import AblationTable
    from mage.search.settings import SweepSettings

TIMES = "inference_time.parquet"


def run_ablation_script(description: str | None) -> None:
    """Runs, or with `--show` only prints, the tables that the command line names."""
    parser = make_parser(description, None, seeds=3)
    parser.add_argument(
        "--table",
        nargs="+",
        action="extend",
        default=[],
        metavar="N",
        help="of the paper: 5 6 7 8 19 20 21 22 23 25 26",
    )
    parser.add_argument("--show", action="store_true", help="print what is in --out so far, and run nothing")
    options = parser.parse_args()
    with errors_end_it():
        from mage.paper.tables import get_tables

        tables = get_tables(options.table)
        if options.show:
            if options.out is None:
                raise MageError("--show needs --out: the run directory to show")
            show(tables, options.out)
        else:
            run(tables, options)


def run(tables: Sequence[AblationTable], options: argparse.Namespace) -> None:
    """Measures the tables, and saves and prints them.

    Raises:
        MageError: bad settings, a table that cannot be run, or a run directory that does not fit.
    """
    from mage.run_directory import check_free
    from mage.search.sweep import prepare_sweep

    out = directory_of(options).absolute()
    settings = settings_of([table for table in tables if table.measures == "score"], options)
    timing = settings_of([table for table in tables if table.measures == "milliseconds"], options)
    for line in filter(None, (table.not_runnable() for table in tables if not options.scenarios)):
        print(line, flush=True)
    if settings:
        prepare_sweep(settings, out, options.resume)
    elif options.resume:
        _check_run(out)
    else:
        check_free(out)
    if timing:
        _measure_times(timing, out)
    if settings:
        sweep(settings, out, resume=True, address=options.address, track=options.track)
    show(tables, out)


def settings_of(tables: Sequence[AblationTable], options: argparse.Namespace) -> SweepSettings | None:
    """The sweep that the tables need, all of its configurations tried; None without a table."""
    from mage.paper.tables import union

    if not tables:
        return None
    wanted = union(tables, options.preset, options.set, options.scenarios)
    settings = make_settings(**(shared_settings(options) | wanted))
    for scenario in settings.scenarios:
        settings.variant_configs(scenario)
    return settings


def _measure_times(settings: SweepSettings, out: Path) -> None:
    """Measures the time of a step, unless that is done; in this process, and before Ray keeps the machine busy.

    Raises:
        MageError: the times that are there already are of other configurations.
    """
    import pandas as pd

    from mage.paper.inference_time import inference_times
    from mage.results import write_parquet

    configs = {scenario: settings.variant_configs(scenario) for scenario in settings.scenarios}
    if (out / TIMES).exists():
        wanted = {(scenario, config.hash()) for scenario, rows in configs.items() for config in rows.values()}
        there = pd.read_parquet(out / TIMES)
        if set(zip(there["scenario"], there["config_hash"], strict=True)) != wanted:
            raise MageError(f"{out / TIMES} was measured of other configurations; choose another --out")
        return
    print("measuring inference times", flush=True)
    times = inference_times(configs, settings.dataset_namespace)
    write_parquet(times.assign(preset=settings.preset), out / TIMES)


def _check_run(out: Path) -> None:
    """MageError where no ablation has been run in the directory."""
    if not (out / "sweep.json").is_file() and not (out / TIMES).is_file():
        raise MageError(f"there is no ablation run in {out}: neither sweep.json nor {TIMES} is there")


def show(tables: Sequence[AblationTable], out: Path) -> None:
    """Saves and prints the tables of what is in a run directory, finished or not.

    Raises:
        MageError: no run is there, or it is not one of these tables.
    """
    from mage.paper.compare import compare_ablation, save_ablation
    from mage.paper.measurements import scores, times

    _check_run(out)
    for table in tables:
        found = times(table, out / TIMES) if table.measures == "milliseconds" else scores(table, out)
        compared = compare_ablation(
            found.replicates,
            table.number,
            list(table.variants),
            table.reference,
            found.scenarios,
            table.published_as,
            found.failures,
        )
        notes = [*found.notes, *table.notes, *filter(None, [table.not_runnable()])]
        counts = "repeats x steps" if table.measures == "milliseconds" else "seeds x episodes"
        print(f"\n{save_ablation(compared, out, table.title, table.reference, notes, counts)}")
    print(f"tables: {', '.join(str(out / f'table-{table.number}.md') for table in tables)}, and .parquet beside them")
