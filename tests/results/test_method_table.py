"""Tables for papers and programs, read back from what they are written as."""

import io
import re

import pandas as pd
import pytest

from mage.errors import MageError
from mage.results import format_table, method_table
from mage.results.failures import FAILURE_COLUMNS
from tests.results.test_statistics import method


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """On maze_a mage is above bc, interval and all; on b the means differ and the intervals overlap; dt has one run."""
    mage = method("mage", {"maze_a": [80.0, 90.0, 85.0], "b": [140.0, 150.0, 120.0]})
    bc = method("bc", {"maze_a": [10.0, 20.0, -5.0], "b": [110.0, 125.0, 120.0]})
    return method_table(pd.concat([mage, bc, method("dt", {"c": [-3.0]}), method("bc", {"c": [9.0]})]), resamples=100)


def cells(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index(["method", "scenario"])


def test_a_cell_is_bold_where_its_interval_is_above_all_others_and_never_for_its_mean(table: pd.DataFrame) -> None:
    best = table[table["is_best"]]
    assert best[["method", "scenario"]].to_numpy().tolist() == [["mage", "maze_a"]]
    means = cells(table)["mean"].to_dict()
    assert means["mage", "b"] > means["bc", "b"]
    alone = method_table(method("mage", {"a": [1.0, 2.0]}), resamples=50)
    assert not alone["is_best"].any()  # nobody else has tried


def test_a_table_in_markdown_has_a_row_a_method_and_says_what_its_cells_are(table: pd.DataFrame) -> None:
    header, _, first, *others, note = format_table(table, "md").strip().splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == ["method", "b", "c", "maze_a"]
    assert [cell.strip() for cell in first.strip("|").split("|")] == [
        "mage",
        "136.7 [120.0, 150.0]",
        "-",
        "**85.0** [80.0, 90.0]",
    ]
    assert others[1] == "| dt | - | -3.0 | - |"
    assert "bootstrap interval" in note and "failed counts as a random policy" in note


def test_a_table_in_csv_has_every_number_unrounded(table: pd.DataFrame) -> None:
    read = pd.read_csv(io.StringIO(format_table(table, "csv")), index_col="method")
    for cell in table.to_dict("records"):
        names = {"mean": "", "low": "_low", "high": "_high", "runs": "_runs", "failed": "_failed"}
        for name, suffix in names.items():
            value = read.loc[cell["method"], f"{cell['scenario']}{suffix}"]
            assert value == cell[name] or (pd.isna(value) and pd.isna(cell[name]))


def test_a_table_in_latex_is_whole_escaped_and_aligned(table: pd.DataFrame) -> None:
    text = format_table(table, "latex")
    assert text.splitlines()[0] == r"% \usepackage{booktabs,siunitx,etoolbox} \robustify\bfseries"
    assert r"\begin{tabular}{lS[" in text and text.endswith("\\end{tabular}\n")
    assert r"\multicolumn{2}{c}{maze\_a}" in text and "maze_a" not in text.replace(r"\_", "")
    rows = [line for line in text.splitlines() if line.startswith(("mage ", "bc ", "dt "))]
    assert all(row.count("&") == 6 for row in rows) and len(rows) == 3
    assert re.search(r"\\bfseries 85\.0 & \$\[80\.0, 90\.0\]\$", rows[0])
    assert text.count(r"\bfseries 85.0") == 1 and text.count("bfseries") == 2  # once in the line on packages
    assert text.count("{") == text.count("}")


def test_what_failed_is_counted_in_its_cell_and_draws_the_mean_down() -> None:
    lost = pd.DataFrame(
        [["a", "mage", "a-mage-a", "local/pen/expert-v0", 2, "t", "e", "l"]], columns=list(FAILURE_COLUMNS)
    )
    table = method_table(method("mage", {"a": [90.0, 60.0]}), failures=lost, resamples=50)
    (cell,) = table.to_dict("records")
    assert (cell["mean"], cell["runs"], cell["failed"]) == (50.0, 3, 1)
    assert "(1 of 3 failed)" in format_table(table, "md") and "(1 of 3 failed)" in format_table(table, "latex")


def test_another_form_is_refused(table: pd.DataFrame) -> None:
    with pytest.raises(MageError, match="one of md, latex, csv, not as 'html'"):
        format_table(table, "html")
