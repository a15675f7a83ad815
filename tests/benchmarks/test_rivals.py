"""A cell of the methods' table is what a training came to, not that somebody ended it."""

import sys
from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import rivals

OPTIONS = {"dataset_namespace": None, "episodes": 1}


def mage_that(says: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """Puts a script in the place of every command of `mage`."""
    script = folder / "mage.sh"
    script.write_text(f"#!/bin/sh\n{says}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return Namespace(out=folder / "out", **OPTIONS)


@pytest.mark.parametrize("end", ["kill -TERM $$", "kill -KILL $$", "exit 143"])
def test_a_training_that_is_ended_from_outside_is_told_and_no_cell(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = mage_that(end, tmp_path, monkeypatch)
    with pytest.raises(SystemExit, match=r"mage train maze2d-umaze .*ended from outside.*goes on"):
        rivals.measure(0, "bc", "maze2d-umaze", options)
    assert not list(options.out.rglob("measured.json"))


def test_a_training_that_fails_is_a_cell_with_its_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = mage_that("echo NaN in the data; exit 2", tmp_path, monkeypatch)
    rivals.measure(0, "bc", "maze2d-umaze", options)
    (measured,) = options.out.rglob("measured.json")
    assert '"said": "NaN in the data"' in measured.read_text()
    assert '"training_exit_code": 2' in measured.read_text()


def test_a_failed_cell_leaves_the_numbers_of_the_others_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = mage_that("echo no goal is shown; exit 2", tmp_path, monkeypatch)
    rivals.measure(0, "hiql", "door-cloned", options)
    raw, committed = tmp_path / "rows.csv", Path(rivals.__file__).with_name("rivals_cpu.csv").read_text().splitlines()
    header, *rows = committed
    kept = [row for row in rows if not row.startswith("hiql,door-cloned,0,")]
    raw.write_text("\n".join([header, *kept]) + "\n")
    monkeypatch.setattr(sys, "argv", ["rivals", "--table-only", "--csv", str(raw), "--out", str(options.out)])
    rivals.main()
    (failed,) = set(raw.read_text().splitlines()) - {header, *kept}
    assert failed.startswith("hiql,door-cloned,0,2,") and failed.endswith(",,no goal is shown")


def test_costs_measured_anew_take_the_place_of_the_old_ones_and_leave_the_others(tmp_path: Path) -> None:
    committed = Path(rivals.__file__).with_name("rivals_cpu.csv")
    file = tmp_path / "costs.csv"
    file.write_text(rivals.COSTS.read_text())
    (old,) = file.read_text().splitlines()[1:2]
    algorithm, scenario, *_ = old.split(",")
    rows = pd.read_csv(committed)
    again = rows[(rows["algorithm"] == algorithm) & (rows["scenario"] == scenario)].assign(training_cpu_seconds=12345.6)
    rivals.keep_costs(again, file)
    kept, new = set(rivals.COSTS.read_text().splitlines()), set(file.read_text().splitlines())
    assert kept - new == {old}
    (line,) = new - kept
    assert line.startswith(f"{algorithm},{scenario},cpu,") and ",12346," in line
