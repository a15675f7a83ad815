"""`mage results`: how far a sweep is, what came out, and copies of it from elsewhere."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from mage import console_results
from mage.errors import MageError

results = typer.Typer(help="Look at sweeps and their results, here or elsewhere.", no_args_is_help=True)

MethodColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="That names the methods.", show_default="variant or algorithm")
]
Location = Annotated[str, typer.Argument(metavar="PATH", help="A run directory, a Parquet file, or the URI of either.")]


@results.command("show")
def show_results(path: Location) -> None:
    """Summarise results: a row a configuration, best first."""
    from mage.results import load, load_failures

    episodes = load(path)
    failures = load_failures(path, episodes)
    console_results.print_results(episodes, failures)
    console_results.print_failures(failures, path)
    console_results.print_counts(path)


@results.command("status")
def show_status(
    path: Annotated[str, typer.Argument(metavar="DIR", help="A sweep, one of its scenarios, or a folder of sweeps.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what the sweeps' status.json say.")] = False,
) -> None:
    """Show how far a sweep is: trials, stage, step, best so far, time left, failures. Starts no Ray."""
    from mage.results.status import as_json as to_json
    from mage.results.status import load_statuses

    if as_json:
        print(to_json(load_statuses(path)))
    else:
        console_results.print_statuses(load_statuses(path))


@results.command("compare")
def compare_results(path: Location) -> None:
    """Put the best configuration of each scenario beside what the paper reports."""
    from mage.results import compare, load, load_failures

    episodes = load(path)
    failures = load_failures(path, episodes)
    console_results.print_comparison(compare(episodes, failures=failures))
    console_results.print_failures(failures, path)


@results.command("statistics")
def show_statistics(
    path: Location,
    by: MethodColumn = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw performance profiles there.")] = None,
) -> None:
    """Compare methods over runs and scenarios: means with intervals, who beats whom, and what tuning buys."""
    from mage.results import budget, load, load_failures, load_trials, plot_profiles, profile

    episodes = load(path)
    failures = load_failures(path, episodes)
    console_results.print_statistics(episodes, by, seed, failures)
    with suppress(MageError):  # a training run has no trials
        console_results.print_budget(budget(load_trials(path)))
    console_results.print_failures(failures, path)
    if plot:
        plot_profiles(profile(episodes, by=by, seed=seed, failures=failures), plot)
        print(f"profiles: {plot}")


@results.command("table")
def show_table(
    path: Location,
    form: Annotated[str, typer.Option("--as", metavar="md|latex|csv", help="How it is written.")] = "md",
    by: MethodColumn = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
) -> None:
    """Print a row a method, a column a scenario; bold only where the intervals say so."""
    from mage.results import format_table, load, load_failures, method_table

    episodes = load(path)
    table = method_table(episodes, by, load_failures(path, episodes), seed=seed)
    print(format_table(table, form), end="")


@results.command("report")
def write_results(
    path: Location,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where index.html is written.")],
    by: MethodColumn = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
) -> None:
    """Write one self-contained page of everything: tables, pictures, failures, configurations, commands."""
    from mage.report import write_report

    print(f"report: {write_report(path, to, by, seed)}")


@results.command("verify")
def verify_results(path: Location) -> None:
    """Play the recorded episodes again: do the scores come out to the bit? Exit code 1 where one does not.

    What was played with other versions of the simulators is reported where it differs, and is no failure. Exit code 2
    where there is nothing to verify.
    """
    from mage.evaluation.verify import DIFFERS, verify

    verified = verify(path)
    console_results.print_verified(verified)
    if (verified["verdict"] == DIFFERS).any():
        raise typer.Exit(1)
    if verified["replayed"].isna().all():
        raise MageError("nothing was verified: no environment of the episodes is here; install what the notes name")


@results.command("pull")
def pull_results(
    uri: Annotated[
        str,
        typer.Argument(
            metavar="FROM",
            help="s3://bucket/run, gs://bucket/run, a path, or cluster/gpu.yaml:/shared/runs/x on a cluster's head.",
        ),
    ],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where to; what is there and current is left alone.")],
) -> None:
    """Copy the tables, configurations, inspections and plots of a run, done or under way, to this machine."""
    from mage.results import pull

    for copied in (files := pull(uri, to)):
        print(copied)
    console_results.print_counts(to)
    print(f"{len(files)} file(s) copied to {to}")
