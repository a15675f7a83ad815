"""The paper's tables as what is run for them, and the one sweep that several of them need.

Ablations say what each row changes of a preset (ablations.yaml). In all other tables a row is a method, so that they
need no more than what the paper prints (layouts.yaml) and what its methods are called here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mage import registry, scenarios
from mage.config import algorithm_of, concerning
from mage.errors import MageError
from mage.paper.layouts import Layout, all_layouts
from mage.results.published import algorithms_by_method

Overrides = tuple[str, ...]


class PresetOverrides(BaseModel):
    """What a preset needs on top of what the rows declare."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    all: Overrides = Field((), description="for every row whose algorithm has these fields")
    variants: dict[str, Overrides] = Field({}, description="for one row")


class AblationTable(BaseModel):
    """One table of the paper: its rows, what each changes of a preset, and where it is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    title: str
    measures: Literal["score", "milliseconds"] = "score"
    scenarios: tuple[str, ...] = Field(min_length=1, description="as in the paper, known to the registry or not")
    published_as: str | None = Field(None, description="the published scenario, where that is not the measured one")
    reference: str = Field(description="the row that the effects of the others are taken against")
    variants: dict[str, Overrides] = Field(min_length=2, description="row -> overrides of the preset")
    published_only: tuple[str, ...] = Field((), description="rows that are shown, not run")
    presets: dict[str, PresetOverrides] = {}
    notes: tuple[str, ...] = ()

    def runnable(self) -> tuple[str, ...]:
        """Its scenarios that are in the registry."""
        return tuple(name for name in self.scenarios if name in scenarios.names())

    def not_runnable(self) -> str | None:
        """A line that names the scenarios that are not; None where all are."""
        missing = [name for name in self.scenarios if name not in scenarios.names()]
        return f"table {self.number} cannot run {', '.join(missing)}: not in scenarios.yaml" if missing else None

    def overrides(self, preset: str, given: Sequence[str] = ()) -> dict[str, Overrides]:
        """Row -> all it changes of a preset. Of what the preset needs on top, fields that are `given` are left out."""
        extra = self.presets.get(preset, PresetOverrides())
        taken = {_field(override) for override in given}
        algorithms = {name: algorithm_of(own) for name, own in self.variants.items()}
        found = {}
        for name, own in self.variants.items():
            shared = concerning(extra.all, algorithms[name], set(algorithms.values()) - {algorithms[name]})
            needed = shared + extra.variants.get(name, ())
            found[name] = tuple(entry for entry in needed if _field(entry) not in taken) + own
        return found

    @model_validator(mode="after")
    def _check(self) -> Self:
        rows = {self.reference} | {name for extra in self.presets.values() for name in extra.variants}
        unknown = rows - set(self.variants)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} is no row of table {self.number}")
        return self


def get_tables(numbers: Iterable[str | int]) -> list[AblationTable]:
    """The tables of those numbers, each once.

    Raises:
        MageError: none are named, or one that is not declared.
    """
    declared = dict(sorted((_comparisons() | _declared()).items()))
    known = ", ".join(map(str, declared))
    wanted = list(dict.fromkeys(str(number) for number in numbers))
    if not wanted:
        raise MageError(f"name the tables of the paper to run; there are: {known}")
    for number in wanted:
        if number not in map(str, declared):
            raise MageError(f"there is no table '{number}' to run; there are: {known}")
    return [declared[int(number)] for number in wanted]


def ablation_tables() -> list[AblationTable]:
    """Every table of which a row is a variant of one algorithm."""
    return list(_declared().values())


def comparison_tables() -> list[AblationTable]:
    """Every table of which a row is a method; methods that are no algorithm here are published only."""
    return list(_comparisons().values())


def _comparisons() -> dict[int, AblationTable]:
    return {number: _comparison(layout) for number, layout in all_layouts().items() if number not in _declared()}


def _comparison(layout: Layout) -> AblationTable:
    algorithms = algorithms_by_method()
    methods = {method: algorithms[method] for method in layout.columns.values()}
    here = {method: name for method, name in methods.items() if name in registry.names()}
    return AblationTable(
        number=layout.number,
        title=layout.caption.rstrip("."),
        scenarios=layout.scenarios,
        reference=next(method for method, name in here.items() if name == registry.DEFAULT),
        variants={method: () if name == registry.DEFAULT else (f"algorithm={name}",) for method, name in here.items()},
        published_only=tuple(method for method in methods if method not in here),
    )


@cache
def _declared() -> dict[int, AblationTable]:
    return read_tables(Path(__file__).with_name("ablations.yaml").read_text(encoding="utf-8"))


def read_tables(text: str) -> dict[int, AblationTable]:
    """Declarations by table number; MageError with one line where one is not valid."""
    try:
        tables = [AblationTable.model_validate(entry) for entry in yaml.safe_load(text)]
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise MageError(f"ablations.yaml is not valid: {field} {problem['msg']}") from None
    return {table.number: table for table in tables}


def narrowed(
    tables: Sequence[AblationTable], only: Sequence[str] = (), algorithms: Sequence[str] = ()
) -> list[AblationTable]:
    """Those tables on some of their scenarios, with the rows of some algorithms; of the others nothing is left.

    Args:
        tables: to narrow.
        only: scenarios; by default all.
        algorithms: by their names here or in the paper; by default all.

    Raises:
        MageError: an unknown scenario or algorithm, or nothing is left of any table.
    """
    for name in only:
        scenarios.get(name)
    names = [algorithms_by_method().get(name, name) for name in algorithms]
    for name in names:
        registry.check_name(name)
    left = []
    for table in tables:
        there = tuple(name for name in table.scenarios if not only or name in only)
        rows = {name: own for name, own in table.variants.items() if not names or algorithm_of(own) in names}
        if there and rows:
            left.append(table.model_copy(update={"scenarios": there, "variants": rows}))
    if not left:
        of = " and ".join(filter(None, [", ".join(only), ", ".join(algorithms)]))
        numbers = ", ".join(str(table.number) for table in tables)
        raise MageError(f"there is nothing of {of} to run in table {numbers}; name others, or other tables")
    return left


def scenarios_of(table: AblationTable, wanted: Sequence[str] | None = None) -> tuple[str, ...]:
    """The scenarios that a table is run on: those wanted, else its own that are in the registry.

    Raises:
        MageError: an unknown scenario, or none of the table's own is known.
    """
    if wanted:
        return tuple(scenarios.get(name).name for name in dict.fromkeys(wanted))
    if not table.runnable():
        raise MageError(f"{table.not_runnable()}; name other --scenarios for it")
    return table.runnable()


def union(
    tables: Sequence[AblationTable], preset: str, given: Sequence[str] = (), wanted: Sequence[str] | None = None
) -> dict[str, Any]:
    """The one sweep that measures the scores of several tables: its `scenarios`, `variants` and `variants_of`.

    Rows of the same name and overrides are one variant; rows of the same name that differ are told apart by the
    number of their table. Rows of different names that turn out to be one configuration are the sweep's affair.
    """
    variants: dict[str, Overrides] = {}
    tried: dict[str, list[str]] = {}
    for table in tables:
        rows = table.overrides(preset, given)
        labels = [
            name if variants.get(name, own) == own else f"{name} (table {table.number})" for name, own in rows.items()
        ]
        variants |= dict(zip(labels, rows.values(), strict=True))
        for scenario in scenarios_of(table, wanted):
            before = tried.setdefault(scenario, [])
            before += [label for label in labels if label not in before]
    everywhere = all(set(names) == set(variants) for names in tried.values())
    return {
        "scenarios": tuple(tried),
        "variants": variants,
        "variants_of": None if everywhere else {name: tuple(labels) for name, labels in tried.items()},
    }


def _field(override: str) -> str:
    return override.partition("=")[0].strip()
