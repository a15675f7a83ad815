"""How single values and errors are written for people, and as plain Python."""

from __future__ import annotations

import math
from typing import Any


def plain(value: Any) -> Any:
    """numpy's numbers and arrays as Python's, known by their method: numpy is not imported for it."""
    is_numpy = type(value).__module__.partition(".")[0] == "numpy"
    return value.tolist() if is_numpy and hasattr(value, "tolist") else value


def sentence_of(error: BaseException) -> str:
    """The sentence that matters in one of Ray's nested errors."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line]
    return (told or lines or [type(error).__name__])[-1].removeprefix("mage.errors.MageError: ")


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
