"""Recordings as people leave them: good data is read, the rest refused in one line that says which episode."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest

from mage.data.check import check_data
from mage.data.environments import check_environment, check_evaluation
from mage.data.sources import load_trajectories
from mage.errors import MageError
from tests.data.builders import make_trajectories, write_minari

NAME = "me/odd-v0"


def store(root: Path, change: Callable[[h5py.Group], None], **metadata: Any) -> None:
    """A dataset of three episodes of four steps, of which the second is changed."""
    write_minari(NAME, [[1.0, 2.0, 3.0, 4.0]] * 3, terminated=False)
    with h5py.File(root / NAME / "data/main_data.hdf5", "a") as file:
        change(file["episode_1"])
    path = root / NAME / "data/metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | metadata))


def cut(**lengths: int) -> Callable[[h5py.Group], None]:
    """Keeps so many rows of the named parts, or repeats the last one."""

    def change(episode: h5py.Group) -> None:
        for name, length in lengths.items():
            rows = np.asarray(episode[name])
            del episode[name]
            episode[name] = rows[np.minimum(np.arange(length), len(rows) - 1)]

    return change


def put(**values: Any) -> Callable[[h5py.Group], None]:
    """Replaces the named parts."""

    def change(episode: h5py.Group) -> None:
        for name, value in values.items():
            del episode[name]
            episode[name] = np.asarray(value)

    return change


NO_STEPS = cut(observations=1, actions=0, rewards=0, terminations=0, truncations=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (NO_STEPS, "Episode 1 of the dataset me/odd-v0 has no steps; remove it"),
        (cut(actions=5), "Episode 1 of the dataset me/odd-v0 has 4 rewards and 5 actions, not 4"),
        (cut(actions=3), "has 4 rewards and 3 actions, not 4"),
        (cut(observations=6), "has 4 rewards and 6 observations, not 5"),
        (cut(observations=3), "has 4 rewards and 3 observations, not 5"),
        (cut(terminations=5), "has 4 rewards and 5 terminations, not 4"),
        (cut(truncations=2), "has 4 rewards and 2 truncations, not 4"),
        (cut(rewards=5), "has 5 rewards and 4 actions, not 5"),
        (put(observations=np.zeros((5, 3))), "observations of episode 1 .* have 3 values a step, those of episode 0 2"),
        (put(actions=np.zeros((4, 2))), "actions of episode 1 .* have 2 values a step, those of episode 0 1"),
        (put(observations=np.full((5, 2), -np.inf)), "observations .* not finite at step 0 of episode 1"),
        (put(actions=[[0], [np.nan], [0], [0]]), "actions .* not finite at step 1 of episode 1"),
        (put(rewards=np.ones((4, 2))), r"rewards of episode 1 .* have shape \(4, 2\); a step has one reward"),
        (put(rewards=[1, np.nan, 1, 1]), "not finite at step 1 of episode 1"),
    ],
)
def test_an_episode_that_cannot_be_used_is_named(
    minari_root: Path, change: Callable[[h5py.Group], None], said: str
) -> None:
    store(minari_root, change)
    with pytest.raises(MageError, match=said) as caught:
        load_trajectories(None, NAME)
    assert "\n" not in str(caught.value)
    assert check_data(None, NAME).failed


@pytest.mark.parametrize("rewards", [np.arange(4.0)[:, None], np.arange(4), np.arange(4.0).reshape(4, 1, 1)])
def test_rewards_are_one_a_step_however_they_are_stored(minari_root: Path, rewards: np.ndarray) -> None:
    store(minari_root, put(rewards=rewards))
    assert load_trajectories(None, NAME).rewards.tolist() == [1, 2, 3, 4, 0, 1, 2, 3, 1, 2, 3, 4]


@pytest.mark.parametrize("flag", ["terminations", "truncations"])
def test_an_end_in_the_middle_is_noted_also_by_whoever_finds_the_data_cached(minari_root: Path, flag: str) -> None:
    store(minari_root, put(**{flag: [False, True, False, False]}))
    for _ in range(2):
        (note,) = load_trajectories(None, NAME).notes
        assert (
            "1 episodes of me/odd-v0 go on after a step that is marked as their last" in note and "episode 1:" in note
        )
        assert note in [check.text for check in check_data(None, NAME).checks if check.level == "warning"]
    store_anew = "me/whole-v0"
    write_minari(store_anew, [[1.0, 2.0]])
    assert load_trajectories(None, store_anew).notes == ()
    assert len(load_trajectories(None, f"{NAME}+{store_anew}").notes) == 1


def test_data_of_a_newer_minari_asks_for_it(minari_root: Path) -> None:
    store(minari_root, lambda episode: None, minari_version="99.0.0")
    with pytest.raises(MageError, match=r"recorded by Minari 99\.0\.0, .*--upgrade minari"):
        load_trajectories(None, NAME)


def test_who_evaluates_hears_at_once_that_there_is_no_environment() -> None:
    trajectories = make_trajectories([2])
    assert "names no environment" in (check_environment(trajectories) or "")
    with pytest.raises(MageError, match="names no environment"):
        check_evaluation(trajectories)


def test_who_trains_hears_why_nothing_can_be_played_here() -> None:
    spec = '{"id": "Robot-v7", "entry_point": "robots:Arm"}'
    trajectories = make_trajectories([2])
    elsewhere = replace(trajectories, task=trajectories.task.model_copy(update={"environment_spec": spec}))
    told = check_environment(elsewhere)
    assert told is not None and "Robot-v7" in told and "cannot be built here" in told and "\n" not in told
    with pytest.raises(MageError, match="Robot-v7"):
        check_evaluation(elsewhere)


def test_training_and_check_say_the_same_of_an_environment_that_is_not_here(minari_root: Path) -> None:
    spec = json.loads(gym.spec("CartPole-v1").to_json()) | {"id": "Robot-v7", "entry_point": "robots:Arm"}
    store(minari_root, lambda episode: None, env_spec=json.dumps(spec))
    told = check_environment(load_trajectories(None, NAME))
    report = check_data(None, NAME)
    (found,) = (check for check in report.checks if check.name == "environment")
    assert (found.level, found.text) == ("warning", told)
    assert told is not None and told.endswith("training needs no environment, evaluating the policy does")
    assert not report.failed
