"""The functions of `mage` take what notebooks give them, or say in one line what they want."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mage
from mage.api import device_of, whole_number
from mage.errors import MageError
from mage.files import as_path, expand_variables
from mage.interface.policy import Policy

BC = {"algorithm": "bc", "training.reference.steps": 5, "evaluation.batch_size": 2, "evaluation.inspection_episodes": 0}


@pytest.fixture
def a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_numbers_of_numpy_and_the_home_folder_train_and_evaluate(tiny_maze_here: Path, a_home: Path) -> None:
    said: list[str] = []
    seed = np.arange(3)[1]
    mage.train("maze2d-umaze", overrides=BC, seed=seed, out="~/run", workers=np.int64(0), log=said.append)
    assert mage.load_policy("~/run", device="auto").training_seed == 1
    rows = mage.evaluate("~/run", episodes=np.int32(2), log=pytest.fail)
    assert len(rows) == 2 and (a_home / "run" / "episodes.parquet").exists()
    assert len(mage.results.load("~/run")) == 2
    assert mage.inspect("~/run", episodes=0)["evaluation"]["episodes"] == 2


def test_what_cannot_be_kept_is_shown_and_told(
    tiny_maze_here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied")

    mage.train("maze2d-umaze", overrides=BC, out=tmp_path / "run", log=lambda line: None)
    said: list[str] = []
    monkeypatch.setattr(Path, "replace", refused)  # a folder that is read-only is none to root
    rows = mage.evaluate(tmp_path / "run", episodes=2, log=said.append)
    inspection = mage.inspect(tmp_path / "run", episodes=1, log=said.append)
    assert len(rows) == 2 and inspection["rollouts"]["episodes"] == 1
    assert [line.partition(": what is shown is not kept")[1] != "" for line in said] == [True, True]
    assert "episodes.npz" in said[0] and "inspection.json" in said[1]
    assert not any("--out" in line for line in said)


@pytest.mark.parametrize(
    ("verb", "given", "said"),
    [
        (mage.train, {"seed": -1}, "seed must be a whole number of at least 0, and is -1"),
        (mage.train, {"seed": 1.5}, "seed must be a whole number"),
        (mage.train, {"seed": 2**64}, "seed must be a whole number"),
        (mage.train, {"seed": True}, "seed must be a whole number"),
        (mage.train_seeds, {"seeds": [0, -1]}, "seed must be a whole number of at least 0, and is -1"),
        (mage.train_seeds, {"seeds": [1, 1]}, r"seeds must be different numbers, at least one, and are \[1, 1\]"),
        (mage.train_seeds, {"seeds": []}, r"at least one, and are \[\]"),
        (mage.train, {"workers": -2}, "workers must be a whole number"),
        (mage.evaluate, {"episodes": 0}, "episodes must be a whole number of at least 1, and is 0"),
        (mage.evaluate, {"episodes": "many"}, "episodes must be a whole number"),
        (mage.evaluate, {"actors": -1}, "actors must be a whole number"),
        (mage.inspect, {"episodes": -1}, "episodes must be a whole number of at least 0"),
    ],
)
def test_counts_and_seeds_that_are_none_are_refused(verb: Callable[..., Any], given: dict[str, Any], said: str) -> None:
    with pytest.raises(MageError, match=said) as caught:
        verb("maze2d-umaze", **given)
    assert "\n" not in str(caught.value)


def test_whoevers_integer_it_is() -> None:
    for value in (3, np.int8(3), np.uint64(3), np.array(3), torch.tensor(3)):
        number = whole_number("episodes", value, 1)
        assert number == 3 and type(number) is int


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cuda:x", 1.5])
def test_a_device_that_is_not_here_is_told(device: Any) -> None:
    with pytest.raises(MageError, match="device"):
        device_of(device)


def test_devices_are_named_as_torch_names_them() -> None:
    assert device_of("cpu") == device_of(torch.device("cpu")) == torch.device("cpu")
    assert device_of("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("shape", [(6,), (2, 5), (2, 7), (1, 2, 6), ()])
def test_observations_of_another_shape_are_told_which_is_wanted(tiny_policy: Policy, shape: tuple[int, ...]) -> None:
    assert tiny_policy.observation_size == 6
    with pytest.raises(MageError, match=r"shape \(B, 6\).*observation\[None\]") as caught:
        tiny_policy.act(np.zeros(shape, np.float32))
    assert "\n" not in str(caught.value)
    assert tiny_policy.act(np.zeros((2, 6)))[0].shape == (2,)


def test_the_home_folder_is_put_into_variables(a_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGE_CACHE_DIR", "~/cache")
    monkeypatch.setenv("MINARI_DATASETS_PATH", "/~/data")
    expand_variables()
    assert os.environ["MAGE_CACHE_DIR"] == f"{a_home}/cache"
    assert os.environ["MINARI_DATASETS_PATH"] == "/~/data"
    with pytest.raises(MageError, match="no home folder for the ~ in ~nobody-of-that-name/x"):
        as_path("~nobody-of-that-name/x")


def test_the_module_is_the_command_on_terminals_that_have_not_our_letters() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "mage", "scenarios"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0 and "maze2d-umaze" in done.stdout, done.stderr
    helped = subprocess.run([*command[:3], "--help"], env=environment, capture_output=True, text=True, timeout=540)
    assert helped.returncode == 0 and "Usage: mage " in helped.stdout
    wrong = [*command[:3], "train", "no-such-\u00fcmlaut"]
    refused = subprocess.run(wrong, env=environment, capture_output=True, text=True, timeout=540)
    assert refused.returncode == 2 and refused.stderr.startswith("error: ") and "Traceback" not in refused.stderr
