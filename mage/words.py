"""How single values, errors and configurations are written for people, and values as plain Python."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

SEPARATOR = " = "
"""Between the names of variants that are one configuration."""


def plain(value: Any) -> Any:
    """numpy's numbers and arrays as Python's, known by their method: numpy is not imported for it."""
    is_numpy = type(value).__module__.partition(".")[0] == "numpy"
    return value.tolist() if is_numpy and hasattr(value, "tolist") else value


def sentence_of(error: BaseException) -> str:
    """The sentence that matters in one of Ray's nested errors."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line]
    return (told or lines or [type(error).__name__])[-1].removeprefix("mage.errors.MageError: ")


def reason_of(error: BaseException) -> str:
    """What foreign code says of its failure, in one line."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    return " ".join(str(error).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """What an error says before it goes into detail."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def number(value: float | None, digits: int | None = None) -> str:
    """Three significant digits, or so many behind the point; `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:.3g}" if digits is None else f"{value:.{digits}f}"


def estimate(mean: float | None, error: float | None, missing: str = "-", sign: str = "") -> str:
    """A mean and its standard error, where it has one; what is missing is None or NaN.

    Args:
        mean: one digit behind the point.
        error: likewise.
        missing: stands for no mean.
        sign: `+` to show it also of positive means.
    """
    if mean is None or math.isnan(mean):
        return missing
    rounded = round(mean, 1) + 0.0  # no -0.0
    return f"{rounded:{sign}.1f}" + ("" if error is None or math.isnan(error) else f" ± {error:.1f}")


def cell(value: Any, is_measure: bool = False) -> str:
    """A value of a table as people write it, measures with one digit behind the point; what is unknown is `-`."""
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    if value is None or type(value).__name__ == "NAType" or value != value:  # pandas is not imported for it
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}" if is_measure else f"{value:.6g}"
    return str(value)


def in_short(point: Mapping[str, Any]) -> str:
    """A point of the space for people: `num_scales=4 scales=[1,4]`; of a variant its name."""
    if set(point) == {"variant"}:
        return short_name(point["variant"])
    return " ".join(f"{field.rsplit('.', 1)[-1]}={_in_short(value)}" for field, value in point.items())


def _in_short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def short_name(label: str) -> str:
    """The first of a configuration's names, and how many more there are."""
    first, *more = label.split(SEPARATOR)
    return f"{first} (+{len(more)} equal)" if more else first
