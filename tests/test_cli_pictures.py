"""`mage results plot` on a real sweep."""

import shutil
from pathlib import Path

import pytest
from matplotlib.image import imread

from mage.report.views import KINDS
from mage.results import write_parquet
from mage.search.study import load_studies
from tests.results.tables import results
from tests.test_cli import error_of, run, run_well

SWEEP = Path(__file__).parent / "data" / "old_runs" / "sweep"
OF_THE_SWEEP = ["curves", "fields", "budget", "intervals", "profiles", "targets", "codes", "parallel", "importance"]


@pytest.mark.parametrize("kind", OF_THE_SWEEP)
def test_each_kind_is_drawn_of_a_sweep(kind: str, tmp_path: Path) -> None:
    shown = run_well("results", "plot", SWEEP, "--kind", kind, "--to", tmp_path)
    assert shown == f"{kind}: {tmp_path}/{kind}.png\n"
    picture = imread(tmp_path / f"{kind}.png")
    assert min(picture.shape[:2]) > 150 and picture.std() > 0.05


def test_the_help_names_every_kind() -> None:
    shown = run_well("results", "plot", "--help")
    assert all(kind in shown for kind in KINDS)


def test_a_pulled_sweep_has_the_study_of_the_sweep(tmp_path: Path) -> None:
    run_well("results", "pull", SWEEP, "--to", tmp_path / "here")
    there, here = (load_studies(place)["maze2d-umaze"].trials for place in (SWEEP, tmp_path / "here"))
    assert here == there and len(here) > 1
    run_well("results", "plot", tmp_path / "here", "--kind", "parallel", "--to", tmp_path)
    assert (tmp_path / "parallel.png").is_file()


def test_several_studies_have_a_file_each_and_one_that_says_nothing_is_told_of(tmp_path: Path) -> None:
    for scenario in ("maze2d-umaze", "again"):
        shutil.copytree(SWEEP / "maze2d-umaze", tmp_path / "runs" / scenario)
    to = tmp_path / "a.svg"
    run_well("results", "plot", tmp_path / "runs", "--kind", "parallel", "--to", to)
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == ["a-again.svg", "a-maze2d-umaze.svg"]
    journal = tmp_path / "runs" / "again" / "optuna.journal"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:2]))
    shown = run_well("results", "plot", tmp_path / "runs", "--kind", "parallel", "--to", to)
    assert "not drawn: 0 trial(s) of maze2d-umaze have ended" in shown and shown.endswith(f"parallel: {to}\n")
    journal.write_text("{}\n")
    assert f"{journal} cannot be read as a study" in error_of(
        "results", "plot", tmp_path / "runs", "--kind", "parallel", "--to", to
    )


def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path) -> None:
    run_of = tmp_path / "run"
    write_parquet(results({0: [1.0]}), run_of / "episodes.parquet")
    to = tmp_path / "pictures"
    said = {
        kind: error_of("results", "plot", run_of, "--kind", kind, "--to", to)
        for kind in ("curves", "fields", "variants", "budget", "targets", "codes", "parallel", "importance", "cubes")
    }
    assert "no metrics.jsonl with a loss" in said["curves"]
    assert "looked for trials.parquet" in said["fields"] and "looked for trials.parquet" in said["budget"]
    assert "no inspection here tells of a codebook" in said["codes"]
    assert "there is no optuna.journal at or below" in said["parallel"]
    assert f"no picture is called 'cubes'; there are {', '.join(KINDS)}" in said["cubes"]
    assert "ends in none of these" in error_of("results", "plot", SWEEP, "--kind", "curves", "--to", "a.gif")
    assert "is no folder on this machine" in error_of("results", "plot", "s3://a/b", "--kind", "parallel")
    assert "there is nothing at" in error_of("results", "plot", tmp_path / "absent", "--kind", "curves")
    assert run("results", "plot", SWEEP).exit_code == 2
    assert not to.exists()
