"""A command that failed before it trained leaves nothing in the way; a run is never taken for what it left."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mage.config import get_field, load_config
from mage.errors import MageError
from mage.progress.watch import waiting
from mage.results.status import SweepStatus, TrialStatus, write_status
from mage.run_directory import check_free, differences
from mage.search.script import make_settings
from mage.search.settings import claim_directory

SETTINGS = make_settings(scenarios=["maze2d-umaze", "pen-expert"], space={"transformer.depth": [1, 2]})


def failed_sweep(out: Path) -> None:
    """What a sweep leaves that found no GPU."""
    claim_directory(out, SETTINGS, resume=False)
    for name in SETTINGS.scenarios:
        write_status(waiting(name, 4, 1), out / name)


def failed_training(out: Path) -> None:
    """What a training leaves that found none."""
    out.mkdir()
    (out / "config.json").write_text(json.dumps(load_config().model_dump(mode="json")))
    (out / "training" / "train").mkdir(parents=True)


@pytest.mark.parametrize("leave", [failed_sweep, failed_training, Path.mkdir, lambda out: None])
def test_what_a_failed_command_left_is_cleared_away(tmp_path: Path, leave: object) -> None:
    out = tmp_path / "run"
    leave(out)  # type: ignore[operator]
    check_free(out)
    assert not out.exists() or not any(out.iterdir())
    claim_directory(out, SETTINGS, resume=False)


def with_trial(out: Path) -> None:
    failed_sweep(out)
    status = waiting("pen-expert", 4, 1)
    status.trials = [TrialStatus(trial_id="a", name="depth=1", configuration={})]
    write_status(status, out / "pen-expert")


def with_checkpoint(out: Path) -> None:
    failed_training(out)
    (out / "training" / "train" / "checkpoint").touch()


def of_another_program(out: Path) -> None:
    out.mkdir()
    (out / "config.json").write_text('{"compilerOptions": {}}')


def no_json(out: Path) -> None:
    out.mkdir()
    (out / "config.json").write_text("training")


@pytest.mark.parametrize("leave", [with_trial, with_checkpoint, of_another_program, no_json, Path.touch])
def test_whatever_else_is_there_is_left_alone(tmp_path: Path, leave: object) -> None:
    out = tmp_path / "run"
    leave(out)  # type: ignore[operator]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(MageError, match=rf"{out} exists; choose another --out"):
        check_free(out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_sweep_that_another_process_is_about_to_begin_is_left_alone(tmp_path: Path) -> None:
    failed_sweep(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        status = SweepStatus(scenario="pen-expert", trials_wanted=4, seeds=1, updated=datetime.now(UTC))
        status.host, status.pid = waiting("", 1, 1).host, other.pid
        write_status(status, tmp_path / "run" / "pen-expert")
        with pytest.raises(MageError, match="exists"):
            check_free(tmp_path / "run")
        other.kill()


def test_differences_are_named_by_their_fields() -> None:
    then, now = load_config("cpu"), load_config("cpu", ["transformer.depth=5", "policy.top_k=3"])
    depth = get_field(then, "transformer.depth")
    assert differences(then.model_dump(), now.model_dump()) == {
        "transformer.depth": (depth, 5),
        "policy.top_k": (None, 3),
    }
    assert differences({"a": {"b": 1}}, {"a": 2}) == {"a": ({"b": 1}, 2)}
    assert differences({"a": 1}, {"a": 1}) == {}
