"""A sweep end to end, through real Ray Tune, Ray Train, Optuna and evaluation actors."""

import json
import os
import runpy
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
from mage.results.status import read_status
from mage.search.sweep import SweepSettings, run_sweep
from tests.test_cli import in_a_process, run_well

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
def test_a_sweep_leaves_its_tables_its_plot_its_study_and_policies_that_can_be_evaluated(
    ray_address: str, tiny_maze_here: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    space = [f"{field}={values}" for field, values in SPACE.items()]
    options = ["--trials", 2, "--seeds", 2, "--episodes", 10, "--evaluations", 1, "--address", ray_address]
    changes = [*SMALL, "evaluation.intermediate_episodes=1"]
    mage_sweep = [Path(sys.executable).with_name("mage"), "sweep", "maze2d-umaze", *options, "--out", out]
    done = in_a_process(*mage_sweep, "--space", *space, "--set", *changes, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results, trials = mage.results.load(out), pd.read_parquet(out / "trials.parquet")
    assert len(trials) == 2 and set(trials["status"]) <= {"finished", "stopped"}
    finished = trials[trials["status"] == "finished"]
    assert len(results) == len(finished) * 2 * 10
    assert set(results.groupby("config_hash")["training_seed"].nunique()) == {2}
    pd.testing.assert_frame_equal(results, mage.results.load(out / "results.parquet"))
    mean = results.groupby(["config_hash", "training_seed"])["normalized_score"].mean().groupby("config_hash").mean()
    assert finished.set_index("config_hash")["score"].to_dict() == pytest.approx(mean.to_dict())
    assert (out / "scores.png").stat().st_size > 5000
    storage = JournalStorage(JournalFileBackend(str(out / "maze2d-umaze" / "optuna.journal")))
    assert len(optuna.load_study(study_name="maze2d-umaze", storage=storage).trials) == 2
    assert f"optuna-dashboard {out}/maze2d-umaze/optuna.journal" in done.stdout
    assert "2 of 2 trials done; best so far" in done.stdout
    for kind in ("parallel", "importance", "curves"):
        run_well("results", "plot", out, "--kind", kind, "--to", tmp_path)
        assert (tmp_path / f"{kind}.png").stat().st_size > 5000
    check_status(out, trials)
    check_curves(out / "maze2d-umaze", finished)
    assert not any((out / "maze2d-umaze" / "training").iterdir())  # of trials that have ended
    policy = next((out / "maze2d-umaze" / "policies").glob("*/seed-1"))
    assert mage.load_policy(policy).training_seed == 1
    assert "depth" in run_well("results", "show", out)
    of_all = f"{len(results)} of {len(results)} episodes give the same return to the bit"
    assert of_all in run_well("results", "verify", out)
    run_well("evaluate", policy, "--episodes", 1, "--scenario", "maze2d-umaze")
    assert (policy / "episodes.parquet").is_file()
    with pytest.raises(MageError, match="exists"):
        run_sweep(settings(seeds=2), out)
    told = run_well(*mage_sweep[1:], "--space", *space, "--set", *changes, "--resume", "--report-seeds", 1)
    check_fresh_seeds(told, out, trials)


def check_fresh_seeds(told: str, out: Path, trials: pd.DataFrame) -> None:
    """The best configuration was trained anew with the next seed, and no table of the sweep has its episodes."""
    (chosen,) = pd.read_parquet(out / "fresh_seeds" / "chosen.parquet").to_dict("records")
    best = trials[trials["status"] == "finished"].sort_values("score", kind="stable").iloc[-1]
    assert (chosen["config_hash"], chosen["chosen_mean"]) == (best["config_hash"], best["score"])
    assert (chosen["trials"], chosen["seeds"], chosen["fresh_seeds"]) == (2, 2, 1)
    fresh = mage.results.load(out / "fresh_seeds")
    assert set(fresh["config_hash"]) == {best["config_hash"]} and set(fresh["training_seed"]) == {2}
    assert chosen["fresh_mean"] == pytest.approx(fresh["normalized_score"].mean())
    assert set(mage.results.load(out)["training_seed"]) == {0, 1}
    assert len(mage.results.load_trials(out)) == 2
    shown = run_well("paper", "show", "--table", "17", "--chosen", str(out))
    assert f"MAGE on maze2d-umaze is the best of {chosen['trials']} trials" in shown
    assert "done before, kept" in told and str(out / "fresh_seeds" / "chosen.parquet") in told


def check_status(out: Path, trials: pd.DataFrame) -> None:
    """`status.json` agrees with the table of trials."""
    (status,) = mage.results.load_statuses(out).values()
    assert (status.state, status.counts["left"], status.counts["failed"]) == ("finished", 0, 0)
    assert {trial.trial_id: trial.status for trial in status.trials} == dict(
        zip(trials["trial_id"], trials["status"], strict=True)
    )
    assert status.best is not None and status.best.score == pytest.approx(trials["score"].max())
    ends = [(trial.step, trial.steps, trial.fraction) for trial in status.trials if trial.status == "finished"]
    assert set(ends) == {(10, 10, 1.0)}
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


def failed_in(out: Path) -> set[str]:
    """The trials of which `status.json` says so."""
    status = read_status(out / "maze2d-umaze")
    return {trial.trial_id for trial in status.trials if trial.status == "failed"} if status else set()


def failed_and_kept(out: Path) -> set[str]:
    """Those that Tune has written down, too: a search goes on from there, with other trials for those that are not."""
    newest = max((out / "maze2d-umaze" / "tune").glob("experiment_state-*.json"), default=None)
    state = newest.read_text() if newest else ""
    return {trial for trial in failed_in(out) if trial in state}


@pytest.mark.ray
def test_a_search_whose_driver_was_killed_goes_on_and_tries_again_what_failed_and_a_failure_is_a_row_with_its_reason(
    ray_address: str,
    tiny_maze_here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    out, log = tmp_path / "run", tmp_path / "log"
    # each value fits the preset, the two together do not: a trial that fails in a second and trains nothing
    space = ["autoencoder.latent_stride=[12]", "autoencoder.num_scales=[3]", "transformer.depth=[1,2]"]
    command = [str(SCRIPT), "--trials", "4", "--episodes", "10", "--space", *space, "--address", ray_address]
    command += ["--out", str(out), "--set", *SMALL, "autoencoder.num_scales=2"]
    monkeypatch.setenv("TUNE_GLOBAL_CHECKPOINT_S", "0.1")
    with log.open("w") as stream:
        driver = subprocess.Popen([sys.executable, *command], stdout=stream, stderr=stream, start_new_session=True)
        deadline = time.monotonic() + 500
        while not failed_and_kept(out) and driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    (left_behind,) = mage.results.load_statuses(out).values()
    assert (left_behind.state, left_behind.pid) == ("running", driver.pid), log.read_text()
    before = failed_and_kept(out)
    assert 0 < len(before) < 4
    monkeypatch.setattr(sys, "argv", [*command, "--resume"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    told = capsys.readouterr()
    assert "no trial finished" in told.err
    trials = pd.read_parquet(out / "trials.parquet")
    assert list(trials["status"]) == ["failed"] * 4 and before < set(trials["trial_id"])
    (status,) = mage.results.load_statuses(out).values()
    assert (status.state, status.counts["failed"], status.started) == ("finished", 4, left_behind.started)
    reason = "more than the horizon allows"
    assert all(reason in (trial.reason or "") for trial in status.trials)
    failures = [line for line in told.out.splitlines() if line.startswith("maze2d-umaze: FAILED ")]
    for trial in trials.to_dict("records"):
        assert reason in trial["error"]
        (line,) = (line for line in failures if line.endswith(f"(log: {trial['log']})"))  # the first ones, too
        assert reason in line
    storage = JournalStorage(JournalFileBackend(str(out / "maze2d-umaze" / "optuna.journal")))
    assert len(optuna.load_study(study_name="maze2d-umaze", storage=storage).trials) >= 4


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
