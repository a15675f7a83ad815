"""`mage inspect` on real runs: a training run, a policy of a sweep, a sweep, and what cannot be inspected."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import mage
from mage.config import AlgorithmConfig, make_config
from mage.data.trajectories import Trajectories
from mage.evaluation.episodes import evaluate_policies
from mage.evaluation.inspection import add_rollouts
from mage.files import write_json
from mage.interface import Policy
from mage.results import write_parquet
from mage.training.inspection import inspect_training
from mage.training.trainer import Trained, Trainer, save_run
from tests.test_cli import error_of, run_well
from tests.test_import_time import loaded_after


@pytest.fixture(scope="module")
def run_folder(tiny_trainer: Trainer, tiny_policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run as `mage train` leaves it; tests copy it before they change it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    save_run(folder, Trained(tiny_policy, tiny_trainer.history, inspect_training(tiny_trainer)))
    return folder


@pytest.fixture(scope="module")
def sweep_folder(
    tiny_maze: Trajectories, tiny_config: AlgorithmConfig, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Two policies laid out as a sweep lays them out, one evaluated and scanned."""
    out = tmp_path_factory.mktemp("runs") / "sweep"
    for depth in (1, 2):
        data = tiny_config.model_dump(mode="json")
        data["transformer"]["depth"] = depth
        trainer = Trainer(tiny_maze, make_config(data), seed=0)
        trainer.advance(trainer.total_steps)
        name = trainer.config.hash()
        folder = out / "maze2d-umaze" / "policies" / name / "seed-0"
        save_run(folder, Trained(trainer.policy(), trainer.history, inspect_training(trainer)))
        if depth == 1:
            episodes = evaluate_policies([trainer.policy()], 2, extra={"transformer.depth": depth})
            write_parquet(episodes, out / "maze2d-umaze" / "episodes" / f"{name}.parquet")
            add_rollouts([folder], [trainer.policy()], episodes=2)
    return out


@pytest.fixture
def a_run(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the training run."""
    return shutil.copytree(run_folder, tmp_path / "copy")


def test_a_run_is_shown_with_findings_first_and_the_scan_is_kept(a_run: Path) -> None:
    printed = run_well("inspect", a_run, "--episodes", 1)
    order = ("Findings", "Score against target return", "Action error", "Decoded first step", "Scales", "Training")
    places = [printed.index(f"\n{title}") for title in order]
    assert places == sorted(places)
    assert "not evaluated yet" in printed and "visited states, generated Z" in printed
    written = (a_run / "inspection.json").stat().st_mtime_ns
    assert run_well("inspect", a_run, "--episodes", 1) == printed
    assert (a_run / "inspection.json").stat().st_mtime_ns == written


def test_json_is_what_the_python_api_returns(a_run: Path) -> None:
    printed = json.loads(run_well("inspect", a_run, "--episodes", 0, "--json"))
    assert printed == mage.inspect(a_run, episodes=0)
    assert printed["rollouts"] is None
    assert {finding["name"] for finding in printed["findings"]} and printed["data"]["scales"]


def test_evaluating_a_run_scans_it_too_with_no_more_episodes_than_asked(a_run: Path) -> None:
    run_well("evaluate", a_run, "--episodes", 1)
    inspection = mage.inspect(a_run, episodes=0)
    assert inspection["rollouts"]["episodes"] == 1
    episodes = pd.read_parquet(a_run / "episodes.parquet")
    assert inspection["evaluation"]["mean"] == episodes["normalized_score"].mean()
    assert "over 1 episodes" in run_well("inspect", a_run, "--episodes", 0)


def test_a_configuration_can_leave_the_scan_out(a_run: Path) -> None:
    described = json.loads((a_run / "policy.json").read_text())
    described["config"]["evaluation"]["inspection_episodes"] = 0
    write_json(a_run / "policy.json", described)
    assert mage.inspect(a_run)["rollouts"] is None
    assert "Score against target return" not in run_well("inspect", a_run)


def test_a_sweep_is_one_table_and_its_policies_are_inspected_alone(sweep_folder: Path) -> None:
    for folder in (sweep_folder, sweep_folder / "maze2d-umaze"):
        printed = run_well("inspect", folder)
        rows = [line for line in printed.splitlines() if line.startswith("maze2d-umaze ")]
        assert len(rows) == 2
    swept = mage.inspect(sweep_folder)["policies"]
    (known,) = [policy for policy in swept if policy["evaluation"]]
    assert known["swept"] == {"transformer.depth": 1}
    assert known["config_hash"] in rows[0]  # the one with a score comes first
    assert "Findings in 2 policies" in printed
    alone = mage.inspect(sweep_folder / known["run"], episodes=0)
    assert alone["evaluation"]["episodes"] == 2 and alone["rollouts"]["episodes"] == 2


def test_what_cannot_be_inspected_ends_with_one_line(a_run: Path, tmp_path: Path) -> None:
    assert "policy.json is missing" in error_of("inspect", tmp_path / "nothing")
    described = json.loads((a_run / "policy.json").read_text())
    write_json(a_run / "policy.json", described | {"format_version": 1})
    assert "format version 1" in error_of("inspect", a_run)
    write_json(a_run / "policy.json", described)
    inspection = json.loads((a_run / "inspection.json").read_text())
    write_json(a_run / "inspection.json", inspection | {"format_version": 1})
    assert "inspection.json has format version 1" in error_of("inspect", a_run)
    (a_run / "inspection.json").unlink()
    assert "inspection.json is missing" in error_of("inspect", a_run)


def test_the_help_of_inspect_loads_nothing_heavy() -> None:
    run = "from mage.cli import main\ntry: main(['inspect', '--help'])\nexcept SystemExit: pass"
    assert loaded_after(run) == set()
