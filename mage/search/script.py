"""What every script in `tune/` does: it declares an experiment, and options change its size."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mage.command import errors_end_it, read_options
from mage.errors import MageError
from mage.search.options import SearchOptions, SweepOptions, VariantOptions

if TYPE_CHECKING:
    import pandas as pd

    from mage.search.settings import SweepSettings
    from mage.search.space import Space


def run_script(
    description: str | None, scenarios: Sequence[str], space: Space, trials: int, seeds: int, search_seed: int = 0
) -> None:
    """Runs a sweep with the script's declaration as defaults; what is wrong with the input ends it with exit code 2.

    Args:
        description: shown by `--help`.
        scenarios: swept one after the other, or side by side where the trials of one leave room.
        space: dotted config field -> values it may take.
        trials: configurations a scenario.
        seeds: training seeds a configuration.
        search_seed: of Optuna's sampler.
    """
    with errors_end_it():
        options = read_options(
            SearchOptions, description, scenarios=list(scenarios), trials=trials, seeds=seeds, search_seed=search_seed
        )
        run_search(options.settings(space), options, script_name())


def run_variants_script(
    description: str | None, scenarios: Sequence[str], variants: Mapping[str, Sequence[str]], seeds: int
) -> None:
    """As `run_script`, for named variants that are all trained: name -> overrides of the preset."""
    with errors_end_it():
        options = read_options(
            VariantOptions, description, scenarios=list(scenarios), variants=list(variants), seeds=seeds
        )
        run_and_print(options.settings(variants), options, script_name())


def script_name() -> str:
    """That of the script that runs, for the name of its run directory."""
    return Path(sys.argv[0]).stem.removeprefix("sweep_")


def run_search(settings: SweepSettings, options: SearchOptions, name: str) -> None:
    """Runs a sweep over a space and prints its results; then, if asked for, what fresh seeds say of its choice."""
    out = run_and_print(settings, options, name)
    if options.report_seeds:
        from mage.search.fresh_seeds import TABLE, report_chosen

        with says_how_to_go_on(out):
            chosen = report_chosen(settings, out, options.report_seeds, options.address, options.track or ())
        print(f"\n{in_text(chosen)}\n")
        print("The best of several flatters itself: report the score of fresh seeds, and what its choice has cost.")
        print(f"chosen, and with fresh seeds: {out / TABLE}")


def run_and_print(settings: SweepSettings, options: SweepOptions, name: str) -> Path:
    """Runs a sweep and prints its results: failures, the table of configurations, and where everything is.

    Returns its run directory.
    """
    out = options.directory(name)
    from mage.progress.view import counted
    from mage.results import load_failures, summary, warnings
    from mage.results.status import statuses_if_any

    results = run_and_explain(settings, out, options, options.resume)
    failures = load_failures(out, results)
    print(f"\n{in_text(summary(results, failures if len(failures) else None).drop(columns='iqm'))}\n")
    for status in statuses_if_any(out).values():
        print(f"{status.scenario}: {counted(status)}")
    for warning in warnings(results):
        print(f"warning: {warning}")
    print(f"results: {out / 'results.parquet'}, trials: {out / 'trials.parquet'}, plot: {out / 'scores.png'}")
    return out


def run_and_explain(settings: SweepSettings, out: Path, options: SweepOptions, resume: bool) -> pd.DataFrame:
    """Runs a sweep, says how it goes on where it is interrupted, and lists what failed; MageError where all did."""
    from mage.search.sweep import run_sweep

    with says_how_to_go_on(out):
        results = run_sweep(settings, out, resume, options.address, options.track or ())
    print_failures(out)
    if results.empty:
        raise MageError(f"no trial finished; see {out / 'trials.parquet'} and the logs it names")
    return results


def in_text(table: pd.DataFrame) -> str:
    """A table as a terminal shows it."""
    return str(table.to_string(index=False, float_format="{:.1f}".format, na_rep="-"))


@contextmanager
def says_how_to_go_on(out: Path) -> Iterator[None]:
    """Inside, a sweep runs that a user may interrupt."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted; nothing is lost: the same command with --resume --out {out} goes on", file=sys.stderr)
        raise


def print_failures(out: Path) -> None:
    """A line for each trial of a finished sweep that failed: its configuration, the reason and the log."""
    import pandas as pd

    from mage.search.tables import failures

    for line in failures(pd.read_parquet(out / "trials.parquet")):
        print(line)
