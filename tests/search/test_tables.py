"""What the trials have left becomes tables, whatever is wrong with some of it."""

from pathlib import Path

import pytest

from mage.errors import MageError
from mage.results import RESULT_COLUMNS, load, write_parquet
from mage.search.sweep import _keeps_what_was_trained, _write
from mage.search.tables import gather_results
from tests.results.tables import results, trials


def pieces(folder: Path) -> None:
    """What three trials have left, of which one wrote its swept value as text."""
    for name, rate in {"a" * 12: 0.01, "b" * 12: "1e-3", "c" * 12: None}.items():
        table = results({0: [1.0, 2.0]}, config_hash=name, **{"training.transformer.learning_rate": rate})
        write_parquet(table, folder / "episodes" / f"{name}.parquet")


def test_values_of_several_types_make_tables_all_the_same(tmp_path: Path) -> None:
    pieces(tmp_path)
    table = gather_results(tmp_path, pytest.fail)
    swept = trials({"training.transformer.learning_rate": [0.01, "1e-3", None]}, [1.0, 2.0, None])
    _write(table, swept, tmp_path, pytest.fail)
    assert len(load(tmp_path / "results.parquet")) == 6
    assert (tmp_path / "trials.parquet").exists() and (tmp_path / "scores.png").exists()


def test_rows_are_gathered_from_the_trials_and_not_from_an_earlier_table(tmp_path: Path) -> None:
    pieces(tmp_path)
    (tmp_path / "results.parquet").write_bytes(b"PAR1 cut off")
    assert len(gather_results(tmp_path, pytest.fail)) == 6


def test_a_damaged_piece_is_told_with_what_plays_it_again_and_the_others_are_kept(tmp_path: Path) -> None:
    pieces(tmp_path)
    (tmp_path / "policies" / ("b" * 12) / "seed-0").mkdir(parents=True)
    (tmp_path / "episodes" / f"{'b' * 12}.parquet").write_bytes(b"PAR1 cut off")
    said: list[str] = []
    assert len(gather_results(tmp_path, said.append)) == 4
    (line,) = said
    assert "left out" in line and f"mage evaluate {tmp_path}/policies/{'b' * 12}/seed-0" in line


def test_no_trial_that_finished_makes_a_table_without_rows(tmp_path: Path) -> None:
    table = gather_results(tmp_path, pytest.fail)
    assert len(table) == 0 and list(table.columns) == list(RESULT_COLUMNS)


def test_a_plot_that_fails_costs_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no font")

    monkeypatch.setattr("mage.search.sweep.plot_parameters", fails)
    said: list[str] = []
    _write(results({0: [1.0]}), trials({"transformer.depth": [1]}, [1.0]), tmp_path, said.append)
    assert len(load(tmp_path / "results.parquet")) == 1
    assert len(said) == 1 and "no font" in said[0]


def test_whatever_else_fails_says_where_the_episodes_are(tmp_path: Path) -> None:
    told = r"KeyError.*episodes.*mage results show .*--resume"
    with pytest.raises(MageError, match=told) as caught, _keeps_what_was_trained(tmp_path):
        raise KeyError("score")
    assert "\n" not in str(caught.value)
