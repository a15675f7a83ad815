"""The verbs that say what there is to train, and what can be configured: `mage algorithms`, `mage config explain`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

import mage
from mage import console
from mage.cli_options import AlgorithmName, named
from mage.errors import MageError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from mage.interface import Algorithm

config = typer.Typer(no_args_is_help=True, help="What can be configured.")
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@config.callback()
def _group() -> None:
    """What can be configured."""


def algorithms(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Of one of them, or module:Class.")] = None,
) -> None:
    """List the algorithms, built-in and installed; or all that is known of one: stages, presets, space, fields."""
    from mage import registry

    if name is None:
        rows = [(each, _origin(each), _stages(each), _purpose(registry.get(each))) for each in registry.names()]
        console.print_table(("algorithm", "from", "stages", "what it does"), rows)
        return
    found = named(name)
    assert found is not None
    algorithm = registry.get(found)
    print(f"{found}, {_origin(found)}: {_purpose(algorithm)}")
    print(f"stages: {_stages(found)}")
    for preset, families in algorithm.presets.items():
        print(f"preset {preset}{_differences(families)}")
    for field, values in algorithm.space.items():
        print(f"swept by default: {field}={json.dumps(values)}")
    print()
    _print_costs(found)
    console.print_table(("field", "default", "values", "meaning"), list(_rows(algorithm.config_class)))


@config.command()
def explain(
    field: Annotated[str, typer.Argument(metavar="FIELD", help="Such as transformer.depth, or a section.")],
    algorithm: AlgorithmName = None,
) -> None:
    """Say what a field of a configuration means: default, values, meaning, and what the presets make of it."""
    import difflib

    from mage import registry
    from mage.config import load_config
    from mage.config.loading import get_field

    name = named(algorithm) or registry.DEFAULT
    rows = [row[0] for row in _rows(registry.get(name).config_class)]
    wanted = list(_of(field, registry.get(name).config_class))
    if not wanted:
        theirs = [other for other in registry.built_in() if any(_of(field, registry.get(other).config_class))]
        near = difflib.get_close_matches(field, rows, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        if theirs:
            hint = f"; {' and '.join(theirs)} {'have' if theirs[1:] else 'has'} it: add --algorithm {theirs[0]}"
        raise MageError(f"{name} has no field '{field}'{hint}")
    presets = sorted({*registry.get(name).presets, "default"})
    configs = {preset: load_config(preset, algorithm=name) for preset in presets}
    for path, default, values, meaning in wanted:
        print(f"{path}: {meaning or '(no description)'}")
        told = ", ".join(f"{preset} {json.dumps(get_field(each, path))}" for preset, each in configs.items())
        print(f"  values {values}; default {default}; presets: {told}")


def _print_costs(name: str) -> None:
    """What its presets cost where we measured them; nothing of an algorithm that is not ours."""
    from mage.results import costs

    if len(measured := costs(name)):
        columns = [column for column in measured.columns if column not in ("algorithm", "machine", "version")]
        console.print_table(columns, measured[columns].astype(str).to_numpy().tolist())
        print(f"measured on one core of {measured['machine'].iloc[-1]}, by version {measured['version'].iloc[-1]}\n")


def _differences(places: Iterable[str]) -> str:
    """For which families of scenarios a preset differs, and for how many scenarios of them."""
    own = {place for place in places if place in mage.scenarios.names()}
    told = [place for place in places if place != "*" and place not in own]
    scenarios_too = f" and {len(own)} scenarios" if own else ""
    return f", with differences for {', '.join(told)}{scenarios_too}" if told else ""


def _of(field: str, model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """The rows of a field, or of all fields of a section."""
    return (row for row in _rows(model) if row[0] == field or row[0].startswith(f"{field}."))


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Field, default, values and meaning of every leaf of a configuration."""
    from pydantic import BaseModel

    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _rows(kind, f"{prefix}{name}.")
        else:
            default = "" if field.is_required() else json.dumps(field.get_default(call_default_factory=True))
            yield prefix + name, default, _values(field), field.description or ""


def _values(field: FieldInfo) -> str:
    """The values that a field may take."""
    kinds = [field.annotation, *get_args(field.annotation)]
    choices = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    if choices:
        return " | ".join(map(str, choices)) + (" | null" if type(None) in kinds else "")
    bounds = [
        f"{sign} {getattr(mark, bound):g}"
        for mark in field.metadata
        for bound, sign in BOUNDS.items()
        if getattr(mark, bound, None) is not None
    ]
    kind = str(getattr(field.annotation, "__name__", field.annotation)).replace("None", "null")
    return " ".join([kind, *bounds])


def _stages(name: str) -> str:
    from mage import registry
    from mage.config import TrainingConfig

    training: Any = registry.get(name).config_class.model_fields["training"].annotation
    assert issubclass(training, TrainingConfig)
    return ", ".join(training.stage_names())


def _origin(name: str) -> str:
    from mage import registry

    if name in registry.built_in():
        return "built-in"
    entries: Mapping[str, Any] = registry.plug_ins()
    return f"package {entries[name].dist.name}" if name in entries else "a class of your own"


def _purpose(algorithm: type[Algorithm[Any]]) -> str:
    import inspect

    return (inspect.getdoc(algorithm) or "").split("\n\n")[0].replace("\n", " ")
