import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mage.data.steps import Steps
from mage.data.trajectories import Statistics, returns_to_go
from mage.errors import MageError
from tests.data.builders import make_trajectories, normalised

IDENTITY = Statistics(np.zeros(3, np.float32), np.ones(3, np.float32), np.zeros(1, np.float32), np.ones(1, np.float32))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 12))
def test_a_window_starts_at_every_step_and_never_crosses_episodes(lengths: list[int], horizon: int) -> None:
    trajectories = make_trajectories(lengths)
    steps = Steps(trajectories, IDENTITY)
    assert len(steps) == sum(lengths)
    rows, mask = steps.window_rows(torch.arange(len(steps)), horizon)
    assert rows.shape == mask.shape == (sum(lengths), horizon)
    for start in range(len(steps)):
        episode = int(trajectories.observations[start, 1])
        end = trajectories.episode_starts[episode + 1]
        assert rows[start].tolist() == [min(row, end - 1) for row in range(start, start + horizon)]
        assert mask[start].tolist() == [float(row < end) for row in range(start, start + horizon)]
        assert steps.last_rows(torch.tensor(start)) == end - 1


def test_conditions_are_normalised_with_the_given_statistics() -> None:
    trajectories = make_trajectories([40, 10])
    conditions = Steps(trajectories, Statistics.from_trajectories(trajectories)).conditions(torch.arange(50))
    assert conditions.dtype == torch.float32
    torch.testing.assert_close(conditions.mean(0), torch.zeros(4), atol=1e-5, rtol=0)


def test_what_is_taken_of_the_steps_is_a_copy() -> None:
    trajectories, row = make_trajectories([4]), torch.tensor([3])
    steps = Steps(trajectories, IDENTITY)
    taken = [steps.returns(), steps.actions(row), steps.conditions(row), steps.weights(row), steps.timesteps(row)]
    for tensor in (*taken, *steps.window_rows(row, 2), *steps.transitions(row)):
        tensor.zero_()
    untouched = make_trajectories([4])
    for name in ("observations", "actions", "rewards", "episode_starts"):
        np.testing.assert_array_equal(getattr(trajectories, name), getattr(untouched, name))
    assert steps.returns().abs().min() > 0


def bits(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array, dtype=np.float32).tobytes()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 1000))
def test_rows_normalised_as_they_are_taken_are_those_normalised_all_at_once_to_the_bit(
    lengths: list[int], seed: int
) -> None:
    trajectories = make_trajectories(lengths, seed)
    statistics = Statistics.from_trajectories(trajectories)
    returns = returns_to_go(trajectories.rewards, trajectories.episode_starts, trajectories.task.discount)
    everything_NY = normalised(statistics, returns, trajectories.observations)
    steps = Steps(trajectories, statistics)
    rows = torch.from_numpy(np.random.default_rng(seed).integers(len(steps), size=(7, 3)))
    assert bits(steps.conditions(rows).numpy()) == bits(everything_NY[rows.numpy()])
    assert bits(steps.returns().numpy()) == bits(everything_NY[:, 0])
    rewards = trajectories.rewards / statistics.return_to_go_std[0]
    assert bits(steps.transitions(rows[:, 0]).reward_B.numpy()) == bits(rewards[rows[:, 0].numpy()])
    weights = (returns - returns.min()) / max(returns.max() - returns.min(), 1e-6)
    assert bits(steps.weights(rows).numpy()) == bits(weights[rows.numpy()])


def test_on_a_cpu_the_arrays_are_shared_and_may_be_read_only(recwarn: pytest.WarningsRecorder) -> None:
    arrays = {name: getattr(make_trajectories([5, 3]), name) for name in ("observations", "actions", "rewards")}
    for array in arrays.values():
        array.flags.writeable = False
    trajectories = make_trajectories([5, 3], **arrays)
    steps = Steps(trajectories, Statistics.from_trajectories(trajectories))
    steps.transitions(torch.arange(8))
    addresses = {tensor.data_ptr() for tensor in vars(steps).values() if isinstance(tensor, torch.Tensor)}
    assert {array.ctypes.data for array in arrays.values()} <= addresses
    assert list(recwarn) == []


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 12))
def test_rows_count_timesteps_from_the_start_of_their_episode(lengths: list[int], horizon: int) -> None:
    steps = Steps(make_trajectories(lengths), IDENTITY)
    timestep_N = steps.timesteps(torch.arange(len(steps)))
    assert timestep_N.tolist() == [step for length in lengths for step in range(length)]
    rows_BH, mask_BH = steps.window_rows(torch.arange(len(steps)), horizon)
    counted_BH = steps.timesteps(rows_BH)
    within = mask_BH.bool()
    expected_BH = timestep_N[:, None] + torch.arange(horizon)
    assert torch.equal(counted_BH[within], expected_BH[within])


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_spread_rows_are_distinct_and_lie_evenly_from_the_first_to_the_last(length: int, count: int) -> None:
    rows = Steps(make_trajectories([length]), IDENTITY).spread(count)
    assert len(rows) == min(length, count)
    assert rows[0] == 0
    if len(rows) > 1:
        assert rows[-1] == length - 1
        gaps = rows.diff()
        assert gaps.min() > 0
        assert gaps.max() - gaps.min() <= 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.data())
def test_a_transition_leads_to_the_next_step_and_ends_only_at_a_terminal_state(
    lengths: list[int], data: st.DataObject
) -> None:
    terminated = np.array(data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths))))
    trajectories = make_trajectories(lengths, terminations=terminated)
    statistics = Statistics(
        IDENTITY.observation_mean, IDENTITY.observation_std, IDENTITY.return_to_go_mean, np.full(1, 4.0, np.float32)
    )
    steps = Steps(trajectories, statistics).transitions(torch.arange(sum(lengths)))
    np.testing.assert_array_equal(steps.observation_BS, trajectories.observations)
    np.testing.assert_array_equal(steps.action_BA, trajectories.actions)
    np.testing.assert_allclose(steps.reward_B, trajectories.rewards / 4)
    for row in range(sum(lengths)):
        episode = int(trajectories.observations[row, 1])
        last = row == trajectories.episode_starts[episode + 1] - 1
        np.testing.assert_array_equal(steps.next_observation_BS[row], trajectories.observations[row + (not last)])
        assert bool(steps.terminal_B[row]) == (last and terminated[episode])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 100))
def test_weights_by_return_rise_with_the_return_from_0_to_1(lengths: list[int], seed: int) -> None:
    trajectories = make_trajectories(lengths, seed)
    steps = Steps(trajectories, IDENTITY)
    weight_N, return_N = steps.weights(torch.arange(len(steps))), steps.returns()
    assert (float(weight_N.min()), float(weight_N.max())) in ((0.0, 1.0), (0.0, 0.0))
    assert torch.equal(weight_N[return_N.argsort()], weight_N.sort().values)
    if len(steps) > 1:
        assert weight_N[return_N.argmax()] == 1


def test_a_horizon_of_zero_is_refused() -> None:
    with pytest.raises(MageError, match="horizon of a window is 0"):
        Steps(make_trajectories([4]), IDENTITY).window_rows(torch.arange(4), 0)
