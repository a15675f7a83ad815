"""From presets and overrides to a configuration: `load_config("cpu", ["autoencoder.num_scales=2"])`.

Whatever is unknown, out of range or impossible fails here, in one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache, reduce
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from mage import registry
from mage.config.base import AlgorithmConfig
from mage.config.upgrade import upgrade
from mage.config.values import read_value, read_yaml
from mage.errors import MageError

BUILT_IN_PRESETS = ("cpu", "default", "paper")
"""Of every algorithm that ships with the package; `default` is `paper` whatever the family of scenarios."""

CPU_0_1 = "cpu-0.1"
"""What `cpu` was in version 0.1: where an algorithm has no such preset, `cpu` itself, which has not changed."""

ANY_FAMILY = "*"

Overrides = Iterable[str] | Mapping[str, Any]


def preset_names() -> list[str]:
    """The presets of the algorithms that ship with the package; others may have more."""
    return list(BUILT_IN_PRESETS)


def load_config(
    preset: str = "cpu",
    overrides: Overrides = (),
    domain: str | None = None,
    algorithm: str | None = None,
    scenario: str | None = None,
) -> AlgorithmConfig:
    """The configuration of a preset with `field=value` overrides.

    Args:
        preset: one of the algorithm's: cpu, paper, default; or cpu-0.1, what `cpu` was in version 0.1.
        overrides: such as `"transformer.depth=4"`; values are read as YAML. Or a mapping from fields to values.
        domain: the scenario's domain (family of benchmarks), for which a preset may differ.
        algorithm: its name or `module:Class`; by default what an override `"algorithm=dt"` says, else MAGE.
        scenario: its name, for which a preset may differ from that of its domain.

    Raises:
        MageError: unknown algorithm, preset or field, or a value out of range.
    """
    settings = _read_overrides(overrides)
    name = algorithm_of(dict(settings), algorithm)
    owner = registry.get(name)
    data = _preset_of(owner.presets, name, preset, (domain, scenario)) | {"algorithm": name}
    return _validate(owner.config_class, data, [setting for setting in settings if setting[0] != "algorithm"])


def algorithm_of(overrides: Overrides, algorithm: str | None = None) -> str:
    """The algorithm that is asked for: by name, by an override `algorithm=dt`, or by neither.

    Raises:
        MageError: two different ones are.
    """
    chosen = [str(value) for field, value in _read_overrides(overrides) if field == "algorithm"]
    if algorithm is not None and chosen and chosen[-1] != algorithm:
        raise MageError(f"two algorithms are asked for: {algorithm}, and algorithm={chosen[-1]} among the overrides")
    return algorithm or (chosen[-1] if chosen else registry.DEFAULT)


def concerning(overrides: Iterable[str], algorithm: str, others: Iterable[str]) -> tuple[str, ...]:
    """Of overrides that several algorithms share, those for this one: a field that only others have is theirs alone."""
    foreign = {name for other in others for name in field_names(registry.get(other).config_class)}
    foreign -= set(field_names(registry.get(algorithm).config_class))
    return tuple(override for override in overrides if override.partition("=")[0].strip() not in foreign)


def _preset_of(
    presets: Mapping[str, Mapping[str, Mapping[str, Any]]],
    algorithm: str,
    preset: str,
    where: Iterable[str | None],
) -> dict[str, Any]:
    """What a preset says of all, of a family of scenarios and of a scenario, the later over the earlier."""
    families = presets.get(preset, presets.get("cpu") if preset == CPU_0_1 else None)
    if families is None and preset == "default" and "paper" in presets:
        families = {ANY_FAMILY: presets["paper"].get(ANY_FAMILY, {})}
    if families is None:
        there = sorted({*presets, *({"default"} if "paper" in presets else ())})
        raise MageError(f"unknown preset '{preset}'; there are: {', '.join(there)}" + _of(algorithm))
    return reduce(merge, (families.get(place or "", {}) for place in where), dict(families.get(ANY_FAMILY, {})))


def make_config(data: Mapping[str, Any], overrides: Overrides = (), from_disk: bool = False) -> AlgorithmConfig:
    """Validates plain data plus overrides into the configuration of the algorithm that it names (by default MAGE).

    Args:
        data: as `model_dump(mode="json")` gives it; what version 0.1 wrote is understood.
        overrides: `field=value` changes.
        from_disk: no code is imported that is not installed, whatever algorithm the data names.

    Raises:
        MageError: one line that names the field, the value and what is allowed.
    """
    settings = _read_overrides(overrides)
    name = str(dict(settings).get("algorithm", data.get("algorithm", registry.DEFAULT)))
    owner = registry.get(name, from_disk)
    return _validate(owner.config_class, upgrade({**data, "algorithm": name}), settings)


def _read_overrides(overrides: Overrides) -> list[tuple[str, Any]]:
    if isinstance(overrides, Mapping):
        return list(overrides.items())
    return [_read_override(override) for override in ([overrides] if isinstance(overrides, str) else overrides)]


def _read_override(override: str) -> tuple[str, Any]:
    """`field=value` to the field and its value, read as YAML."""
    field, separator, text = override.partition("=")
    if not separator:
        raise MageError(f"'{override}' is not an override; write field=value, such as transformer.depth=4")
    try:
        return field.strip(), read_yaml(text)
    except ValueError:
        raise MageError(f"'{override}' cannot be read: '{text}' is not a YAML value") from None


def _validate(
    kind: type[AlgorithmConfig], data: Mapping[str, Any], settings: Iterable[tuple[str, Any]]
) -> AlgorithmConfig:
    merged = dict(data)
    for field, value in settings:
        merged = with_field(merged, field, value, kind)
    try:
        return kind.model_validate(merged)
    except ValidationError as error:
        raise MageError(_one_line(error, kind)) from None


def with_field(
    data: Mapping[str, Any], field: str, value: Any, kind: type[AlgorithmConfig] | None = None
) -> dict[str, Any]:
    """A copy of nested data with the dotted `field` set; MageError with near names where no such field exists."""
    algorithm = str(data.get("algorithm", registry.DEFAULT))
    check_field(field, kind or registry.get(algorithm).config_class, algorithm)
    patch: Any = value
    for part in reversed(field.split(".")):
        patch = {part: patch}
    return merge(data, patch)


def check_field(field: str, kind: type[BaseModel], algorithm: str) -> None:
    """MageError with near names unless the configuration of that algorithm has the dotted field."""
    names = field_names(kind)
    if field not in names:
        theirs = [other for other in registry.built_in() if field in field_names(registry.get(other).config_class)]
        if theirs:
            raise MageError(f"'{field}' is a field of {', '.join(theirs)}, not of {algorithm}; leave it out")
        raise MageError(f"unknown config field '{field}'{_near(field, names)}{_of(algorithm)}")


def read_field(field: str, value: Any, algorithm: str | None = None) -> Any:
    """A value as the dotted field takes it, as JSON has it; two values that are one to the field come out equal.

    Raises:
        MageError: there is no such field, or the value is not of its type. Its range is looked at in a configuration.
    """
    name = algorithm or registry.DEFAULT
    model = registry.get(name).config_class
    check_field(field, model, name)
    kind = _field_types(model)[field]
    try:
        read: TypeAdapter[Any] = TypeAdapter(kind)
        return read.dump_python(read.validate_python(read_value(value, kind)), mode="json")
    except ValidationError as error:
        raise MageError(f"{field}: {error.errors()[0]['msg']} (got {value!r})") from None
    except ValueError as error:
        raise MageError(f"{field}: {error} (got {value!r})") from None


def field_names(model: type[BaseModel] | None = None) -> list[str]:
    """Every dotted leaf field of a configuration, by default of MAGE's."""
    return list(_field_types(model or registry.get(registry.DEFAULT).config_class))


@cache
def _field_types(model: type[BaseModel], prefix: str = "") -> Mapping[str, Any]:
    """Every dotted leaf field of a model, and its type."""
    types: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            types |= _field_types(kind, f"{prefix}{name}.")
        else:
            types[prefix + name] = kind
    return types


def get_field(config: BaseModel, field: str) -> Any:
    """The value of a dotted field."""
    value: Any = config
    for part in field.split("."):
        value = getattr(value, part)
    return value


def merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings, the second over the first."""
    merged = dict(base)
    for key, value in patch.items():
        inner = merged.get(key)
        merged[key] = merge(inner, value) if isinstance(value, Mapping) and isinstance(inner, Mapping) else value
    return merged


def _of(algorithm: str) -> str:
    """Names the algorithm in a message, unless it is the one that nobody names."""
    return "" if algorithm == registry.DEFAULT else f" (algorithm {algorithm})"


def _near(field: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(field, list(names), n=3, cutoff=0.4)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _one_line(error: ValidationError, kind: type[AlgorithmConfig]) -> str:
    problems = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"no such field{_near(field, field_names(kind))}"
        given = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
        problems.append((f"{field}: " if field else "") + message + given)
    return "invalid configuration: " + "; ".join(problems)
