"""What a sweep varies: config fields, each with the values it may take.

A field of which all values are numbers, text or truth values is swept as it is. Lists and nulls are none that Tune,
Optuna, tables and trackers could all hold: where one is among the values, each is swept as its JSON text, which the
configuration reads again (`mage.config.values`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mage import registry
from mage.config import AlgorithmConfig, algorithm_of, get_field, make_config, read_field, with_field
from mage.config.values import read_value, read_yaml
from mage.errors import MageError

Space = Mapping[str, Sequence[Any] | Mapping[str, float]]
"""Dotted config field -> a list of values, or {"low": a, "high": b} (floats; add "log": true for a log scale)."""


def read_space(space: Mapping[str, Any], algorithm: str | None = None) -> dict[str, Any]:
    """The space with every value as its field takes it, each once: `["1e-3", 0.001]` of a learning rate is one value.

    Raises:
        MageError: an unknown field, a value that is none of its type, a range that is none, or neither values nor a
            range.
    """
    if "algorithm" in space:
        raise MageError("algorithm cannot be a field of a space: presets differ by algorithm; sweep variants instead")
    return {field: _read_choices(field, choices, algorithm) for field, choices in space.items()}


def _read_choices(field: str, choices: Any, algorithm: str | None) -> list[Any] | dict[str, Any]:
    if isinstance(choices, Mapping):
        return _read_range(field, choices, algorithm)
    if isinstance(choices, str | bytes) or not isinstance(choices, Iterable):
        raise MageError(f"the space of {field} is {choices!r}; write a list of values, or {{low: a, high: b}}")
    values: list[Any] = []
    for value in choices:
        read = read_field(field, value, algorithm)
        if read not in values:
            values.append(read)
    if not values:
        raise MageError(f"the search space gives no value for {field}")
    return values


def _read_range(field: str, choices: Mapping[str, Any], algorithm: str | None) -> dict[str, Any]:
    low, high = (_end_of_range(choices.get(end)) for end in ("low", "high"))
    log = read_value(choices.get("log", False), bool)
    if (
        low is None
        or high is None
        or not set(choices) <= {"low", "high", "log"}
        or not isinstance(log, bool)
        or not low < high
        or (log and low <= 0)
    ):
        raise MageError(
            f"the range of {field} is {dict(choices)}; write two numbers, low < high, and perhaps log: true (low > 0)"
        )
    ends = {"low": read_field(field, low, algorithm), "high": read_field(field, high, algorithm)}
    return ends | ({"log": log} if "log" in choices else {})


def _end_of_range(end: Any) -> float | None:
    """An end of a range; None where it is none."""
    try:
        end = read_value(end, float)
    except ValueError:
        return None
    return end if isinstance(end, int | float) and math.isfinite(end) else None


def check_space(space: Space, config: AlgorithmConfig) -> None:
    """Tries every value on its own against the configuration, so that a sweep fails before it starts.

    Raises:
        MageError: an unknown field, an impossible value, or nothing to choose from.
    """
    if not space:
        raise MageError("the search space is empty; name at least one field, such as transformer.depth=[1,2,4]")
    base = config.model_dump(mode="json")
    for field, choices in read_space(space, config.algorithm).items():
        for value in _within(choices) if isinstance(choices, Mapping) else choices:
            make_config(with_field(base, field, value))


def _within(choices: Mapping[str, Any]) -> list[float]:
    """The ends of a range, and a value between them that is no integer."""
    low, high = choices["low"], choices["high"]
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
    from ray import tune  # takes seconds, and those who only read a sweep do without it

    if not isinstance(choices, Mapping):
        return tune.choice(_as_swept(choices))
    low, high = choices["low"], choices["high"]
    return tune.loguniform(low, high) if choices.get("log") else tune.uniform(low, high)


def _as_swept(values: Sequence[Any]) -> list[Any]:
    """The values of a field as they are, or all of them as JSON text where one is a list or null."""
    if all(isinstance(value, str | bool | int | float) for value in values):
        return list(values)
    return [json.dumps(value, separators=(",", ":")) for value in values]


def starting_point(space: Space, config: AlgorithmConfig) -> dict[str, Any] | None:
    """The preset's own values where the space holds them all: the first trial, so that a sweep never does worse."""
    point = {}
    for field, choices in space.items():
        value = read_field(field, get_field(config, field), config.algorithm)
        if isinstance(choices, Mapping):
            if not isinstance(value, int | float) or not choices["low"] <= value <= choices["high"]:
                return None
        elif value not in choices:
            return None
        else:
            value = _as_swept(choices)[list(choices).index(value)]
        point[field] = value
    return point


def parse_space(entries: Sequence[str]) -> dict[str, Any]:
    """`field=[1,2,4]` or `field={low: 1e-4, high: 1e-2, log: true}` entries of a command line to a space, not yet read.

    Raises:
        MageError: an entry that is neither, or of a field that another one names.
    """
    space: dict[str, Any] = {}
    for entry in entries:
        field, separator, text = (part.strip() for part in entry.partition("="))
        try:
            values = read_yaml(text) if separator else None
        except ValueError:
            values = None
        if not isinstance(values, list | dict):
            raise MageError(f"'{entry}' is no search space; write field=[value, value] or field={{low: a, high: b}}")
        if field in space:
            raise MageError(f"the space names {field} twice; write all its values in one list")
        space[field] = values
    return space
