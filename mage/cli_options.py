"""Arguments that several commands share."""

from typing import Annotated

import typer

from mage.errors import MageError

ScenarioName = Annotated[str | None, typer.Argument(metavar="SCENARIO", help="See `mage scenarios`.")]
Dataset = Annotated[
    str | None, typer.Option("--dataset", metavar="ID", help="Any Minari dataset, in place of the scenario's.")
]
Namespace = Annotated[
    str | None,
    typer.Option("--dataset-namespace", metavar="NAME", help="Take the scenario's dataset from this local namespace."),
]


def check_choice(scenario: str | None, dataset: str | None, namespace: str | None) -> None:
    """Raises MageError unless the arguments name one dataset."""
    if not (scenario or dataset):
        raise MageError("name a scenario (see `mage scenarios`), or a Minari dataset with --dataset ID")
    if dataset and namespace:
        raise MageError(f"--dataset {dataset} is a whole ID; leave out --dataset-namespace {namespace}")
