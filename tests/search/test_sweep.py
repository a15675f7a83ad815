"""A sweep end to end, through real Ray Tune, Ray Train, Optuna and evaluation actors."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mage
from mage.errors import MageError
from mage.search.script import sweep
from mage.search.sweep import SweepSettings, run_sweep

SMALL = (
    "autoencoder.embed_dim=16",
    "autoencoder.codebook_size=16",
    "transformer.embed_dim=16",
    "transformer.depth=1",
    "training.autoencoder.steps=40",
    "training.transformer.steps=40",
    "training.inverse_dynamics.steps=10",
    "training.checkpoint_every=20",
    "evaluation.inspection_episodes=1",
)
SPACE = {"autoencoder.num_scales": [1, 2], "transformer.depth": [1, 2]}
SCRIPT = Path(__file__).parents[2] / "tune" / "sweep_maze2d.py"


def settings(**changes: object) -> SweepSettings:
    """A sweep of seconds."""
    values = {"scenarios": ("maze2d-umaze",), "space": SPACE, "overrides": SMALL, "trials": 2, "episodes": 10} | changes
    return SweepSettings.model_validate(values)


@pytest.mark.ray
def test_a_sweep_leaves_its_tables_its_plot_and_its_study(
    ray_cluster: None, tiny_maze_here: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "run"
    results = run_sweep(settings(seeds=2), out)
    trials = pd.read_parquet(out / "trials.parquet")
    assert len(trials) == 2 and set(trials["status"]) <= {"finished", "stopped"}
    finished = trials[trials["status"] == "finished"]
    assert len(results) == len(finished) * 2 * 10
    assert set(results.groupby("config_hash")["training_seed"].nunique()) == {2}
    pd.testing.assert_frame_equal(mage.results.load(out), mage.results.load(out / "results.parquet"))
    mean = results.groupby(["config_hash", "training_seed"])["normalized_score"].mean().groupby("config_hash").mean()
    assert finished.set_index("config_hash")["score"].to_dict() == pytest.approx(mean.to_dict())
    assert (out / "scores.png").stat().st_size > 5000
    storage = JournalStorage(JournalFileBackend(str(out / "maze2d-umaze" / "optuna.journal")))
    assert len(optuna.load_study(study_name="maze2d-umaze", storage=storage).trials) == 2
    told = capsys.readouterr().out
    assert f"optuna-dashboard {out}/maze2d-umaze/optuna.journal" in told
    assert "2 of 2 trials done; best so far" in told
    check_status(out, trials)
    check_curves(out / "maze2d-umaze", trials)
    assert not any((out / "maze2d-umaze" / "training").iterdir())  # of trials that have ended
    policy = next((out / "maze2d-umaze" / "policies").glob("*/seed-1"))
    assert mage.load_policy(policy).training_seed == 1
    with pytest.raises(MageError, match="exists"):
        run_sweep(settings(seeds=2), out)


def check_status(out: Path, trials: pd.DataFrame) -> None:
    """`status.json` agrees with the table of trials."""
    (status,) = mage.results.load_statuses(out).values()
    assert (status.state, status.counts["left"], status.counts["failed"]) == ("finished", 0, 0)
    assert {trial.trial_id: trial.status for trial in status.trials} == dict(
        zip(trials["trial_id"], trials["status"], strict=True)
    )
    assert status.best is not None and status.best.score == pytest.approx(trials["score"].max())
    assert all((trial.step, trial.steps, trial.fraction) == (10, 10, 1.0) for trial in status.trials)
    assert all(Path(trial.log or "").is_dir() for trial in status.trials)


def check_curves(folder: Path, trials: pd.DataFrame) -> None:
    """TensorBoard has what `metrics.jsonl` has, and each trial's final score; Tune's own event files are not there."""
    assert not list((folder / "tune").rglob("events.out.*"))
    for trial in trials.to_dict("records"):
        (own,) = (folder / "tensorboard").glob(f"*-{trial['trial_id']}")
        rows = (folder / "policies" / trial["config_hash"] / "seed-1" / "metrics.jsonl").read_text().splitlines()
        losses = [json.loads(row)["loss"] for row in rows if "transformer" in row]
        assert [point.value for point in curve(own / "seed-1", "transformer/loss")] == pytest.approx(losses)
        assert curve(own, "score")[-1].value == pytest.approx(trial["score"])


def curve(folder: Path, name: str) -> list[Any]:
    """The points of a curve as TensorBoard reads them."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return events.Scalars(name)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("space", "reason"),
    [
        ({"training.autoencoder.learning_rate": [1e30]}, "lower training.autoencoder.learning_rate"),
        # each value fits the preset, the two together do not
        ({"autoencoder.latent_stride": [12], "autoencoder.num_scales": [3]}, "more than the horizon allows"),
    ],
)
def test_a_trial_that_fails_is_a_row_with_its_reason(
    ray_cluster: None,
    tiny_maze_here: Path,
    tmp_path: Path,
    space: dict,
    reason: str,
    capsys: pytest.CaptureFixture,
) -> None:
    overrides = (*SMALL, "autoencoder.num_scales=2")
    with pytest.raises(MageError, match="no trial finished"):
        sweep(settings(space=space, trials=1, overrides=overrides), tmp_path / "run")
    told = capsys.readouterr().out
    (trial,) = pd.read_parquet(tmp_path / "run" / "trials.parquet").to_dict("records")
    assert trial["status"] == "failed"
    assert reason in trial["error"]
    (status,) = mage.results.load_statuses(tmp_path / "run").values()
    assert [row.status for row in status.trials] == ["failed"]
    assert reason in (status.trials[0].reason or "")
    (line,) = (line for line in told.splitlines() if line.startswith("maze2d-umaze: FAILED "))
    assert reason in line and line.endswith(f"(log: {trial['log']})")


@pytest.mark.ray
def test_a_trial_that_failed_is_tried_again_when_the_sweep_is_resumed(
    ray_cluster: None, tiny_maze_here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = {"autoencoder.latent_stride": [12], "autoencoder.num_scales": [3]}
    small = settings(space=space, trials=1, overrides=(*SMALL, "autoencoder.num_scales=2"))
    for resume in (False, True):
        assert run_sweep(small, tmp_path / "run", resume).empty
        assert "FAILED" in capsys.readouterr().out
    assert list(pd.read_parquet(tmp_path / "run" / "trials.parquet")["status"]) == ["failed"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)  # Ray starts twice, which takes minutes where others want the cores
def test_a_sweep_whose_driver_was_killed_goes_on_and_loses_nothing(tiny_maze_here: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    space = [f"{field}={json.dumps(values)}" for field, values in SPACE.items()]
    command = [
        sys.executable,
        str(SCRIPT),
        "--trials",
        "3",
        "--episodes",
        "10",
        "--out",
        str(out),
        "--address",
        "local",
    ]
    command += ["--space", *space, "--set", *SMALL, "training.transformer.steps=300"]
    log = tmp_path / "log"
    with log.open("w") as stream:
        driver = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
        deadline = time.time() + 500
        evaluated = out / "maze2d-umaze" / "episodes"
        while not any(evaluated.glob("*.parquet")) and time.time() < deadline and driver.poll() is None:
            time.sleep(0.2)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    done = {path.stem: path.stat().st_mtime_ns for path in (out / "maze2d-umaze" / "episodes").glob("*.parquet")}
    assert done, log.read_text()
    (left_behind,) = mage.results.load_statuses(out).values()
    assert (left_behind.state, left_behind.pid) == ("running", driver.pid)
    elsewhere = ["--resume", "--cpus-per-worker", "1", "--actors", "2"]  # what runs where may be another
    again = subprocess.run([*command, *elsewhere], capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "then 2 actors of 1 CPU evaluate it" in again.stdout
    trials = pd.read_parquet(out / "trials.parquet")
    assert len(trials) == 3 and "failed" not in set(trials["status"])
    (status,) = mage.results.load_statuses(out).values()
    assert status.state == "finished" and status.counts["finished"] == 3 and status.started == left_behind.started
    assert {trial.trial_id for trial in status.trials} == set(trials["trial_id"])
    assert all(
        (out / "maze2d-umaze" / "episodes" / f"{trial}.parquet").stat().st_mtime_ns == old
        for trial, old in done.items()
    )


def test_a_sweep_with_an_unknown_scenario_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(MageError, match="maze2d-umaze"):
        run_sweep(settings(scenarios=("maze2d-umaz",)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_resuming_needs_a_sweep_and_the_same_settings(tmp_path: Path) -> None:
    with pytest.raises(MageError, match=r"sweep\.json is missing"):
        run_sweep(settings(), tmp_path, resume=True)
    (tmp_path / "sweep.json").write_text(
        json.dumps(json.loads(settings(trials=9).model_dump_json()) | {"format_version": 1})
    )
    with pytest.raises(MageError, match=r"trials \(then 9, now 2\)"):
        run_sweep(settings(), tmp_path, resume=True)
