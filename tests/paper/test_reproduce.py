"""`mage paper`: the tables of the paper from a run directory, narrowed, and what it says of bad input."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from mage.errors import MageError
from mage.paper.layouts import all_layouts
from mage.paper.reproduce import not_here, printed
from mage.paper.tables import get_tables, narrowed, union
from mage.results import algorithms_by_method, write_parquet
from mage.search.settings import SweepSettings, claim_directory, make_settings
from tests.results.tables import results
from tests.test_cli import error_of, run_well


def begun(out: Path, *numbers: int, only: list[str], algorithms: list[str], version: Sequence[str | None]) -> None:
    """A run of tables in which each method has scored 10 and 12, played with these versions of the environment."""
    tables = narrowed(get_tables(numbers), only, algorithms)
    play(make_settings(**union(tables, "cpu"), seeds=2), out, version)


def play(settings: SweepSettings, out: Path, version: Sequence[str | None]) -> None:
    """A sweep of variants that have scored 10 and 12."""
    claim_directory(out, settings, resume=False)
    for scenario in settings.scenarios:
        for name, config in settings.variant_configs(scenario).items():
            episodes = results(
                {0: [10.0], 1: [12.0]}, scenario=scenario, config_hash=config.hash(), variant=name, algorithm="x"
            )
            episodes["environment_version"] = version
            write_parquet(episodes, out / scenario / "episodes" / f"{config.hash()}.parquet")


def test_a_narrowed_run_fills_its_cells_and_those_of_every_table_that_shares_them(tmp_path: Path) -> None:
    begun(tmp_path, 1, only=["pen-expert"], algorithms=["IQL", "mage", "adt"], version=[None, None])
    one, seven = printed([1, 7], tmp_path)
    cells = dict(zip(one.methods, one.rows[0].cells, strict=True))
    there = {method: cell.measured.mean for method, cell in cells.items() if cell.measured}
    assert there == {"IQL": 11.0, "ADT": 11.0, "MAGE": 11.0}
    assert not any(cell.measured for row in one.rows[1:] for cell in row.cells)
    assert {m for m, cell in zip(seven.methods, seven.rows[0].cells, strict=True) if cell.measured} == {"ADT", "MAGE"}
    assert any("over 2 training seeds, 1 episodes each" in note and "Preset cpu" in note for note in one.notes)


def test_a_sweep_of_another_algorithm_fills_the_column_of_that_one(tmp_path: Path) -> None:
    settings = make_settings(scenarios=["pen-expert"], algorithm="dt", variants={"as it is": ()}, seeds=2)
    play(settings, tmp_path, [None, None])
    (table,) = printed([1], tmp_path)
    cells = zip(table.methods, table.rows[0].cells, strict=True)
    assert [method for method, cell in cells if cell.measured] == ["DT"]


def test_a_reconstruction_is_told_of_under_the_table(tmp_path: Path) -> None:
    begun(tmp_path, 1, only=["pen-expert"], algorithms=["HDMI", "iql"], version=[None, None])
    (table,) = printed([1], tmp_path)
    cells = zip(table.methods, table.rows[0].cells, strict=True)
    assert {method for method, cell in cells if cell.measured} == {"HDMI", "IQL"}
    (told,) = [note for note in table.notes if "reconstruction" in note]
    assert told.startswith("HDMI is measured with hdmi_style: ") and "not HDMI's" in told


def test_cells_of_two_versions_of_ogbench_are_marked(tmp_path: Path) -> None:
    versions = ["ogbench 1.1.0", "ogbench 1.2.0"]
    begun(tmp_path, 24, only=["antmaze-giant-goals-v0"], algorithms=["hiql"], version=versions)
    (table,) = printed([24], tmp_path)
    marked = [(row.labels[0], cell.mark) for row in table.rows for cell in row.cells if cell.mark]
    assert marked == [("antmaze-giant-navigate-v0", "†")]
    assert any("ogbench 1.1.0 and with ogbench 1.2.0, which reward differently" in note for note in table.notes)


def test_a_run_of_other_tables_is_refused(tmp_path: Path) -> None:
    begun(tmp_path, 2, only=["kitchen-mixed"], algorithms=["iql"], version=[None, None])
    with pytest.raises(MageError, match="not of table 3: its sweep has none"):
        printed([3], tmp_path)


def test_every_method_of_the_paper_is_in_this_library() -> None:
    assert len(algorithms_by_method()) == 17
    assert [missing for layout in all_layouts().values() for missing in not_here(layout)] == []


def test_the_published_tables_are_shown_without_a_run() -> None:
    shown = run_well("paper", "show", "--table", "2", "17")
    assert "### Table 2" in shown and "### Table 17" in shown
    assert "Measured: nothing yet" in shown
    assert run_well("paper", "show", "--table", "5", "--as", "csv").startswith("Scenario,Scenario id,ADT,ADT error")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show"], "name tables of the paper, as --table 1"),
        (["show", "--table", "9"], "no table of results '9'"),
        (["show", "--table", "1", "2", "--as", "csv"], "one table"),
        (["show", "--table", "1", "--out", "HERE/nothing"], "there is no ablation run in"),
        (["run"], "name the tables of the paper to run"),
        (["run", "--table", "9"], "no table '9' to run"),
        (["run", "--table", "1", "--algorithm", "iql"], "write --algorithms iql"),
        (["run", "--table", "1", "--algorithms", "iqll"], "did you mean iql"),
        (["run", "--table", "1", "--algorithms", "rebrac"], "nothing of rebrac to run in table 1"),
        (["run", "--table", "1", "--scenarios", "maze2d-umaze"], "nothing of maze2d-umaze to run in table 1"),
        (["run", "--table", "1", "--scenarios", "pen-expart"], "did you mean pen-expert"),
        (["run", "--table", "2", "--algorithms", "iql", "--set", "hidden=x"], "variant 'IQL' on kitchen-partial"),
        (["run", "--table", "2", "--resume"], "--resume needs --out"),
        (["run", "--table", "2", "--algorithms", "iql", "--resume", "--out", "HERE/nothing"], "sweep.json is missing"),
        (
            ["run", "--table", "2", "--dataset-namespace", "nowhere", "--algorithms", "iql"],
            "nowhere/kitchen/partial-v0 is not",
        ),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in error_of("paper", *(argument.replace("HERE", str(tmp_path)) for argument in arguments))
    assert list(tmp_path.iterdir()) == []
