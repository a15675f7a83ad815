"""`mage results`: how far a sweep is, what came out, and copies of it from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mage import console

results = typer.Typer(help="Look at sweeps and their results, here or elsewhere.", no_args_is_help=True)

Location = Annotated[str, typer.Argument(metavar="PATH", help="A run directory, a Parquet file, or the URI of either.")]


@results.command("show")
def show_results(path: Location) -> None:
    """Summarise results: a row a configuration, best first."""
    from mage.results import load

    console.print_results(load(path))
    console.print_counts(path)


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
        console.print_statuses(load_statuses(path))


@results.command("compare")
def compare_results(path: Location) -> None:
    """Put the best configuration of each scenario beside what the paper reports."""
    from mage.results import compare, load

    console.print_comparison(compare(load(path)))


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
    console.print_counts(to)
    print(f"{len(files)} file(s) copied to {to}")
