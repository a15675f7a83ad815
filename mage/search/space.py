"""What a sweep varies: config fields, each with the values it may take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from ray import tune

from mage import registry
from mage.config import AlgorithmConfig, algorithm_of, get_field, make_config, with_field
from mage.errors import MageError
from mage.search.grid import short_name

Space = Mapping[str, Sequence[Any] | Mapping[str, float]]
"""Dotted config field -> a list of values, or {"low": a, "high": b} (floats; add "log": true for a log scale)."""


def check_space(space: Space, config: AlgorithmConfig) -> None:
    """Tries every value on its own against the configuration, so that a sweep fails before it starts.

    Raises:
        MageError: an unknown field, an impossible value, or nothing to choose from.
    """
    if not space:
        raise MageError("the search space is empty; name at least one field, such as transformer.depth=[1,2,4]")
    base = config.model_dump(mode="json")
    if "algorithm" in space:
        raise MageError("algorithm cannot be a field of a space: presets differ by algorithm; sweep variants instead")
    for field, choices in space.items():
        values = _within(field, choices) if isinstance(choices, Mapping) else choices
        if not values:
            raise MageError(f"the search space gives no value for {field}")
        for value in values:
            make_config(with_field(base, field, value))


def _within(field: str, choices: Mapping[str, Any]) -> list[float]:
    """The ends of a range, and a value between them that is no integer."""
    low, high = choices.get("low"), choices.get("high")
    if (
        not isinstance(low, (int, float))
        or not isinstance(high, (int, float))
        or not set(choices) <= {"low", "high", "log"}
        or low >= high
        or (choices.get("log") and low <= 0)
    ):
        raise MageError(
            f"the range of {field} is {dict(choices)}; write two numbers, low < high, and perhaps log: true (low > 0)"
        )
    return [low, high, low + 0.618 * (high - low)]


def space_of(algorithm: str | None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What an algorithm varies where nothing is said; MageError where it names nothing."""
    name = algorithm_of(overrides, algorithm)
    space = dict(registry.get(name).space)
    if not space:
        raise MageError(f"the algorithm {name} has no search space of its own: name fields, --space FIELD=[A,B]")
    return space


def to_tune(space: Space) -> dict[str, Any]:
    """The space in Ray Tune's words."""
    return {field: _domain(choices) for field, choices in space.items()}


def _domain(choices: Sequence[Any] | Mapping[str, float]) -> Any:
    if not isinstance(choices, Mapping):
        return tune.choice(list(choices))
    low, high = choices["low"], choices["high"]
    return tune.loguniform(low, high) if choices.get("log") else tune.uniform(low, high)


def starting_point(space: Space, config: AlgorithmConfig) -> dict[str, Any] | None:
    """The preset's own values where the space holds them all: the first trial, so that a sweep never does worse."""
    point = {field: get_field(config, field) for field in space}
    inside = [_contains(space[field], value) for field, value in point.items()]
    return point if all(inside) else None


def _contains(choices: Sequence[Any] | Mapping[str, float], value: Any) -> bool:
    if isinstance(choices, Mapping):
        return isinstance(value, (int, float)) and choices["low"] <= value <= choices["high"]
    return value in choices


def parse_space(entries: Sequence[str]) -> dict[str, Any]:
    """`field=[1,2,4]` or `field={low: 1e-4, high: 1e-2, log: true}` entries of a command line to a space."""
    space = {}
    for entry in entries:
        field, separator, text = entry.partition("=")
        try:
            values = yaml.safe_load(text) if separator else None
        except yaml.YAMLError:
            values = None
        if not isinstance(values, (list, dict)):
            raise MageError(f"'{entry}' is no search space; write field=[value, value] or field={{low: a, high: b}}")
        if isinstance(values, dict):
            values = {key: _number(value) for key, value in values.items()}
        space[field.strip()] = values
    return space


def _number(value: Any) -> Any:
    """YAML reads 1e-4 as text; a range means the number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def in_short(point: Mapping[str, Any]) -> str:
    """A point of the space for people: `num_scales=4 depth=2`; of a variant its name."""
    if set(point) == {"variant"}:
        return short_name(point["variant"])
    return " ".join(f"{field.rsplit('.', 1)[-1]}={json.dumps(value)}" for field, value in point.items())
