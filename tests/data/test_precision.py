"""Numbers of any size: what single precision or normalisation takes from them is told, by training and check alike."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from minari.data_collector import EpisodeBuffer

import mage
from mage.data.check import check_data
from mage.data.minari_source import read_dataset
from mage.data.observations import flatten_observation
from mage.data.precision import Precision, notes_on
from mage.data.sources import combine, load_trajectories
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.errors import MageError
from tests.data.builders import make_trajectories

NAME = "me/sizes-v0"
STEPS = 30
NORMAL = np.random.default_rng(0).normal(size=(STEPS + 1, 2))


def store(observations: np.ndarray = NORMAL, rewards: Any = NORMAL[:-1, 0], actions: Any = None) -> None:
    """One episode, of numbers in the precision that they have."""
    last = np.arange(STEPS) == STEPS - 1
    acted = np.tanh(NORMAL[:-1, :1]) if actions is None else actions
    episode = EpisodeBuffer(
        observations=observations, actions=acted, rewards=rewards, terminations=last & False, truncations=last
    )
    shown = spaces.Box(-np.inf, np.inf, observations.shape[1:], np.float64)
    taken = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    minari.create_dataset_from_buffers(NAME, [episode], observation_space=shown, action_space=taken)


FAR, FAINT = "are far from zero", "hardly vary beside the others"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, None),
        ({"observations": 1e-6 * NORMAL}, None),
        ({"observations": 1e-30 * NORMAL}, None),
        ({"observations": 1e30 * NORMAL}, None),
        ({"observations": 1e5 + 100 * NORMAL}, None),
        ({"observations": NORMAL * [1e-4, 1.0]}, None),
        ({"observations": NORMAL * [0.0, 1.0] + 0.1}, None),  # a constant that single precision rounds
        ({"observations": 1.7e9 + NORMAL}, None),
        ({"observations": [0.0, -1e5] + 0.1 * NORMAL}, None),
        ({"observations": np.float32([0.0, -1e5] + 0.1 * NORMAL)}, f"1 observation values of {NAME} {FAR}"),
        ({"observations": NORMAL * [1e-9, 1.0]}, f"1 observation values of {NAME} {FAINT}"),
        ({"observations": NORMAL * [1e-6, 100.0]}, f"1 observation values of {NAME} {FAINT}"),
        ({"rewards": 1e-9 * NORMAL[:-1, 0]}, None),
        ({"rewards": 1e9 + NORMAL[:-1, :1]}, f"1 reward values of {NAME} {FAR}"),
        ({"actions": 1e-6 * NORMAL[:-1, :1]}, f"the actions of {NAME} reach"),
        ({"actions": 1e4 * NORMAL[:-1, :1]}, f"the actions of {NAME} reach"),
    ],
)
def test_what_is_lost_is_told_and_nothing_else(minari_root: Path, given: dict[str, Any], told: str | None) -> None:
    store(**{name: np.asarray(value) for name, value in given.items()})
    notes = notes_on(load_trajectories(None, NAME))
    assert [told in note for note in notes] == [True] if told else notes == ()
    listed = {check.text: check for check in check_data(None, NAME).checks}
    for note in notes:
        assert listed[note].level == "warning" and listed[note].name in note
    assert all("precision" not in text for text in listed if text not in notes)


def test_training_says_it_first(minari_root: Path) -> None:
    store((1e5 + 0.1 * NORMAL).astype(np.float32))
    said: list[str] = []
    few = ["training.reference.steps=1", "training.device=cpu"]
    mage.train(dataset=NAME, algorithm="bc", overrides=few, log=said.append)
    assert FAR in said[0]


@pytest.mark.parametrize("offset", [1.7e9, -1e12, np.array([1e7, 0.0])])
def test_what_matters_is_kept_however_far_from_zero_it_is_and_played_as_it_was_read(
    minari_root: Path, offset: Any
) -> None:
    shown = offset + np.round(NORMAL, 2)  # of which double precision keeps all that is compared
    store(shown)
    trajectories = load_trajectories(None, NAME)
    differences = np.diff(trajectories.observations, axis=0)
    np.testing.assert_allclose(differences, np.diff(np.round(NORMAL, 2), axis=0)[:-1], atol=2e-3)
    task = trajectories.task
    played = [flatten_observation(one, task.observation_keys, task.observation_offset) for one in shown[:-1]]
    np.testing.assert_array_equal(played, trajectories.observations)


def test_datasets_that_are_mixed_have_one_offset(minari_root: Path) -> None:
    store(1e7 + np.round(NORMAL, 2))
    one = read_dataset(NAME)
    other = replace(one, observation_offset=tuple(np.add(one.observation_offset, 3.0).tolist()))
    mixed = combine([one, other, replace(one, observation_offset=())], None)
    assert mixed.task.observation_offset == one.observation_offset
    first, second, third = np.split(mixed.observations, 3)
    np.testing.assert_allclose(second, first + 3.0, atol=1e-5)
    np.testing.assert_allclose(third, first - np.array(one.observation_offset, np.float32), rtol=1e-6)


@pytest.mark.parametrize("rewards", [np.full(STEPS, 3e38), np.full((STEPS, 1), -3e38)])
def test_returns_that_overflow_are_refused_by_training_and_check(minari_root: Path, rewards: np.ndarray) -> None:
    store(rewards=rewards)
    said = "beyond single precision; record its rewards in a larger unit"
    with pytest.raises(MageError, match=said):
        mage.train(dataset=NAME, algorithm="bc", log=pytest.fail)
    (found,) = [check for check in check_data(None, NAME).checks if check.level == "error"]
    assert said in found.text


@pytest.mark.parametrize("name", ["observations", "rewards"])
def test_values_that_overflow_are_not_finite(minari_root: Path, name: str) -> None:
    values = NORMAL.copy() if name == "observations" else NORMAL[:-1, 0].copy()
    values[3] = 1e200
    store(**{name: values})
    with pytest.raises(MageError, match=f"The {name} of the dataset {NAME} are not finite at step 3 of episode 0"):
        load_trajectories(None, NAME)
    assert check_data(None, NAME).failed


def learned(change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Normalised conditions (R, s) of rows whose observations and rewards are in another unit."""
    plain = make_trajectories([40, 60])
    trajectories = make_trajectories(
        [40, 60],
        observations=change(plain.observations.astype(np.float64)).astype(np.float32),
        rewards=change(plain.rewards.astype(np.float64)).astype(np.float32),
    )
    steps = Steps(trajectories, Statistics.from_trajectories(trajectories))
    rows = torch.arange(100)
    return np.concatenate([steps.conditions(rows).numpy(), steps.weights(rows).numpy()[:, None]], axis=1)


@given(st.floats(-30, 30))
def test_what_networks_see_does_not_depend_on_the_unit(exponent: float) -> None:
    np.testing.assert_allclose(learned(lambda values: values * 10.0**exponent), learned(lambda v: v), atol=1e-3)


def test_a_return_that_never_changes_weighs_every_step_alike() -> None:
    trajectories = make_trajectories([1, 1, 1], rewards=np.full(3, 1e-9, np.float32))
    steps = Steps(trajectories, Statistics.from_trajectories(trajectories))
    assert steps.weights(torch.arange(3)).tolist() == [0, 0, 0]


@given(st.floats(0, 1e12), st.floats(-9, 3), st.booleans())
def test_precision_is_told_lost_where_it_is(offset: float, exponent: float, negative: bool) -> None:
    spread = 10.0**exponent
    values = (-1 if negative else 1) * (offset + spread * np.linspace(0, 1, 101)[:, None])
    looks = Precision("values")
    for part in np.split(values, [30, 60]):
        looks.see(part)
    kept = len(np.unique(values.astype(np.float32)))
    # a hundred steps are kept, or fewer
    if np.ptp(values) > 0:
        assert bool(looks.notes("x")) == (kept < 100) or 40 <= kept <= 101
