"""Runs that no table has asked for stand in the columns of their methods."""

from pathlib import Path
from typing import Any

import pytest

from mage.errors import MageError
from mage.paper.printed import Estimate, Printed
from mage.paper.reproduce import printed
from mage.paper.tables import get_tables
from mage.results import write_parquet
from tests.paper.test_reproduce import begun
from tests.results.tables import results
from tests.test_cli import error_of, run_well


def run(folder: Path, scores: dict[int, list[float]], **columns: Any) -> str:
    """A training run that was evaluated, where each seed is of one run."""
    for seed, own in scores.items():
        write_parquet(results({seed: own}, **columns), folder / f"seed-{seed}" / "episodes.parquet")
    return str(folder)


def measured(table: Printed) -> dict[str, Estimate]:
    """By method, on the first scenario."""
    return {
        method: cell.measured for method, cell in zip(table.methods, table.rows[0].cells, strict=True) if cell.measured
    }


def test_trainings_stand_in_their_methods_columns_and_a_file_twice_named_counts_once(tmp_path: Path) -> None:
    mine = run(tmp_path / "mage", {0: [20.0, 30.0], 1: [35.0]})
    iql = run(tmp_path / "iql", {0: [50.0]}, algorithm="iql")
    run(tmp_path / "other", {0: [1.0]}, algorithm="of_mine")
    (table,) = printed([1], results=[mine, iql, str(tmp_path)])
    assert {name: (one.mean, one.seeds) for name, one in measured(table).items()} == {
        "MAGE": (30.0, 2),
        "IQL": (50.0, 1),
    }
    assert any("Of runs of one's own; datasets: local/pen/expert-v0." in note for note in table.notes)
    assert any("over 1 to 2 training seeds, 1 to 2 episodes each" in note for note in table.notes)


def test_they_stand_beside_those_of_a_run_of_tables_but_not_in_its_cells(tmp_path: Path) -> None:
    begun(tmp_path / "tables", 1, only=["pen-expert"], algorithms=["IQL"], version=[None, None])
    (table,) = printed([1], tmp_path / "tables", results=[run(tmp_path / "mage", {0: [20.0]})])
    assert {name: one.mean for name, one in measured(table).items()} == {"MAGE": 20.0, "IQL": 11.0}
    with pytest.raises(MageError, match="IQL on pen-expert is in --out and among --results"):
        printed([1], tmp_path / "tables", results=[run(tmp_path / "iql", {0: [1.0]}, algorithm="iql")])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"config_hash": "fff"}, r"run with 2 configurations \(0123456789ab, fff\)"),
        ({"dataset_id": "D4RL/pen/expert-v2"}, r"run with 2 datasets \(D4RL/pen/expert-v2, local/pen/expert-v0\)"),
    ],
)
def test_a_cell_holds_one_configuration_on_one_dataset(tmp_path: Path, columns: dict[str, str], said: str) -> None:
    runs = [run(tmp_path / "one", {0: [20.0]}), run(tmp_path / "other", {1: [30.0]}, **columns)]
    with pytest.raises(MageError, match=f"MAGE on pen-expert was {said}"):
        printed([1], results=runs)


def test_rewards_of_two_versions_are_marked(tmp_path: Path) -> None:
    for algorithm, version in (("mage", "ogbench 1.1.5"), ("hiql", "ogbench 1.2.1")):
        columns = {"algorithm": algorithm, "scenario": get_tables([24])[0].scenarios[0], "environment_version": version}
        run(tmp_path / algorithm, {0: [20.0]}, **columns)
    (table,) = printed([24], results=[str(tmp_path)])
    assert any("ogbench 1.1.5 and with ogbench 1.2.1" in note for note in table.notes)


def test_what_stands_in_no_table_or_is_not_there_is_one_line(tmp_path: Path) -> None:
    mine = run(tmp_path / "mage", {0: [20.0]})
    assert "20.0" in run_well("paper", "show", "--table", "1", "--results", mine)
    assert "stand in none of the tables 2" in error_of("paper", "show", "--table", "2", "--results", mine)
    assert "there is nothing at" in error_of("paper", "show", "--table", "1", "--results", str(tmp_path / "nothing"))
