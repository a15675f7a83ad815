"""Arguments that several commands share, and how several values of one option are written."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from typer.core import TyperCommand

from mage.errors import MageError

ScenarioName = Annotated[str | None, typer.Argument(metavar="SCENARIO", help="See `mage scenarios`.")]
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
        metavar="NAME", help="Of `mage algorithms`, or a class: module:Class, file.py:Class.", show_default="mage"
    ),
]
OwnAlgorithm = Annotated[
    str | None,
    typer.Option("--algorithm", metavar="module:Class", help="The class of a run whose algorithm is not installed."),
]


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


class SeveralValues(TyperCommand):
    """A command of which `--set`, `--space` and `--track` take one value or several, as the scripts in `tune/` do.

    `--set a=1 b=2` is `--set a=1 --set b=2`.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Repeats the option before each of its values."""
        return super().parse_args(ctx, list(_repeated(args)))


ASSIGNED = ("--set", "--space")
NAMED = {"--track": ("wandb", "mlflow")}


def _repeated(args: Sequence[str]) -> Iterator[str]:
    option: str | None = None
    awaited = False
    for arg in args:
        if arg.startswith("--"):
            option, separator, _ = arg.partition("=")
            awaited = not separator
        elif awaited:  # an option's own value, whatever it looks like
            awaited = False
        elif (option in ASSIGNED and "=" in arg) or arg in NAMED.get(option or "", ()):
            yield str(option)
        elif "=" in arg and not arg.startswith("-"):
            name = "--space" if arg.partition("=")[2][:1] in ("[", "{") else "--set"
            raise MageError(f"'{arg}' belongs to no option; write {name} '{arg}'")
        else:
            option = None
        yield arg
