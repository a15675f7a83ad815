"""Values as people write them, read as their fields mean them: `1e-3`, `"[1, 4]"`, a number of numpy's.

YAML 1.1, which PyYAML reads, takes `1e-3` for text, `010` for eight and `1:30` for ninety. Here numbers are those of
YAML 1.2, and a field that takes no text reads the text that it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml

from mage.words import plain

NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
INTEGER = re.compile(r"[-+]?[0-9][0-9_]*$")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")


class _Loader(yaml.SafeLoader):
    """YAML with the decimal numbers of its version 1.2."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the name and kind of the base class
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in NUMBERS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(str(node.value)))


def read_yaml(text: str) -> Any:
    """The value that a text holds; ValueError where it is no YAML."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"'{text}' is not a YAML value") from error


def read_value(value: Any, annotation: Any) -> Any:
    """A value as a field of that type takes it: text is read unless the field takes text, numpy's values are plain.

    Raises:
        ValueError: true or false for a number, which they would count as.
    """
    value, kinds = plain(value), _kinds(annotation)
    if isinstance(value, str) and not any(_takes_text(kind, value) for kind in kinds):
        value = _read_text(value, kinds)
    if isinstance(value, bool) and bool not in kinds and (int in kinds or float in kinds):
        raise ValueError("a number is wanted, not true or false")
    if isinstance(value, list | tuple):
        for kind in kinds:
            if get_origin(kind) is tuple:
                return tuple(read_value(item, get_args(kind)[0]) for item in value)
    return value


def _read_text(text: str, kinds: tuple[Any, ...]) -> Any:
    if NoneType in kinds and text.strip() == "None":  # as Python writes it
        return None
    try:
        return read_yaml(text)
    except ValueError:
        return text


@cache
def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types that a field takes, those of a union one by one."""
    return tuple(_alternatives(annotation))


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        for kind in get_args(annotation):
            yield from _alternatives(kind)
    else:
        yield annotation


def _takes_text(kind: Any, text: str) -> bool:
    """Whether text is a value of that type already, or the type is none of those that are read here."""
    if get_origin(kind) is Literal:
        return text in get_args(kind)
    return kind not in (int, float, bool, NoneType) and get_origin(kind) is not tuple
