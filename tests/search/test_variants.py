"""Variants end to end, through real Ray Tune, Ray Train and evaluation actors."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import mage
from mage.errors import MageError
from mage.search.script import make_settings
from mage.search.sweep import run_sweep
from tests.search.test_sweep import SMALL

COMMON = (*SMALL, "training.reference.steps=40")
VARIANTS = {"full": [], "the same": ["transformer.depth=1"], "bc": ["algorithm=bc"], "deep": ["transformer.depth=2"]}
SCRIPT = Path(__file__).parents[2] / "tune" / "ablation.py"


@pytest.mark.ray
def test_variants_are_trained_once_each_share_their_stage_1_and_resume(
    ray_cluster: None, tiny_maze_here: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out, folder = tmp_path / "run", tmp_path / "run" / "maze2d-umaze"
    settings = make_settings(scenarios=["maze2d-umaze"], variants=VARIANTS, overrides=COMMON, episodes=10)
    results = run_sweep(settings, out)
    assert results.groupby("variant").size().to_dict() == {"full = the same": 10, "bc": 10, "deep": 10}
    assert dict(zip(results["variant"], results["algorithm"], strict=True))["bc"] == "bc"
    hashes = {config.hash() for config in settings.variant_configs("maze2d-umaze").values()}
    assert set(results["config_hash"]) == hashes
    assert len(list((folder / "autoencoders").glob("autoencoder-*"))) == 1
    trials = pd.read_parquet(out / "trials.parquet")
    assert dict(zip(trials["variant"], trials["status"], strict=True)) == dict.fromkeys(
        set(results["variant"]), "finished"
    )
    assert "starts: full (+1 equal)" in capsys.readouterr().out
    assert (out / "scores.png").stat().st_size > 5000
    policies = {mage.load_policy(path).algorithm for path in (folder / "policies").glob("*/seed-0")}
    assert policies == {"mage", "bc"}
    for table in (out / "results.parquet", folder / "results.parquet", folder / "trials.parquet"):
        table.unlink()
    played = {path: path.stat().st_mtime_ns for path in (folder / "episodes").iterdir()}
    pd.testing.assert_frame_equal(run_sweep(settings, out, resume=True), results)
    assert {path: path.stat().st_mtime_ns for path in (folder / "episodes").iterdir()} == played


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1500)  # Ray starts twice, which takes minutes where others want the cores
def test_an_ablation_whose_driver_was_killed_goes_on_and_ends_with_its_tables(
    tiny_maze_here: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, str(SCRIPT), "--table", "7", "22", "--scenarios", "maze2d-umaze", "--seeds", "1"]
    command += ["--episodes", "10", "--out", str(out), "--address", "local", "--set", *COMMON]
    episodes = out / "maze2d-umaze" / "episodes"
    with (tmp_path / "log").open("w") as log:
        driver = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        deadline = time.time() + 500
        while not any(episodes.glob("*.parquet")) and time.time() < deadline and driver.poll() is None:
            time.sleep(0.2)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    done = {path: path.stat().st_mtime_ns for path in episodes.glob("*.parquet")}
    assert done, (tmp_path / "log").read_text()
    shown = subprocess.run(
        [*command[:5], "--out", str(out), "--show"], capture_output=True, text=True, timeout=200, check=True
    )
    assert "not run" in shown.stdout
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=700)
    assert again.returncode == 0, again.stdout + again.stderr
    assert all(path.stat().st_mtime_ns == old for path, old in done.items())
    tables = [pd.read_parquet(out / f"table-{number}.parquet") for number in (7, 22)]
    measured = pd.concat(tables).query("status != 'published only'")
    assert set(measured["status"]) == {"measured"}
    assert measured.groupby("variant")["measured_mean"].nunique().loc["MAGE"] == 1
    assert len(pd.read_parquet(out / "trials.parquet")) == 5


def test_a_sweep_with_a_variant_that_cannot_be_writes_nothing(tmp_path: Path) -> None:
    settings = make_settings(scenarios=["maze2d-umaze"], variants={"ok": [], "too fine": ["autoencoder.num_scales=99"]})
    with pytest.raises(MageError, match="variant 'too fine' on maze2d-umaze"):
        run_sweep(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
