"""What all policies share, on the tiny one of MAGE: files, target returns, bounds."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from mage.config import FORMAT_VERSION, Config, make_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.model.mage_policy import MagePolicy
from mage.model.policy import Policy
from tests.processes import flip_last_byte


@pytest.fixture
def saved(tiny_policy: Policy, tmp_path: Path) -> Path:
    """A folder that holds the tiny policy."""
    tiny_policy.save(tmp_path)
    return tmp_path


def test_a_saved_policy_acts_as_before_to_the_bit(tiny_policy: Policy, saved: Path, tiny_maze: Trajectories) -> None:
    loaded = MagePolicy.load(saved)
    observations = tiny_maze.observations[::500]
    np.testing.assert_array_equal(loaded.act(observations), tiny_policy.act(observations))
    assert (loaded.config, loaded.task) == (tiny_policy.config, tiny_policy.task)
    assert (loaded.target_return, loaded.training_seed) == (tiny_policy.target_return, 0)
    assert loaded.observation_size == tiny_maze.observation_size


def test_a_policy_on_disk_is_safetensors_and_json(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["policy.json", "policy.safetensors"]
    described = json.loads((saved / "policy.json").read_text())
    assert (described["format_version"], described["algorithm"]) == (FORMAT_VERSION, "mage")
    assert load_file(saved / "policy.safetensors")


@pytest.mark.parametrize("batch", [1, 7])
def test_one_return_for_all_is_that_return_for_each(tiny_policy: Policy, tiny_maze: Trajectories, batch: int) -> None:
    observations = tiny_maze.observations[:batch]
    actions = tiny_policy.act(observations, 10.0)
    assert actions.shape == (batch, 2)
    assert actions.dtype == np.float32
    np.testing.assert_array_equal(tiny_policy.act(observations, np.full(batch, 10.0)), actions)
    default = tiny_policy.act(observations)
    np.testing.assert_array_equal(tiny_policy.act(observations, tiny_policy.target_return), default)


def test_every_environment_has_a_return_of_its_own(tiny_policy: Policy, tiny_maze: Trajectories) -> None:
    observations = tiny_maze.observations[::1000]
    low, high = tiny_policy.act(observations, 0.0), tiny_policy.act(observations, tiny_policy.target_return)
    first_high = np.zeros(len(observations))
    first_high[:6] = tiny_policy.target_return
    mixed = tiny_policy.act(observations, first_high)
    np.testing.assert_array_equal(mixed, np.concatenate([high[:6], low[6:]]))
    assert not np.array_equal(low[:6], high[:6])


def test_observations_may_be_of_double_precision(tiny_policy: Policy, tiny_maze: Trajectories) -> None:
    observations = tiny_maze.observations[:3]
    actions = tiny_policy.act(observations.astype(np.float64))
    np.testing.assert_array_equal(actions, tiny_policy.act(observations))


def test_actions_are_clipped_to_the_bounds_of_the_task(tiny_policy: Policy, tiny_maze: Trajectories) -> None:
    observations = tiny_maze.observations[::100]
    free = copy.copy(tiny_policy)
    free.task = tiny_policy.task.model_copy(update={"action_low": (-np.inf,) * 2, "action_high": (np.inf,) * 2})
    narrow = copy.copy(tiny_policy)
    narrow.task = tiny_policy.task.model_copy(update={"action_low": (-0.05, -0.01), "action_high": (0.02, 0.03)})
    actions = narrow.act(observations)
    np.testing.assert_array_equal(actions, np.clip(free.act(observations), [-0.05, -0.01], [0.02, 0.03]).astype("f4"))
    assert np.abs(free.act(observations)).max() > 0.05


def test_a_folder_without_a_policy_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MageError, match=r"no policy in .*policy\.json is missing"):
        MagePolicy.load(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe\x00"])
def test_a_damaged_description_is_told(saved: Path, content: bytes) -> None:
    (saved / "policy.json").write_bytes(content)
    with pytest.raises(MageError, match=r"policy\.json is damaged"):
        MagePolicy.load(saved)


def test_a_policy_of_another_version_is_refused(saved: Path) -> None:
    described: dict[str, Any] = json.loads((saved / "policy.json").read_text())
    (saved / "policy.json").write_text(json.dumps(described | {"format_version": 99}))
    with pytest.raises(MageError, match=f"format version 99, this mage reads version {FORMAT_VERSION}"):
        MagePolicy.load(saved)


def test_damaged_weights_are_told_in_one_line(saved: Path) -> None:
    path = saved / "policy.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MageError, match=r"weights in .*policy\.safetensors cannot be read") as caught:
        MagePolicy.load(saved)
    assert "\n" not in str(caught.value)


def test_weights_with_one_changed_byte_are_refused(saved: Path) -> None:
    flip_last_byte(saved / "policy.safetensors")
    with pytest.raises(MageError, match=r"they are not those that policy\.json was written with"):
        MagePolicy.load(saved)


def test_missing_weights_are_told_in_one_line(saved: Path) -> None:
    path = saved / "policy.safetensors"
    weights = load_file(path)
    del weights["transformer.head.weight"]
    save_file(weights, path)
    with pytest.raises(MageError, match=r"weights in .*policy\.safetensors cannot be read") as caught:
        MagePolicy.load(saved)
    assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(MageError, match=r"weights in .*policy\.safetensors cannot be read"):
        MagePolicy.load(saved)


@pytest.mark.parametrize("name", ["config", "task", "statistics", "training_seed", "target_return", "weights_sha256"])
def test_a_description_that_lacks_something_is_told(saved: Path, name: str) -> None:
    described: dict[str, Any] = json.loads((saved / "policy.json").read_text())
    del described[name]
    (saved / "policy.json").write_text(json.dumps(described))
    with pytest.raises(MageError, match=rf"policy\.json is damaged: it lacks {name}"):
        MagePolicy.load(saved)


def test_weights_of_another_configuration_are_refused(saved: Path, tiny_config: Config) -> None:
    described: dict[str, Any] = json.loads((saved / "policy.json").read_text())
    described["config"] = make_config(tiny_config.model_dump(), ["transformer.depth=2"]).model_dump(mode="json")
    (saved / "policy.json").write_text(json.dumps(described))
    with pytest.raises(MageError, match="cannot be read"):
        MagePolicy.load(saved)
