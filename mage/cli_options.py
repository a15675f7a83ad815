"""Options and arguments that several commands share."""

from typing import Annotated

import typer

import mage
from mage.errors import MageError


def complete_scenario(incomplete: str) -> list[str]:
    """The scenarios that begin so, for a shell that completes; imports nothing heavy."""
    return [name for name in mage.scenarios.names() if name.startswith(incomplete)]


def complete_algorithm(incomplete: str) -> list[str]:
    """The algorithms that begin so, likewise."""
    from mage import registry

    return [name for name in registry.names() if name.startswith(incomplete)]


ScenarioName = Annotated[
    str | None,
    typer.Argument(metavar="SCENARIO", help="See `mage scenarios`.", autocompletion=complete_scenario),
]
Dataset = Annotated[
    str | None, typer.Option("--dataset", metavar="ID", help="Any Minari dataset, in place of the scenario's.")
]
Namespace = Annotated[
    str | None,
    typer.Option("--dataset-namespace", metavar="NAME", help="Take the scenario's dataset from this local namespace."),
]
AlgorithmName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Of `mage algorithms`, or a class: module:Class, file.py:Class.",
        show_default="mage, unless a change to the preset names another",
        autocompletion=complete_algorithm,
    ),
]
OwnAlgorithm = Annotated[
    str | None,
    typer.Option("--algorithm", metavar="module:Class", help="The class of a run whose algorithm is not installed."),
]
Preset = Annotated[str, typer.Option(metavar="NAME", help="The configuration to start from: cpu, paper or default.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE...", help="Changes to the preset; repeatable, a later one counts."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out: the first command plus --resume.")]


def named(algorithm: str | None) -> str | None:
    """The algorithm by the name under which it is found from here on; MageError where there can be none of it."""
    from mage import registry

    if algorithm is None:
        return None
    algorithm = registry.make_importable(algorithm)
    registry.check_name(algorithm)
    return algorithm


def import_own(algorithm: str | None) -> None:
    """Imports the class that a run on disk names, since its user asks for it."""
    from mage import registry

    name = named(algorithm)
    if name is not None:
        registry.get(name)


def check_choice(scenario: str | None, dataset: str | None, namespace: str | None) -> None:
    """Raises MageError unless the arguments name one dataset."""
    if not (scenario or dataset):
        raise MageError("name a scenario (see `mage scenarios`), or a Minari dataset with --dataset ID")
    if dataset and namespace:
        raise MageError(f"--dataset {dataset} is a whole ID; leave out --dataset-namespace {namespace}")
