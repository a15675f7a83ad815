"""What `tune/ablation.py` does: one run directory for any number of the paper's ablation tables.

The scores of all tables come from one sweep, in which each distinct configuration is trained once; inference times are
measured in this process. Each table is then saved and printed, measured beside published.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mage.command import errors_end_it, read_options
from mage.errors import MageError
from mage.files import as_path
from mage.run_directory import SWEEP, Kind
from mage.search.options import AblationOptions, SweepOptions
from mage.search.script import run_and_explain, script_name

if TYPE_CHECKING:
    from mage.paper.tables import AblationTable
    from mage.search.settings import SweepSettings

TIMES = "inference_time.parquet"
ABLATION = Kind("ablation run", (*SWEEP.files, TIMES))


def run_ablation_script(description: str | None) -> None:
    """Runs, or with `--show` only prints, the tables that the command line names."""
    with errors_end_it():
        options = read_options(AblationOptions, description, scenarios=[], seeds=3)
        from mage.paper.tables import get_tables

        tables = get_tables(options.table or ())
        if not options.show:
            run(tables, options)
        elif options.out is None:
            raise MageError("--show needs --out: the run directory to show")
        else:
            show(tables, as_path(options.out))


def run(tables: Sequence[AblationTable], options: AblationOptions) -> None:
    """Measures the tables, and saves and prints them; MageError as `measure`."""
    out = options.directory(script_name()).absolute()
    measure(tables, options, out)
    show(tables, out)


def measure(tables: Sequence[AblationTable], options: SweepOptions, out: Path) -> None:
    """Trains what the tables need, each distinct configuration once, and measures inference times.

    Raises:
        MageError: bad settings, a table that cannot be run, or a run directory that does not fit.
    """
    from mage.search.sweep import prepare_sweep

    settings = settings_of([table for table in tables if table.measures == "score"], options)
    timing = settings_of([table for table in tables if table.measures == "milliseconds"], options)
    for line in filter(None, (table.not_runnable() for table in tables if not options.scenarios)):
        print(line, flush=True)
    if settings:
        prepare_sweep(settings, out, options.resume)
    else:
        ABLATION.check(out, options.resume)
    if timing:
        _measure_times(timing, out)
    if settings:
        run_and_explain(settings, out, options, resume=True)


def settings_of(tables: Sequence[AblationTable], options: SweepOptions) -> SweepSettings | None:
    """The sweep that the tables need, all of its configurations tried; None without a table."""
    from mage.paper.tables import union
    from mage.search.settings import make_settings

    if not tables:
        return None
    wanted = union(tables, options.preset, options.overrides or (), options.scenarios)
    settings = make_settings(**(options.shared_settings() | wanted))
    settings.check_configs()
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


def show(tables: Sequence[AblationTable], out: Path) -> None:
    """Saves and prints the tables of what is in a run directory, finished or not.

    Raises:
        MageError: no run is there, or it is not one of these tables.
    """
    from mage.paper.compare import compare_ablation, save_ablation
    from mage.paper.measurements import scores, times

    ABLATION.check_there(out)
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
