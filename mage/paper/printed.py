"""A table of the paper, filled: in each cell what was measured and what was published, never mixed.

Pure functions of numbers; how a filled table is written down is in `mage.paper.formats`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

import pandas as pd

from mage.paper.layouts import Layout, Mean, Scenarios
from mage.scenarios import name_in_paper

MARK = "†"


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error, None where it has none."""

    mean: float
    error: float | None = None
    seeds: int | None = None
    is_bold: bool = False

    def written(self, digits: int, plus_minus: str = " ± ") -> str:
        """As the paper writes it, a bare mean where there is no error."""
        error = "" if self.error is None else plus_minus + rounded(self.error, digits)
        return rounded(self.mean, digits) + error


@dataclass(frozen=True)
class Cell:
    """What is known of a method on a scenario, or on average; `mark` refers to a note under the table."""

    measured: Estimate | None = None
    published: Estimate | None = None
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """A cell a column; `labels` are as many as the table's `head`, and a mean has no scenario."""

    labels: tuple[str, ...]
    scenario: str | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Printed:
    """A filled table: `head` stands above the labels, `columns` above the cells."""

    number: int
    caption: str
    digits: int
    head: tuple[str, ...]
    columns: tuple[str, ...]
    methods: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def fill(
    layout: Layout,
    measured: pd.DataFrame,
    published: pd.DataFrame,
    notes: Sequence[str] = (),
    marked: Iterable[str] = (),
) -> Printed:
    """The table with its numbers.

    Args:
        layout: how it is printed.
        measured: a row a training seed: scenario, variant (the method) and value.
        published: as from `mage.results.published()`.
        notes: what is said under the table.
        marked: the scenarios whose measured cells get a mark.
    """
    methods = tuple(layout.columns.values())
    ours, theirs = _measured(measured), _published(published[published["table"] == layout.number])
    marks = set(marked)
    rows = []
    for labels, scenario, mean in _labelled(layout):
        if mean is None:
            name = name_in_paper(scenario) or scenario
            pairs = [(ours.get((scenario, method)), theirs.get((name, method))) for method in methods]
            is_marked = scenario in marks
        else:
            averaged = layout.averaged(mean)
            in_paper = [name_in_paper(name) or name for name in averaged]
            pairs = [(_mean(ours, averaged, method), _printed(theirs, in_paper, method, mean)) for method in methods]
            is_marked = bool(marks & set(averaged))
        cells = tuple(Cell(*pair, MARK if is_marked and pair[0] else "") for pair in pairs)
        cells = _with_bold(cells, layout.digits) if layout.bold == "best" else cells
        rows.append(Row(labels, scenario if mean is None else None, cells))
    heads = (layout.head, tuple(layout.columns))
    return Printed(layout.number, layout.caption, layout.digits, *heads, methods, tuple(rows), tuple(notes))


def rounded(value: float, digits: int) -> str:
    """So many digits, halves away from nought as in the paper's own means: 31.25 is 31.3; and no -0.0."""
    exact = Decimal(str(round(value, 9))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return str(abs(exact) if exact == 0 else exact)


def _labelled(layout: Layout) -> Iterator[tuple[tuple[str, ...], str, Mean | None]]:
    """Row by row: its labels, its scenario, and the mean that it is in its place."""
    blank = ("",) * (len(layout.head) - 1)
    for row in layout.rows:
        if isinstance(row, Scenarios):
            for label, scenario in row.scenarios.items():
                yield ((row.group, label) if blank else (label,)), scenario, None
        else:
            yield (row.mean, *blank), "", row


def _measured(replicates: pd.DataFrame) -> dict[tuple[str, str], Estimate]:
    """(scenario, method) -> mean over training seeds and its standard error, which one seed has not."""
    found = replicates.groupby(["scenario", "variant"])["value"].agg(["mean", "sem", "size"]).dropna(subset="mean")
    numbers = found.reset_index().itertuples(index=False, name=None)
    return {
        (scenario, method): Estimate(float(mean), _known(float(error)), int(seeds))
        for scenario, method, mean, error, seeds in numbers
    }


def _published(cells: pd.DataFrame) -> dict[tuple[str, str], Estimate]:
    rows = zip(cells["scenario"], cells["method"], cells["mean"], cells["error"], strict=True)
    return {(scenario, method): Estimate(float(mean), _known(float(error))) for scenario, method, mean, error in rows}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _mean(found: Mapping[tuple[str, str], Estimate], scenarios: Sequence[str], method: str) -> Estimate | None:
    """The mean over scenarios, where the method has a number on all of them."""
    own = [found[scenario, method] for scenario in scenarios if (scenario, method) in found]
    return Estimate(sum(one.mean for one in own) / len(own)) if len(own) == len(scenarios) else None


def _printed(
    found: Mapping[tuple[str, str], Estimate], scenarios: Sequence[str], method: str, mean: Mean
) -> Estimate | None:
    """The paper's own mean where it differs from that of its numbers."""
    return Estimate(mean.printed[method]) if method in mean.printed else _mean(found, scenarios, method)


def _with_bold(cells: tuple[Cell, ...], digits: int) -> tuple[Cell, ...]:
    """The best of a row, and all printed alike: among the published, and among two or more that we measured."""
    measured = [cell.measured for cell in cells if cell.measured]
    best = _best(measured, digits) if len(measured) > 1 else None
    best_published = _best([cell.published for cell in cells if cell.published], digits)
    return tuple(
        replace(
            cell,
            measured=cell.measured and replace(cell.measured, is_bold=rounded(cell.measured.mean, digits) == best),
            published=cell.published
            and replace(cell.published, is_bold=rounded(cell.published.mean, digits) == best_published),
        )
        for cell in cells
    )


def _best(estimates: Sequence[Estimate], digits: int) -> str | None:
    return rounded(max(one.mean for one in estimates), digits) if estimates else None
