"""What an algorithm says of an inspection, in its own terms: findings in words, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Finding = dict[str, Any]
"""`name`, `value` (the number behind it, or None) and `text`, one sentence."""


class Table(NamedTuple):
    """A table of an inspection."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class CodeUse(NamedTuple):
    """How much of a codebook is used, of a scale or over all.

    Attributes:
        scale: what it is called.
        tokens: that a window has of it.
        codes_used: percent of the codes.
        perplexity: exp of the entropy of their frequencies: so many codes, were they used alike.
        codes: that there are.
    """

    scale: str
    tokens: int
    codes_used: float
    perplexity: float
    codes: int


@dataclass(frozen=True)
class Explanation:
    """What an algorithm adds to what can be said of any.

    Attributes:
        findings: hints, in the order in which they bear on the score.
        tables: shown below the scan of score against target return.
        visited: columns of that scan, each with a value a row.
        stage_metrics: the metrics of a stage that are shown, beside its loss; None: all.
        key_numbers: in one line a policy of a sweep: column -> value.
        legend: what these columns are.
        code_use: of an algorithm with a codebook, from the coarsest scale to the finest, then over all.
    """

    findings: Sequence[Finding] = ()
    tables: Sequence[Table] = ()
    visited: Mapping[str, Sequence[str]] = field(default_factory=dict)
    stage_metrics: Sequence[str] | None = None
    key_numbers: Mapping[str, str] = field(default_factory=dict)
    legend: str = ""
    code_use: Sequence[CodeUse] = ()


def finding(name: str, value: float | None, text: str) -> Finding:
    """A finding as data."""
    return {"name": name, "value": value, "text": text}


def own_row(inspection: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The row of the scan at the target that the policy is evaluated with."""
    rows = inspection["rollouts"]["scan"] if inspection.get("rollouts") else []
    return next((row for row in rows if row["own"]), None)
