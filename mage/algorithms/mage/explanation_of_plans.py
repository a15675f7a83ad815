"""What the probes of plans say (`plan_probes.py`), in words and as a table. The bounds are judgement, as elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mage.interface.explanation import Finding, Table, finding
from mage.words import number

PLANS = {
    "moved": (
        "two plans of one state move the action, over the error of E[a | s], by",
        0.3,
        "the action is much the same whatever is planned, as in behaviour cloning",
        "the action depends on the plan",
    ),
    "follows": (
        "correlation of the action with the displacement that its own plan decodes to",
        0.5,
        "the action is not that of its own plan",
        "the action goes where its plan goes",
    ),
    "nats_saved": (
        "nats a token that the right condition saves",
        0.2,
        "generated plans hardly hear what is asked",
        "plans hear what is asked",
    ),
}
"""Probe -> in words, what is wanted of it at least, what a lower value means, and a higher one."""


def of_plans(plans: Mapping[str, Any]) -> Iterator[Finding]:
    """A sentence for each probe that is below its bound."""
    for name, (words, wanted, low, _) in PLANS.items():
        value = plans.get(name)
        if value is not None and value < wanted:
            yield finding(f"plan_{name}_little", value, f"{low}: {words} {value:.2f}, wanted above {wanted:g}")


def plan_tables(plans: Mapping[str, Any] | None) -> Iterator[Table]:
    """Nothing where an older inspection has none."""
    if not plans:
        return
    rows = []
    for name, (words, wanted, low, high) in PLANS.items():
        value = plans[name]
        meaning = "-" if value is None else low if value < wanted else high
        rows.append((words, number(value), f"> {wanted:g}", meaning))
    most = number(plans["data_follows"])
    title = f"Does the action follow its plan? (two drawn plans a state; the data's own correlation is {most})"
    yield Table(title, ("", "value", "wanted", "meaning"), rows)
