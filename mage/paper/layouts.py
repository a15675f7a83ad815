"""How the paper prints its result tables (layouts.yaml): rows, groups, columns, means and what is bold."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mage.errors import MageError


class Scenarios(BaseModel):
    """Rows of a scenario each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str = ""
    scenarios: dict[str, str] = Field(min_length=1, description="printed label -> scenario")


class Mean(BaseModel):
    """A row of means over scenarios above it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: str = Field(description="its printed label")
    of: tuple[str, ...] = Field(("*",), description="patterns of scenarios")
    printed: dict[str, float] = Field({}, description="method -> the paper's mean, where that is not of its numbers")


class Layout(BaseModel):
    """One table as it is printed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    caption: str
    bold: Literal["best", "none"] = "best"
    digits: int = Field(1, ge=0, description="behind the point")
    head: tuple[str, ...] = Field(("Scenario",), min_length=1, max_length=2, description="above what names a row")
    columns: dict[str, str] = Field(min_length=1, description="printed head -> method, as in published_results.csv")
    rows: tuple[Scenarios | Mean, ...] = Field(min_length=1)

    @property
    def scenarios(self) -> tuple[str, ...]:
        """In printed order."""
        return tuple(name for row in self.rows if isinstance(row, Scenarios) for name in row.scenarios.values())

    def averaged(self, mean: Mean) -> tuple[str, ...]:
        """The scenarios that a row of means is over."""
        return tuple(name for name in self.scenarios if any(fnmatch(name, pattern) for pattern in mean.of))

    @model_validator(mode="after")
    def _check(self) -> Self:
        twice = sorted({name for name in self.scenarios if self.scenarios.count(name) > 1})
        if twice:
            raise ValueError(f"table {self.number} has {', '.join(twice)} twice")
        for row in self.rows:
            if isinstance(row, Scenarios) and row.group and len(self.head) < 2:
                raise ValueError(f"table {self.number} has no column for the group {row.group}")
            if isinstance(row, Mean) and not self.averaged(row):
                raise ValueError(f"table {self.number} has no scenario for '{row.mean}'")
            unknown = set(row.printed) - set(self.columns.values()) if isinstance(row, Mean) else None
            if unknown:
                raise ValueError(f"table {self.number} has no column of {', '.join(sorted(unknown))}")
        return self


def get_layouts(numbers: Iterable[str | int]) -> list[Layout]:
    """The tables of those numbers, each once.

    Raises:
        MageError: none are named, or one that is not declared.
    """
    declared = all_layouts()
    wanted = list(dict.fromkeys(str(number) for number in numbers))
    known = ", ".join(map(str, declared))
    if not wanted:
        raise MageError(f"name tables of the paper, as --table 1; there are: {known}")
    for number in wanted:
        if number not in map(str, declared):
            raise MageError(f"the paper has no table of results '{number}'; there are: {known}")
    return [declared[int(number)] for number in wanted]


@cache
def all_layouts() -> dict[int, Layout]:
    """Every declared table by its number."""
    return read_layouts(Path(__file__).with_name("layouts.yaml").read_text(encoding="utf-8"))


def read_layouts(text: str) -> dict[int, Layout]:
    """Declarations by table number; MageError with one line where one is not valid."""
    try:
        layouts = [Layout.model_validate(entry) for entry in yaml.safe_load(text)]
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise MageError(f"layouts.yaml is not valid: {field} {problem['msg']}") from None
    return {layout.number: layout for layout in layouts}
