"""How single numbers are written for people."""

from __future__ import annotations


def number(value: float | None, digits: int | None = None) -> str:
    """Three significant digits, or so many behind the point; `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:.3g}" if digits is None else f"{value:.{digits}f}"


def estimate(mean: float | None, error: float | None) -> str:
    """A mean and its standard error, where it has one."""
    if mean is None:
        return "-"
    return f"{mean:.1f}" if error is None else f"{mean:.1f} ± {error:.1f}"
