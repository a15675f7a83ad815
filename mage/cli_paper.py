"""`mage paper`: the tables of the paper, planned, run and shown."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mage import console_results
from mage.command import HELP, SeveralValues, taking
from mage.files import as_path
from mage.paper.options import PaperOptions, Tables

paper = typer.Typer(
    help="Run the tables of the paper, and show them as it prints them.", no_args_is_help=True, context_settings=HELP
)


class Format(StrEnum):
    """In which a table is shown."""

    md = "md"
    csv = "csv"
    latex = "latex"
    html = "html"


@paper.command("run", cls=SeveralValues)
@taking(PaperOptions, scenarios=[], preset="paper", seeds=5)
def run_tables(options: PaperOptions) -> None:
    """Train and evaluate what tables need, what they share once, and print them."""
    from mage.paper.reproduce import run

    run(options)


@paper.command("plan", cls=SeveralValues)
@taking(PaperOptions, scenarios=[], preset="paper", seeds=5)
def plan_tables(options: PaperOptions) -> None:
    """Say what `mage paper run` of the same options would train, and what it costs where that was measured."""
    from mage.paper.reproduce import plan

    planned, lines = plan(options)
    if len(planned):
        console_results.print_plan(planned)
    for line in lines:
        print(line)


@paper.command("show", cls=SeveralValues)
def show_tables(
    table: Tables = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A run of tables, done or not.", show_default="only what is published"),
    ] = None,
    chosen: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR...",
            help="A sweep whose choice, measured with --report-seeds, stands in the column of its method; repeatable.",
            show_default=False,
        ),
    ] = None,
    results: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN...",
            help="Trainings, sweeps, directories of them, or Parquet files of episodes, for the columns of their "
            "algorithms; repeatable.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--as", help="In which it is written.")] = Format.md,
) -> None:
    """Print tables in the paper's layout: measured, and in parentheses published. Trains nothing."""
    from mage.paper.formats import FORMATS
    from mage.paper.reproduce import printed

    sweeps = [as_path(sweep) for sweep in chosen or ()]
    tables = printed(table or (), as_path(out) if out else None, sweeps, results or ())
    print(FORMATS[form](tables), end="")
