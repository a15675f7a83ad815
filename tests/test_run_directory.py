"""A command that failed before it trained leaves nothing in the way; a run is never taken for what it left."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mage.config import get_field, load_config, make_config
from mage.errors import MageError
from mage.progress.watch import waiting
from mage.results.status import SweepStatus, TrialStatus, write_status
from mage.run_directory import SWEEP, TRAINING, Differences, Kind, check_free, differences
from mage.search.settings import claim_directory, make_settings

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


@pytest.mark.parametrize(
    "kind", [TRAINING, SWEEP, Kind("ablation run", ("a.json", "b.json"))], ids=lambda kind: kind.name
)
def test_a_directory_is_free_or_holds_the_run_that_goes_on(kind: Kind, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(MageError, match=rf"no {kind.name} in {out}: {kind.file} .*missing; give the --out"):
        kind.check(out, resume=True)
    kind.check(out, resume=False)
    kind.write(out, {"depth": 2})
    (out / "begun").touch()
    kind.check(out, resume=True)
    with pytest.raises(MageError, match="exists; choose another --out"):
        kind.check(out, resume=False)
    assert kind.read(out, dict) == {"depth": 2}


@pytest.mark.parametrize("resume", [False, True])
def test_no_run_is_in_a_bucket(resume: bool) -> None:
    with pytest.raises(MageError, match="is an address"):
        TRAINING.check(Path("s3://bucket/run"), resume)


def test_a_run_goes_on_only_as_it_was_started_and_is_told_the_first_three_differences(tmp_path: Path) -> None:
    SWEEP.write(tmp_path, {})

    def differing() -> Differences:
        return dict.fromkeys("abcde", (1, 2))

    told = r"a \(then 1, now 2\), b .*, c \(then 1, now 2\) and 2 more; repeat the first command with --resume"
    with pytest.raises(MageError, match=told):
        SWEEP.check(tmp_path, True, differing)


@pytest.mark.parametrize("text", ["{", "[1]", '{"algorithm": 3}'])
def test_what_is_not_understood_is_said_to_be_damaged_or_of_another_version(text: str, tmp_path: Path) -> None:
    (tmp_path / TRAINING.file).write_text(text)
    with pytest.raises(MageError, match=r"config\.json is damaged or of another version of mage"):
        TRAINING.read(tmp_path, make_config)


def test_differences_are_named_by_their_fields() -> None:
    then, now = load_config("cpu"), load_config("cpu", ["transformer.depth=5", "policy.top_k=3"])
    depth = get_field(then, "transformer.depth")
    assert differences(then.model_dump(), now.model_dump()) == {
        "transformer.depth": (depth, 5),
        "policy.top_k": (None, 3),
    }
    assert differences({"a": {"b": 1}}, {"a": 2}) == {"a": ({"b": 1}, 2)}
    assert differences({"a": 1}, {"a": 1}) == {}
