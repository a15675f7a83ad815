"""`tune/ablation.py`: bad input is one line, and its tables can be read from a run at any time."""

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from mage.paper.inference_time import REPEATS, STEPS
from mage.paper.script import run_ablation_script, show
from mage.paper.tables import get_tables, union
from mage.results import write_parquet
from mage.search.settings import claim_directory, make_settings
from tests.results.tables import results

TUNE = Path(__file__).parents[2] / "tune"
SMALL = ("transformer.embed_dim=16", "training.transformer.steps=3")


def ablation(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Runs the script in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["ablation.py", *map(str, arguments)])
    try:
        run_ablation_script("as the script says")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def begun(out: Path, *numbers: int, seeds: int = 2, **changes: object) -> dict[str, dict[str, str]]:
    """A run directory whose sweep has been claimed and no trial has ended: scenario -> variant -> hash."""
    settings = make_settings(**union(get_tables(numbers), "cpu", SMALL), overrides=SMALL, seeds=seeds, **changes)
    claim_directory(out, settings, resume=False)
    return {
        scenario: {name: config.hash() for name, config in settings.variant_configs(scenario).items()}
        for scenario in settings.scenarios
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the tables of the paper to run; there are: 1, 2"),
        (["--table", "9"], "there is no table '9' to run; there are: 1, 2"),
        (["--table", "5", "--scenarios", "pen-expart"], "did you mean pen-expert"),
        (["--table", "5", "--resume"], "--resume needs --out"),
        (["--table", "5", "--show"], "--show needs --out"),
        (["--table", "5", "--show", "--out", "HERE/nothing"], "there is no ablation run in"),
        (["--table", "8", "--resume", "--out", "HERE/nothing"], "there is no ablation run in"),
        (["--table", "5", "--resume", "--out", "HERE/nothing"], "sweep.json is missing"),
        (["--table", "5", "--seeds", "0"], "seeds: Input should be greater"),
        (["--table", "5", "--set", "transformer.dpth=1"], "did you mean transformer.depth"),
        (["--table", "8", "--set", "transformer.dpth=1"], "did you mean transformer.depth"),
        (["--table", "5", "--set", "autoencoder.latent_stride=3"], "variant 'MAGE K=10' on pen-expert: .*at most 8"),
        (["--table", "5", "--out", "HERE"], "exists; choose another --out"),
        (["--table", "8", "--out", "HERE"], "exists; choose another --out"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_writes_nothing(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in-the-way").touch()
    code = ablation(monkeypatch, *(argument.replace("HERE", str(tmp_path)) for argument in arguments))
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert re.search(said, line), line
    assert [path.name for path in tmp_path.iterdir()] == ["in-the-way"]


def test_a_run_without_a_trial_shows_the_published_numbers_and_that_nothing_ran(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    begun(tmp_path, 21)
    show(get_tables([21]), tmp_path)
    assert "not run" in capsys.readouterr().out
    table = pd.read_parquet(tmp_path / "table-21.parquet")
    assert set(table["status"]) == {"not run"}
    assert table["published_mean"].notna().all()


def test_a_half_finished_run_shows_what_is_there_by_configuration_whatever_it_was_called(tmp_path: Path) -> None:
    hashes = begun(tmp_path, 21, 22)["door-cloned"]
    for variant, scores in (("MAGE depth=2", [1.0, 3.0]), ("MAGE depth=8", [10.0, 12.0])):
        episodes = results(
            {0: [scores[0]], 1: [scores[1]]}, scenario="door-cloned", config_hash=hashes[variant], variant="whatever"
        )
        write_parquet(episodes, tmp_path / "door-cloned" / "episodes" / f"{hashes[variant]}.parquet")
    show(get_tables([21, 22]), tmp_path)
    depths = pd.read_parquet(tmp_path / "table-21.parquet").set_index(["scenario", "variant"])
    assert depths.loc[("door-cloned", "MAGE depth=2"), "measured_effect"] == -9
    assert depths.loc[("door-cloned", "MAGE depth=2"), "agreement"] == "same"
    assert depths.loc[("door-cloned", "MAGE depth=4"), "status"] == "not run"
    assert depths.loc[("pen-expert", "MAGE depth=2"), "status"] == "not run"
    adapters = pd.read_parquet(tmp_path / "table-22.parquet").set_index(["scenario", "variant"])
    # the preset's transformer has two blocks: MAGE is MAGE depth=2
    assert adapters.loc[("door-cloned", "MAGE"), "measured_mean"] == 2


def test_a_table_that_was_not_run_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    begun(tmp_path, 22)
    assert ablation(monkeypatch, "--table", 20, "--show", "--out", tmp_path) == 2
    assert "is not of table 20" in capsys.readouterr().err


def test_scenarios_outside_the_registry_are_told_in_the_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    begun(tmp_path, 25)
    show(get_tables([25]), tmp_path)
    line = get_tables([25])[0].not_runnable()
    assert line is None or line in capsys.readouterr().out


def test_inference_times_are_measured_without_ray_and_kept(
    tiny_maze_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "run"
    command = ["--table", 8, "--scenarios", "maze2d-umaze", "--out", out, "--set", *SMALL]
    assert ablation(monkeypatch, *command) == 0
    times = pd.read_parquet(out / "inference_time.parquet")
    assert times.groupby("variant").size().to_dict() == {"MAGE": REPEATS, "DT": REPEATS}
    assert (times["milliseconds"] > 0).all() and set(times["steps"]) == {STEPS}
    table = pd.read_parquet(out / "table-8.parquet").set_index("variant")
    assert table.loc["MAGE", "measured_mean"] == pytest.approx(times.query("variant == 'MAGE'")["milliseconds"].mean())
    assert (table.loc["HD", "status"], table.loc["HD", "published_mean"]) == ("published only", 1480.21)
    assert ablation(monkeypatch, *command, "--resume") == 0
    pd.testing.assert_frame_equal(pd.read_parquet(out / "inference_time.parquet"), times)
    assert ablation(monkeypatch, *command, "transformer.depth=1", "--resume") == 2
    assert "measured of other configurations" in capsys.readouterr().err
