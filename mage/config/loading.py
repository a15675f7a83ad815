"""From presets and overrides to a configuration: `load_config("cpu", ["autoencoder.num_scales=2"])`.

Whatever is unknown, out of range or impossible fails here, in one line, before anything heavy is imported.
"""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from mage.config.run import Config
from mage.errors import MageError


def preset_names() -> list[str]:
    """The presets that ship with the package."""
    folder = importlib.resources.files("mage") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(preset: str = "cpu", overrides: Iterable[str] = (), domain: str | None = None) -> Config:
    """The configuration of a preset with `field=value` overrides.

    Args:
        preset: a name from `preset_names()`.
        overrides: such as `"transformer.depth=4"`; values are read as YAML. A preset may hold differences for the
            algorithm that they choose (`"algorithm=dt"`) under `algorithms`; they come before all other overrides.
        domain: the scenario's domain; a preset may hold a section of differences for it under `domains`.

    Raises:
        MageError: unknown preset or field, or a value out of range.
    """
    if preset not in preset_names():
        raise MageError(f"unknown preset '{preset}'; there are: {', '.join(preset_names())}")
    data = dict(_read_preset(preset))
    domains, algorithms = data.pop("domains", {}), data.pop("algorithms", {})
    settings = [_read_override(override) for override in overrides]
    data = _merge(data, domains.get(domain, {}))
    chosen = dict(settings).get("algorithm", "mage")
    return _validate(_merge(data, algorithms.get(str(chosen), {})), settings)


@cache
def _read_preset(name: str) -> Mapping[str, Any]:
    """A preset as it is written; cached, since a grid of configurations reads it over and over. Not to be changed."""
    data: Mapping[str, Any] = yaml.safe_load(
        (importlib.resources.files("mage") / "presets" / f"{name}.yaml").read_text()
    )
    return data


def make_config(data: Mapping[str, Any], overrides: Iterable[str] = ()) -> Config:
    """Validates plain data plus overrides into a `Config`.

    Raises:
        MageError: one line that names the field, the value and what is allowed.
    """
    return _validate(data, [_read_override(override) for override in overrides])


def _read_override(override: str) -> tuple[str, Any]:
    """`field=value` to the field and its value, read as YAML."""
    field, separator, text = override.partition("=")
    if not separator:
        raise MageError(f"'{override}' is not an override; write field=value, such as transformer.depth=4")
    try:
        return field.strip(), yaml.safe_load(text)
    except yaml.YAMLError:
        raise MageError(f"'{override}' cannot be read: '{text}' is not a YAML value") from None


def _validate(data: Mapping[str, Any], settings: Iterable[tuple[str, Any]]) -> Config:
    merged = dict(data)
    for field, value in settings:
        merged = with_field(merged, field, value)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise MageError(_one_line(error)) from None


def with_field(data: Mapping[str, Any], field: str, value: Any) -> dict[str, Any]:
    """A copy of nested data with the dotted `field` set; MageError with near names where no such field exists."""
    if field not in field_names():
        near = difflib.get_close_matches(field, field_names(), n=3, cutoff=0.4)
        raise MageError(f"unknown config field '{field}'" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    patch: Any = value
    for part in reversed(field.split(".")):
        patch = {part: patch}
    return _merge(data, patch)


def field_names(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted leaf field of the configuration."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += field_names(kind, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def get_field(config: Config, field: str) -> Any:
    """The value of a dotted field."""
    value: Any = config
    for part in field.split("."):
        value = getattr(value, part)
    return value


def _merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in patch.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(value, Mapping) and isinstance(inner, Mapping) else value
    return merged


def _one_line(error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(field, field_names(), n=3, cutoff=0.4)
            message = "no such field" + (f"; did you mean {' or '.join(near)}?" if near else "")
        given = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
        problems.append((f"{field}: " if field else "") + message + given)
    return "invalid configuration: " + "; ".join(problems)
