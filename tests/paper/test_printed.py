"""A table is filled with what is measured and what is published, and written in four formats, byte for byte."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mage.errors import MageError
from mage.paper.formats import FORMATS, to_csv, to_latex, to_markdown
from mage.paper.layouts import all_layouts, get_layouts
from mage.paper.printed import Printed, fill, rounded
from mage.results import published

GOLDEN = Path(__file__).parents[1] / "golden" / "paper"
MEASURED = {
    ("kitchen-partial", "BC"): [40.0, 42.0, 47.0],
    ("kitchen-partial", "MAGE"): [60.0, 61.0],
    ("kitchen-mixed", "BC"): [33.25],
    ("kitchen-mixed", "MAGE"): [-0.01],
}


def filled(
    number: int, scores: dict[tuple[str, str], list[float]] | None = None, marked: Sequence[str] = ()
) -> Printed:
    """A table of the paper with these scores of training seeds."""
    rows = [
        {"scenario": scenario, "variant": method, "value": value}
        for (scenario, method), values in (scores or {}).items()
        for value in values
    ]
    measured = pd.DataFrame(rows, columns=["scenario", "variant", "value"])
    (layout,) = get_layouts([number])
    return fill(layout, measured, published(), ["A note of 5 % & <more>."], marked)


@pytest.mark.parametrize("name", FORMATS)
def test_a_half_measured_table_is_written_as_the_golden_file_has_it(name: str) -> None:
    text = FORMATS[name]([filled(16, MEASURED, ["kitchen-mixed"])])
    assert text == (GOLDEN / f"table-16.{name}").read_text(encoding="utf-8")


def row_of(table: Printed, *labels: str) -> dict[str, str]:
    """A row of a table as written in Markdown: printed head -> cell."""
    lines = [line for line in to_markdown([table]).splitlines() if line.startswith("|")]
    head, *rows = [[text.strip() for text in line.strip("|").split("|")] for line in lines]
    (index,) = [index for index, row in enumerate(table.rows) if row.labels == labels]
    return dict(zip(head, rows[1 + index], strict=True))


def test_a_group_is_named_once_and_a_mean_needs_all_that_it_is_over() -> None:
    table = filled(1, {("pen-human", "IQL"): [1.0]})
    assert row_of(table, "Pen", "Human")["IQL"] == "1.0 (78.4 ± 8.2)"
    assert row_of(table, "Pen", "Human")["Scenario"] == ""
    assert row_of(table, "Mean(w/o Expert)", "")["IQL"] == "- (21.4)"
    everywhere = filled(1, {(name, "IQL"): [1.0] for name in get_layouts([1])[0].scenarios if "expert" not in name})
    assert row_of(everywhere, "Mean(w/o Expert)", "")["IQL"] == "1.0 (21.4)"
    assert row_of(everywhere, "Mean(all settings)", "")["IQL"] == "- (53.4)"


def test_what_the_paper_leaves_out_is_left_out() -> None:
    assert row_of(filled(2), "Kitchen", "Partial")["HDMI"] == "-"
    assert row_of(filled(2), "Average", "")["HDMI"] == "-"
    assert row_of(filled(17), "Maze2D", "U-maze")["MPPI"] == "- (33.2)"
    assert row_of(filled(18), "HalfCheetah", "Medium")["BC"] == "- (42.6)"


def test_means_are_as_printed_even_where_they_are_not_those_of_the_numbers() -> None:
    averages = [row_of(filled(18), "Average", "")[head] for head in get_layouts([18])[0].columns]
    printed = ["71.7", "83.9", "84.0", "81.4", "80.4", "66.6", "81.6", "77.3", "81.7", "**89.8**"]
    assert averages == [f"- ({mean})" for mean in printed]
    kitchen = ["56.5", "28.6", "66.7", "31.3", "61.0", "61.6", "-", "72.5", "**88.8**"]
    found = [row_of(filled(2), "Average", "")[head] for head in get_layouts([2])[0].columns]
    assert found == [mean if mean == "-" else f"- ({mean})" for mean in kitchen]


def bold(number: int) -> set[tuple[str, str]]:
    """(last label, printed head) of the published numbers that are bold."""
    table = filled(number)
    return {
        (row.labels[-1] or row.labels[0], column)
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.published and cell.published.is_bold
    }


def test_bold_is_what_is_bold_in_print() -> None:
    assert {column for _, column in bold(2) | bold(4) | bold(15) | bold(16) | bold(17) | bold(22) | bold(25)} == {
        "MAGE"
    }
    assert {pair for pair in bold(1) if pair[1] != "MAGE"} == {("Cloned", name) for name in ("IQL", "DT", "ADT")}
    assert {pair for pair in bold(3) if pair[1] != "MAGE"} == {("U-maze", "D-QL")}
    assert {pair for pair in bold(18) if pair[1] != "MAGE"} == {("Medium", "CQL"), ("Medium", "HD")}
    assert {pair for pair in bold(24) if pair[1] != "MAGE"} == {("antmaze-giant-navigate-v0", "HIQL")}
    assert not any(bold(number) for number in (5, 6, 7, 8, 19, 20, 21, 23, 26))


def test_the_one_that_was_measured_is_not_the_best_of_what_was_measured() -> None:
    alone = row_of(filled(16, {("kitchen-mixed", "BC"): [90.0]}), "Kitchen", "Mixed")["BC"]
    assert alone == "90.0 (48.9 ± 0.7)"


def test_the_five_tasks_of_ogbench_stand_beside_the_papers_and_the_single_task_does_not() -> None:
    table = filled(24, {("antmaze-giant-goals-v0", "HIQL"): [64.6], ("antmaze-giant-navigate-v0", "MAGE"): [1.0]})
    row = row_of(table, "antmaze-giant-navigate-v0")
    assert (row["HIQL"], row["MAGE"]) == ("65 (**65 ± 5**)", "- (58 ± 5)")


@given(st.integers(-3000, 3000))
def test_halves_are_rounded_away_from_nought_and_nought_has_no_sign(hundredths: int) -> None:
    text = rounded(hundredths / 100, 1)
    assert abs(float(text) - hundredths / 100) <= 0.05 + 1e-9
    assert text != "-0.0"
    if hundredths % 10 == 5 and hundredths > 0:
        assert float(text) > hundredths / 100


@pytest.mark.parametrize("number", all_layouts())
def test_every_table_is_well_formed_in_every_format(number: int) -> None:
    table = filled(number)
    page = FORMATS["html"]([table]).replace("<!DOCTYPE html>", "").replace('<meta charset="utf-8">', "")
    rows = ElementTree.fromstring(page).findall(".//tr")
    assert {len(row) for row in rows} == {len(table.head) + len(table.columns)}
    latex = to_latex([table])
    assert latex.count("{") == latex.count("}") and latex.count(r"\begin") == latex.count(r"\end") == 2
    columns = {line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\") and " & " in line}
    assert columns == {len(table.head) + len(table.columns) - 1}


def test_a_csv_file_has_one_table() -> None:
    with pytest.raises(MageError, match="one table; name one --table"):
        to_csv([filled(1), filled(2)])
