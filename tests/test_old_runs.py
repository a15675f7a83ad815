"""What version 0.1 wrote is still read: policies, inspections, checkpoints, shared stages, results of a sweep.

`tests/data/old_runs` was written by that version: runs that ended, runs that were stopped, a sweep, and their dataset.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mage
from mage import scenarios
from mage.config import make_config
from mage.config.upgrade import upgrade
from mage.data.sources import load_trajectories
from mage.results import load
from mage.results.pull import pull
from mage.search.settings import SweepSettings
from mage.search.sweep import run_sweep
from mage.training.trainer import Trainer
from tests.golden.machine import machine
from tests.golden.test_training import GOLDEN, digests

OLD = Path(__file__).parent / "data" / "old_runs"
ALGORITHMS = ("mage", "bc", "return_bc", "dt")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the old runs, with their dataset in place."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(OLD / "datasets"))
    shutil.copytree(OLD, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_old_policy_is_loaded_and_keeps_its_name_and_hash(runs: Path, algorithm: str) -> None:
    described = json.loads((runs / algorithm / "policy.json").read_text())
    policy = mage.load_policy(runs / algorithm, scenario="maze2d-umaze")
    assert described["format_version"] == 3
    assert (policy.algorithm, policy.training_seed) == (algorithm, 3)
    assert policy.config.hash() == json.loads((runs / algorithm / "inspection.json").read_text())["config_hash"]
    assert policy.target_return == described["target_return"]


@pytest.mark.parametrize("algorithm", ["mage", "dt"])
def test_an_old_policy_plays_as_it_did(runs: Path, algorithm: str) -> None:
    before = pd.read_parquet(runs / algorithm / "episodes.parquet")
    again = mage.evaluate(runs / algorithm)
    assert [name for name in again.columns if name != "environment_version"] == list(before.columns)
    assert (again["config_hash"] == before["config_hash"]).all()
    if machine() == GOLDEN["machine"]:
        np.testing.assert_array_equal(again["return"], before["return"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_old_run_is_inspected(runs: Path, algorithm: str) -> None:
    inspection = mage.inspect(runs / algorithm, episodes=0)
    assert inspection["algorithm"] == algorithm
    assert (inspection["data"] is None) == (algorithm != "mage")
    assert isinstance(inspection["findings"], list)


@pytest.mark.parametrize("algorithm", ["mage", "dt"])
def test_an_old_training_goes_on_from_its_checkpoint_and_ends_as_if_never_stopped(runs: Path, algorithm: str) -> None:
    lines: list[str] = []
    config = json.loads((runs / f"{algorithm}_stopped" / "config.json").read_text())
    policy = mage.train(
        "maze2d-umaze",
        overrides=list(flat(own(config))),
        seed=3,
        out=runs / f"{algorithm}_stopped",
        resume=True,
        log=lines.append,
    )
    assert any(line.startswith("goes on from step") for line in lines)
    if machine() == GOLDEN["machine"]:
        assert digests(policy) == digests(mage.load_policy(runs / algorithm))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_old_training_that_had_ended_is_not_trained_again(runs: Path, algorithm: str) -> None:
    lines: list[str] = []
    config = json.loads((runs / algorithm / "config.json").read_text())
    mage.train(
        "maze2d-umaze",
        overrides=list(flat(own(config))),
        seed=3,
        out=runs / algorithm,
        resume=True,
        log=lines.append,
    )
    assert lines == [f"goes on from step {steps(config)} of {steps(config)}"]


@pytest.mark.ray
def test_an_old_sweep_is_done_and_its_results_are_pulled_and_inspected(
    ray_cluster: None, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = runs / "sweep"
    before = load(sweep)
    assert len(before) == 4
    settings = json.loads((sweep / "sweep.json").read_text())
    del settings["format_version"]
    results = run_sweep(SweepSettings.model_validate(settings), sweep, resume=True)
    assert "done before, kept" in capsys.readouterr().out
    pd.testing.assert_frame_equal(results, before, check_like=True, check_dtype=False)
    assert len(mage.inspect(sweep)["policies"]) == 2
    pull(sweep, tmp_path / "pulled")
    assert len(load(tmp_path / "pulled")) == 4


def test_a_stage_that_an_old_sweep_left_is_taken(runs: Path) -> None:
    policies = sorted((runs / "sweep" / "maze2d-umaze" / "policies").glob("*/seed-0"))
    policy = mage.load_policy(policies[0])
    lines: list[str] = []
    trajectories = load_trajectories(scenarios.get("maze2d-umaze"), download=False)
    artefacts = runs / "sweep" / "maze2d-umaze" / "autoencoders"
    trainer = Trainer(trajectories, policy.config, 0, artefacts, log=lines.append)
    (name,) = (path.name for path in artefacts.iterdir())
    assert lines == [f"autoencoder: taken from {name}"]
    assert trainer.stage.name == "transformer"


def own(config: dict) -> dict:
    """What of an old configuration its algorithm reads today."""
    return upgrade(config)


def flat(config: dict, prefix: str = "") -> list[str]:
    """A configuration as overrides."""
    found: list[str] = []
    for name, value in config.items():
        found += flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}={json.dumps(value)}"]
    return found


def steps(config: dict) -> int:
    """Of all stages of an old configuration."""
    return make_config(config).total_steps
