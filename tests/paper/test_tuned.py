"""What a sweep has chosen stands in its method's column, with the scores of fresh seeds and no others."""

from pathlib import Path

import pandas as pd
import pytest

from mage.errors import MageError
from mage.paper.printed import Estimate, Printed
from mage.paper.reproduce import printed
from mage.results import write_parquet
from tests.paper.test_reproduce import begun
from tests.results.tables import results
from tests.test_cli import error_of, run_well


def sweep(folder: Path, scenario: str = "pen-expert", algorithm: str = "mage") -> Path:
    """The run directory of a sweep whose choice scored 90 with both seeds that chose, and 20 and 24 with others."""
    own = {"scenario": scenario, "config_hash": "abc", "variant": "x", "algorithm": algorithm}
    write_parquet(results({0: [90.0], 1: [90.0]}, **own), folder / scenario / "episodes" / "abc.parquet")
    write_parquet(
        results({2: [20.0], 3: [24.0]}, **own), folder / "fresh_seeds" / scenario / "episodes" / "abc.parquet"
    )
    cost = {"trials": 8, "seeds": 2, "chosen_mean": 90.0, "chosen_standard_error": 0.5, "fresh_seeds": 2}
    row = {"scenario": scenario, "algorithm": algorithm, "config_hash": "abc", **cost}
    write_parquet(pd.DataFrame([row]), folder / "fresh_seeds" / "chosen.parquet")
    return folder


def cell(table: Printed, method: str, row: int = 0) -> Estimate | None:
    return table.rows[row].cells[table.methods.index(method)].measured


def test_fresh_seeds_take_the_place_of_the_preset_and_the_choice_is_told(tmp_path: Path) -> None:
    begun(tmp_path / "run", 1, only=["pen-expert"], algorithms=["IQL", "mage"], version=[None, None])
    one, seven = printed([1, 7], tmp_path / "run", [sweep(tmp_path / "sweep")])
    for table in (one, seven):
        mine = cell(table, "MAGE")
        assert mine and (mine.mean, mine.seeds) == (22.0, 2)
        assert [note for note in table.notes if "the best of 8" in note] == [
            "MAGE on pen-expert is the best of 8 trials x 2 seeds, which scored it 90.0 ± 0.5; measured anew with 2 "
            "seeds that had no say."
        ]
    other = cell(one, "IQL")
    assert other and other.mean == 11.0


def test_a_choice_is_shown_without_a_run_of_tables(tmp_path: Path) -> None:
    shown = run_well("paper", "show", "--table", "1", "--chosen", str(sweep(tmp_path)))
    assert "22.0 ± 2.0" in shown and "over 2 training seeds" in shown and "nothing yet" not in shown


def test_a_choice_of_another_algorithm_fills_the_column_of_that_one(tmp_path: Path) -> None:
    (table,) = printed([1], sweeps=[sweep(tmp_path / "a"), sweep(tmp_path / "b", algorithm="iql")])
    measured = {method for method in table.methods if cell(table, method)}
    assert measured == {"IQL", "MAGE"}


def test_what_was_not_measured_anew_or_stands_in_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MageError, match="MAGE on pen-expert, stands in none of the tables 2"):
        printed([2], sweeps=[sweep(tmp_path / "a")])
    with pytest.raises(MageError, match="two sweeps have chosen MAGE on pen-expert"):
        printed([1], sweeps=[sweep(tmp_path / "a"), sweep(tmp_path / "b")])
    said = error_of("paper", "show", "--table", "1", "--chosen", str(tmp_path))
    assert "--report-seeds 5" in said and str(tmp_path) in said
