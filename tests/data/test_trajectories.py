import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mage.data.steps import Steps
from mage.data.trajectories import (
    MINIMUM_STD,
    ROWS_AT_A_TIME,
    Statistics,
    Task,
    Trajectories,
    describe,
    fingerprint,
    returns_to_go,
    target_return,
)
from mage.errors import MageError
from tests.data.builders import make_task, make_trajectories, normalised

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=8)


@given(LENGTHS, st.floats(0.0, 1.0), st.integers(0, 1000))
def test_returns_to_go_equal_the_plain_recursion(lengths: list[int], discount: float, seed: int) -> None:
    trajectories = make_trajectories(lengths, seed)
    expected = []
    for start, end in zip(trajectories.episode_starts[:-1], trajectories.episode_starts[1:], strict=True):
        running, episode = 0.0, []
        for reward in trajectories.rewards[start:end][::-1]:
            running = float(reward) + discount * running
            episode.append(running)
        expected += episode[::-1]
    actual = returns_to_go(trajectories.rewards, trajectories.episode_starts, discount)
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(actual, np.array(expected, dtype=np.float32))


def test_a_million_small_rewards_do_not_lose_precision() -> None:
    rewards = np.full(1_000_000, 0.1, dtype=np.float32)
    starts = np.arange(0, 1_000_001, 100_000, dtype=np.int64)
    assert returns_to_go(rewards, starts, 1.0)[0] == pytest.approx(10_000, rel=1e-6)


def test_the_return_of_one_episode_knows_nothing_of_the_next() -> None:
    rewards = np.array([1, 1, 100, 100], dtype=np.float32)
    np.testing.assert_array_equal(returns_to_go(rewards, np.array([0, 2, 4]), 0.5), [1.5, 1, 150, 100])


@given(LENGTHS)
def test_the_target_return_of_quantile_one_is_the_best_seen(lengths: list[int]) -> None:
    trajectories = make_trajectories(lengths)
    returns = returns_to_go(trajectories.rewards, trajectories.episode_starts, trajectories.task.discount)
    assert target_return(trajectories, 1.0) == returns.max()
    assert returns.min() <= target_return(trajectories) <= returns.max()


@given(LENGTHS, st.floats(0.0, 1.0))
def test_a_target_of_episodes_is_a_quantile_of_what_whole_episodes_got(lengths: list[int], quantile: float) -> None:
    trajectories = make_trajectories(lengths)
    discounts = [trajectories.task.discount ** np.arange(length) for length in lengths]
    whole = np.array([part @ discount for part, discount in zip(_episodes(trajectories), discounts, strict=True)])
    assert target_return(trajectories, quantile, of_episodes=True) == pytest.approx(
        np.quantile(whole, quantile), abs=1e-5
    )


def _episodes(trajectories: Trajectories) -> list[np.ndarray]:
    return np.split(trajectories.rewards.astype(np.float64), trajectories.episode_starts[1:-1])


def test_a_quantile_above_one_is_refused() -> None:
    with pytest.raises(MageError, match=r"quantile .* is 90"):
        target_return(make_trajectories([3]), 90)


@pytest.mark.parametrize("name", ["observations", "actions", "rewards"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named_by_dataset_array_episode_and_step(name: str, value: float) -> None:
    array = getattr(make_trajectories([2, 3, 4]), name).copy()
    array[4, ...] = value
    with pytest.raises(MageError, match=rf"{name} of the dataset handmade/data-v0 .* step 2 of episode 1 \(1 such"):
        make_trajectories([2, 3, 4], **{name: array})


def test_an_empty_episode_is_named() -> None:
    with pytest.raises(MageError, match="Episode 1 of the dataset handmade/data-v0 has no steps"):
        make_trajectories([2, 0, 3])


def test_no_episode_at_all_is_refused() -> None:
    with pytest.raises(MageError, match="no episodes"):
        make_trajectories([])


def test_arrays_that_disagree_in_length_or_type_are_refused() -> None:
    with pytest.raises(MageError, match=r"actions .* shape \(4, 1\); expected 5 rows"):
        make_trajectories([2, 3], actions=np.zeros((4, 1), dtype=np.float32))
    with pytest.raises(MageError, match=r"rewards .* float64, not float32"):
        make_trajectories([2, 3], rewards=np.zeros(5))


def test_normalised_rows_have_mean_zero_and_deviation_one_and_the_return_comes_first() -> None:
    trajectories = make_trajectories([30, 50, 20])
    returns = trajectories.returns_to_go
    rows = Steps(trajectories, Statistics.from_trajectories(trajectories)).conditions(torch.arange(100)).numpy()
    assert rows.shape == (100, 4)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(rows.std(axis=0), 1, atol=1e-5)
    assert np.argmax(rows[:, 0]) == np.argmax(returns)


@pytest.mark.parametrize("steps", [1, ROWS_AT_A_TIME - 1, ROWS_AT_A_TIME, 3 * ROWS_AT_A_TIME + 7])
def test_statistics_of_chunks_are_those_of_all_rows_at_once_to_the_bit(steps: int) -> None:
    observations = np.random.default_rng(steps).normal([[5, -300, 0.1]], [[0.01, 40, 7]], (steps, 3)).astype(np.float32)
    statistics = Statistics.from_trajectories(make_trajectories([steps], observations=observations))
    wide = observations.astype(np.float64)
    np.testing.assert_array_equal(statistics.observation_mean, wide.mean(axis=0).astype(np.float32))
    std = np.maximum(wide.std(axis=0), MINIMUM_STD if steps > 1 else 1).astype(np.float32)
    np.testing.assert_array_equal(statistics.observation_std, std)


def test_a_constant_dimension_becomes_zero_and_does_not_explode() -> None:
    observations = make_trajectories([5]).observations.copy()
    observations[:, 1] = 1e4
    trajectories = make_trajectories([5], observations=observations)
    statistics = Statistics.from_trajectories(trajectories)
    assert statistics.observation_std[1] == 1
    np.testing.assert_array_equal(normalised(statistics, trajectories.rewards, observations)[:, 2], 0)


def test_statistics_survive_json_unchanged() -> None:
    statistics = Statistics.from_trajectories(make_trajectories([7, 5]))
    restored = Statistics.from_dict(json.loads(json.dumps(statistics.to_dict())))
    for name, value in vars(statistics).items():
        np.testing.assert_array_equal(getattr(restored, name), value)
        assert getattr(restored, name).dtype == np.float32


def test_a_task_survives_json_even_with_unbounded_actions() -> None:
    task = make_task(action_low=(-np.inf,), action_high=(np.inf,))
    assert Task.model_validate_json(task.model_dump_json()) == task
    assert Task.model_validate(json.loads(json.dumps(task.model_dump(mode="json")))) == task


def test_the_fingerprint_changes_with_any_value_shape_or_type() -> None:
    array = np.arange(6, dtype=np.float32)
    changed = array.copy()
    changed[3] += 1e-6
    variants: list[np.ndarray] = [array, changed, array.reshape(2, 3), array.astype(np.float64)]
    assert len({fingerprint(variant) for variant in variants}) == len(variants)
    assert fingerprint(array) == fingerprint(array.copy())
    assert len(fingerprint(array)) == 16


def test_the_description_reports_undiscounted_returns_on_the_scale_of_0_to_100() -> None:
    trajectories = make_trajectories([2, 3], rewards=np.array([1, 2, 3, 0, 0], dtype=np.float32))
    summary = describe(trajectories)
    assert (summary["episodes"], summary["steps"], summary["observation_size"], summary["action_size"]) == (2, 5, 3, 1)
    assert (summary["return_min"], summary["return_mean"], summary["return_max"]) == (3.0, 3.0, 3.0)
    assert summary["normalised_return_mean"] == pytest.approx(30.0)
    assert (summary["episode_length_min"], summary["episode_length_max"]) == (2, 3)
    json.dumps(summary)


def spread(*columns: tuple[float, float], steps: int = 1000) -> np.ndarray:
    """Columns of these means and deviations, as single precision keeps them."""
    noise = np.random.default_rng(0).normal(size=(steps, len(columns)))
    mean, std = np.array(columns).T
    return (mean + std * noise).astype(np.float32)


def statistics_of(observations: np.ndarray) -> Statistics:
    return Statistics.from_trajectories(make_trajectories([len(observations)], observations=observations))


@pytest.mark.parametrize("unit", [1e-12, 1e-9, 1e-6, 1e-3, 1.0, 1e6, 1e12])
def test_the_unit_of_the_observations_does_not_matter(unit: float) -> None:
    observations = spread((0.0, 1.0), (5.0, 2.0), (-0.3, 0.5))
    plain = normalised(statistics_of(observations), np.zeros(1000), observations)
    small = (unit * observations.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(normalised(statistics_of(small), np.zeros(1000), small), plain, atol=1e-4)


def test_statistics_of_values_of_ordinary_size_are_what_they_were_to_the_bit() -> None:
    observations = spread((0.0, 1.0), (5.0, 0.01), (100.0, 1e-4), (-3.0, 0.002), (0.0, 1e-3))
    std = observations.astype(np.float64).std(axis=0)
    wanted = np.maximum(std, MINIMUM_STD).astype(np.float32)
    np.testing.assert_array_equal(statistics_of(observations).observation_std[:4], wanted[:4])


def test_jitter_beside_ordinary_values_is_not_blown_up() -> None:
    observations = spread((0.0, 1.0), (0.0, 1e-12))
    rows = normalised(statistics_of(observations), np.zeros(1000), observations)
    assert rows[:, 2].std() < 1e-5


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, -7e-7, 1e4, 123456.7])
def test_a_constant_is_zero_on_the_data_and_no_more_than_its_change_off_it(value: float) -> None:
    observations = spread((0.0, 1.0), (value, 0.0))
    statistics = statistics_of(observations)
    on = normalised(statistics, np.zeros(1000), observations)[:, 2]
    off = normalised(statistics, np.zeros(1), observations[:1] + np.float32(0.1))[:, 2]
    np.testing.assert_allclose(on, 0, atol=1e-6 * max(1, abs(value)))
    assert abs(off[0]) < 0.2


def test_returns_that_overflow_single_precision_are_told() -> None:
    rewards = np.full(5, 3e38, np.float32)
    with pytest.raises(MageError, match="beyond single precision"):
        Statistics.from_trajectories(make_trajectories([5], rewards=rewards))
