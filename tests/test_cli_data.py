"""`mage data`: what each command prints, and one line for each thing a user gets wrong."""

import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from mage.cli import main
from tests.data.builders import write_minari
from tests.data.d4rl_files import play, rows_of, write


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def run_well(*arguments: object) -> list[str]:
    result = run(*arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout.splitlines()


def error_of(*arguments: object) -> str:
    """The one line on stderr with which bad input ends."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output + repr(result.exception)
    (line,) = result.stderr.splitlines()
    return line


def test_a_d4rl_file_is_imported_checked_and_shown(minari_root: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "pen-expert-v1.hdf5", rows_of(play("AdroitHandPen-v1", [100, 60]), terminal=[False, True]))
    assert run_well("import-d4rl", path) == [
        "2 episodes of 160 steps: 1 end in a terminal state, 1 are cut off, 0 have one step; "
        "0 steps after the last end are dropped",
        "evaluation environment: AdroitHandPen-v1, 100 steps",
        "imported/pen/expert-v0",
    ]
    checked = run_well("check", "pen-expert")
    assert any(line.startswith("ok") and "AdroitHandPen-v1 shows 45 values and takes 24" in line for line in checked)
    assert "dataset                 imported/pen/expert-v0" in checked
    counts = [line.split()[1] for line in checked[checked.index("episodes by return") + 1 : -1]]
    assert sum(map(int, counts)) == 2 and checked[-1].startswith("up to ")
    assert run_well("show", "pen-expert")[1].split()[1] == "imported/pen/expert-v0"
    assert "already here; `minari delete imported/pen/expert-v0`" in error_of("import-d4rl", path)


def test_data_without_an_environment_says_what_to_evaluate_with(minari_root: Path, tmp_path: Path) -> None:
    rows = rows_of(play("HalfCheetah-v4", [3])) | {"observations": np.zeros((3, 29)), "actions": np.zeros((3, 8))}
    printed = run_well("import-d4rl", write(tmp_path / "mine.hdf5", rows), "--scenario", "antmaze-large-play")
    assert printed[1].startswith("evaluation environment: none, ") and "use D4RL/antmaze/large-play-v1" in printed[1]
    assert printed[2] == "imported/antmaze/large-play-v0"
    assert any("policies can be trained but not evaluated" in line for line in run_well("check", "antmaze-large-play"))


def test_what_is_left_out_of_ants_observations_is_told(minari_root: Path, tmp_path: Path) -> None:
    rows = rows_of(play("Ant-v4", [3]))
    rows["observations"] = np.pad(rows["observations"], ((0, 0), (0, 84)))
    printed = run_well("import-d4rl", write(tmp_path / "ant_medium_replay-v2.hdf5", rows), "--dataset", "me/ant-v0")
    assert printed[1] == "left out: the last 84 observation values, contact forces that are all 0"
    assert printed[-1] == "me/ant-v0"


def test_a_check_that_fails_prints_what_it_found_and_ends_with_2(minari_root: Path) -> None:
    result = run("check", "--dataset", write_minari("me/nan-v0", [[1, np.nan]]))
    assert (result.exit_code, result.stderr) == (2, "")
    assert any(line.startswith("error") and "NaN or infinite" in line for line in result.stdout.splitlines())
    assert "episodes by return" not in result.stdout


def test_wrong_input_is_one_line(minari_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "There is no file" in error_of("import-d4rl", tmp_path / "pen-expert-v1.hdf5")
    assert "did you mean pen-expert" in error_of("import-d4rl", tmp_path / "x.hdf5", "--scenario", "pen-exprt")
    assert "`mage data download --dataset D4RL/pen/expert-v2`" in error_of("check", "pen-expert")
    assert "name a scenario" in error_of("check")
    assert "Nobody publishes data of ant-medium-replay" in error_of("download", "ant-medium-replay")
    assert "could not be downloaded" in error_of("download", "pen-expert")
    monkeypatch.setitem(sys.modules, "ogbench", None)
    assert 'pip install "mage-rl[ogbench]"' in error_of("download", "antmaze-giant-navigate-v0")
    assert list(minari_root.iterdir()) == []
