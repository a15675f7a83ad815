"""`mage results` on sweeps that are under way, interrupted or done."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from mage.results import write_parquet
from mage.results.status import write_status
from tests.results.statuses import NOW, under_way
from tests.results.tables import results, trials
from tests.test_cli import error_of, run_well
from tests.test_import_time import loaded_after


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A run directory of two scenarios, one under way and one that waits."""
    folder = tmp_path / "runs" / "maze"
    write_status(under_way(), folder / "maze2d-umaze")
    write_status(under_way(scenario="maze2d-large", state="waiting", trials=[]), folder / "maze2d-large")
    write_parquet(results({0: [80.0], 1: [80.0]}), folder / "maze2d-umaze" / "episodes" / "a.parquet")
    return folder


def test_the_status_of_a_run_shows_all_its_scenarios(sweep: Path) -> None:
    shown = run_well("results", "status", sweep)
    assert (
        "maze2d-large: 0 of 6 trials finished, 0 failed, 0 not ended, 6 left, 2 training seeds each; has not" in shown
    )
    assert "maze2d-umaze: 2 of 6 trials finished, 1 stopped early, 1 failed, 1 running, 1 left" in shown
    assert "trial_5" in shown and "150/300" in shown
    assert "FAILED trial_4 [depth=4]: training failed: out of memory (log: /runs/a/tune/4)" in shown
    assert "maze2d-umaze (maze/maze2d-umaze): 2 of 6" in run_well("results", "status", sweep.parent)
    assert "maze2d-umaze: 2 of 6" in run_well("results", "status", sweep / "maze2d-umaze")


def test_the_status_as_json_says_what_the_files_say(sweep: Path) -> None:
    large, umaze = json.loads(run_well("results", "status", sweep, "--json"))
    assert (large["state"], umaze["counts"]["running"], umaze["best"]["score"]) == ("waiting", 1, 80.0)
    assert umaze["trials"][3]["reason"] == "training failed: out of memory"


def test_the_status_of_a_sweep_whose_driver_is_gone_is_no_error(sweep: Path) -> None:
    write_status(under_way(updated=NOW - timedelta(hours=5)), sweep / "maze2d-umaze")
    shown = run_well("results", "status", sweep)
    assert re.search(r"last heard of 5 h \d+ min ago: killed \(it was process 4321 on head\), or", shown)


def test_the_summary_of_a_sweep_under_way_says_of_how_many_trials_it_is(sweep: Path) -> None:
    shown = run_well("results", "show", sweep)
    assert "maze2d-umaze: 2 of 6 trials finished, 1 stopped early, 1 failed, 1 running, 1 left, 2 training" in shown


def test_a_place_without_a_sweep_is_named(tmp_path: Path) -> None:
    assert f"no sweep says how far it is at {tmp_path}" in error_of("results", "status", tmp_path)
    assert "there is nothing at" in error_of("results", "status", tmp_path / "absent")


def test_looking_at_a_sweep_loads_neither_ray_nor_torch(sweep: Path) -> None:
    run = f"from mage.cli import main\ntry: main(['results', 'status', {str(sweep)!r}])\nexcept SystemExit: pass"
    assert loaded_after(run).isdisjoint({"ray", "torch", "optuna", "minari", "gymnasium"})


def test_statistics_put_methods_side_by_side_over_their_scenarios(tmp_path: Path) -> None:
    for scenario in ("maze2d-umaze", "maze2d-large"):
        for algorithm, scores in (("mage", {0: [80.0], 1: [90.0]}), ("bc", {0: [10.0], 1: [20.0]})):
            own = results(scores, scenario=scenario, algorithm=algorithm, config_hash=f"{algorithm}-{scenario}")
            write_parquet(own, tmp_path / scenario / "episodes" / f"{algorithm}.parquet")
    write_parquet(trials({"transformer.depth": [1, 2]}, [10.0, 20.0]), tmp_path / "maze2d-umaze" / "trials.parquet")
    shown = run_well("results", "statistics", tmp_path, "--plot", tmp_path / "profiles.png").replace("│", " ")
    assert re.search(r"mage +2 +4 +1 +85\.0 \[80\.0, 90\.0\]", shown), shown
    assert re.search(r"mage +bc +1\.00 \[1\.00, 1\.00\]", shown), shown
    assert re.search(r"1 +15\.0 *\n2 +20\.0", shown), shown
    assert (tmp_path / "profiles.png").stat().st_size > 5000
    assert "no column 'rule'; they have" in error_of("results", "statistics", tmp_path, "--by", "rule")


def test_a_table_is_printed_as_asked(tmp_path: Path) -> None:
    write_parquet(results({0: [80.0], 1: [90.0]}), tmp_path / "run" / "episodes.parquet")
    assert "| mage | 85.0 [80.0, 90.0] |" in run_well("results", "table", tmp_path)
    assert run_well("results", "table", tmp_path, "--as", "csv").splitlines()[1] == "mage,85.0,80.0,90.0,2,0"
    assert r"\bottomrule" in run_well("results", "table", tmp_path, "--as", "latex")
    assert "one of md, latex, csv" in error_of("results", "table", tmp_path, "--as", "word")


def test_beside_the_paper_a_reconstruction_is_told_of(tmp_path: Path) -> None:
    write_parquet(results({0: [80.0]}, algorithm="hdmi_style"), tmp_path / "episodes" / "a.parquet")
    shown = run_well("results", "compare", tmp_path)
    assert "hdmi_style: a reconstruction of HDMI, whose code and settings were never published" in shown
