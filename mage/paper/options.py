"""The options of `mage paper`; it imports nothing heavy, for `--help` needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from mage.cli_options import complete_algorithm, complete_scenario
from mage.search.options import SweepOptions

Tables = Annotated[
    list[str] | None, typer.Option("--table", metavar="N...", help="Of the paper: 1-8, 15-26. Repeatable.")
]


@dataclass(frozen=True)
class PaperOptions(SweepOptions):
    """Of running tables of the paper: as of a sweep, whose scenarios and algorithms the tables say."""

    scenarios: Annotated[
        list[str],
        typer.Option(
            metavar="NAME...",
            help="Only these of the tables' scenarios. Repeatable.",
            show_default="all",
            autocompletion=complete_scenario,
        ),
    ]
    algorithm: Annotated[str | None, typer.Option(hidden=True)] = None
    algorithms: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME...",
            help="Only these of the tables' algorithms, by their names here or in the paper. Repeatable.",
            show_default="all",
            autocompletion=complete_algorithm,
        ),
    ] = None
    table: Tables = None
