"""What trackers get to see of a sweep: TensorBoard always, W&B and MLflow where they are installed and asked for."""

import importlib.util
from pathlib import Path

import pytest

from mage.errors import MageError
from mage.progress.trackers import check_trackers, make_trackers
from mage.progress.trackers.mlflow import MLflow
from mage.progress.trackers.tensorboard import TensorBoard
from mage.progress.trackers.tracker import Tracker
from mage.progress.trackers.wandb import Wandb
from mage.results.status import TrialStatus

TRIAL = TrialStatus(
    trial_id="a1", name="depth=2 lr=0.001", configuration={"transformer.depth": 2, "autoencoder.scales": [1, 3]}
)
FINAL = {"score": 70.0, "success_rate": 50.0}


def tell(tracker: Tracker, first: int = 0) -> None:
    """The story of one trial with two training seeds."""
    tracker.begin(TRIAL)
    for seed in (0, 1):
        for step in (first + 10, first + 20):
            tracker.row(TRIAL, seed, {"stage": "transformer", "step": step, "loss": step + seed}, step)
    tracker.score(TRIAL, 1, FINAL)


def end(tracker: Tracker, status: str = "finished") -> None:
    tracker.end(TRIAL.model_copy(update={"status": status}), FINAL)
    tracker.close()


def test_tensorboard_has_a_folder_a_trial_with_one_a_seed_below(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    tracker = TensorBoard(tmp_path)
    tell(tracker)
    end(tracker)
    folder = tmp_path / "tensorboard" / "depth=2_lr=0.001-a1"
    events, of_trial = accumulator(str(folder / "seed-1")), accumulator(str(folder))
    events.Reload()
    of_trial.Reload()
    assert [(point.step, point.value) for point in events.Scalars("transformer/loss")] == [(10, 11.0), (20, 21.0)]
    assert {name: of_trial.Scalars(name)[-1].value for name in of_trial.Tags()["scalars"]} == FINAL
    assert b"transformer.depth" in of_trial.PluginTagToContent("hparams")["_hparams_/session_start_info"]


def test_mlflow_has_a_run_a_trial_that_a_second_driver_goes_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tmp_path.as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    first = MLflow("adroit/pen-expert")
    tell(first)
    first.close()
    second = MLflow("adroit/pen-expert")
    tell(second, first=20)
    end(second)
    (run,) = second.client.search_runs([second.experiment])
    assert (run.info.status, run.data.tags["mage.status"], run.data.params["transformer.depth"]) == (
        "FINISHED",
        "finished",
        "2",
    )
    assert run.data.metrics["score"] == 70.0
    curve = second.client.get_metric_history(run.info.run_id, "seed-1/transformer/loss")
    assert sorted((point.step, point.value) for point in curve) == [(10, 11.0), (20, 21.0), (30, 31.0), (40, 41.0)]


def test_wandb_has_a_run_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    (tracker,) = make_trackers(["wandb"], "adroit/pen-expert")
    assert isinstance(tracker, Wandb)
    tell(tracker)
    run = tracker.runs["a1"]
    assert dict(run.config) == TRIAL.configuration
    assert (run.summary["seed-1/transformer/loss"], run.summary["score"]) == (21.0, 70.0)
    end(tracker, "failed")
    assert not tracker.runs
    assert len(list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))) == 1


def test_a_tracker_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(MageError, match="--track wandb cannot start: no W&B login is known here"):
        make_trackers(["wandb"], "adroit/pen-expert")


def test_a_tracker_that_is_unknown_or_not_installed_ends_the_command_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_trackers([])
    with pytest.raises(MageError, match="--track comet: there is only wandb and mlflow"):
        check_trackers(["comet"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MageError, match="--track mlflow needs the package mlflow: pip install"):
        check_trackers(["mlflow"])
