"""What the presets named `paper` are to be, field by field, with where it was published: `paper_presets_goals.csv`."""

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.algorithms.runs import value_of

TABLE = Path(__file__).with_name("paper_presets_goals.csv")


class PresetRow(NamedTuple):
    """A line of the table; the value is JSON."""

    method: str
    family: str
    field: str
    value: str
    source: str

    def __str__(self) -> str:
        return f"{self.family}-{self.field}"


def preset_rows(method: str) -> list[PresetRow]:
    """Those of a method."""
    with TABLE.open(encoding="utf-8", newline="") as lines:
        return [PresetRow(**row) for row in csv.DictReader(lines) if row["method"] == method]


def check_preset(row: PresetRow) -> None:
    """That the field is what was published."""
    found: Any = value_of(row.method, "paper", row.family, row.field)
    wanted = json.loads(row.value)
    assert (list(found) if isinstance(found, tuple) else found) == wanted, row.source
