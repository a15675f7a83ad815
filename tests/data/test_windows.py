import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mage.data.trajectories import Statistics
from mage.data.windows import Windows
from mage.errors import MageError
from tests.data.builders import make_trajectories

IDENTITY = Statistics(np.zeros(3, np.float32), np.ones(3, np.float32), np.zeros(1, np.float32), np.ones(1, np.float32))
ROW, EPISODE = 1, 2  # columns of a window row: 0 is the return-to-go, then the observation of make_trajectories


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 12))
def test_a_window_starts_at_every_step_and_never_crosses_episodes(lengths: list[int], horizon: int) -> None:
    trajectories = make_trajectories(lengths)
    windows = Windows(trajectories, IDENTITY, horizon)
    assert len(windows) == sum(lengths)
    trajectory, mask, _ = windows.take(torch.arange(len(windows)))
    assert (trajectory.shape, mask.shape) == ((sum(lengths), horizon, 4), (sum(lengths), horizon))
    for start in range(len(windows)):
        episode = int(trajectories.observations[start, 1])
        end = trajectories.episode_starts[episode + 1]
        rows = [min(row, end - 1) for row in range(start, start + horizon)]
        assert trajectory[start, :, ROW].tolist() == rows
        assert set(trajectory[start, :, EPISODE].tolist()) == {episode}
        assert mask[start].tolist() == [float(row < end) for row in range(start, start + horizon)]


def test_the_action_is_the_one_taken_at_the_first_step() -> None:
    trajectories = make_trajectories([4, 3])
    indices = torch.tensor([5, 0, 3])
    batch = Windows(trajectories, IDENTITY, 2).take(indices)
    np.testing.assert_array_equal(batch.action_BA.numpy(), trajectories.actions[indices.numpy()])


def test_windows_are_normalised_with_the_given_statistics() -> None:
    trajectories = make_trajectories([40, 10])
    batch = Windows(trajectories, Statistics.from_trajectories(trajectories), 1).take(torch.arange(50))
    assert batch.trajectory_BHX.dtype == torch.float32
    torch.testing.assert_close(batch.trajectory_BHX.mean(dim=(0, 1)), torch.zeros(4), atol=1e-5, rtol=0)


def test_the_data_behind_the_windows_is_a_copy() -> None:
    trajectories = make_trajectories([4])
    windows = Windows(trajectories, IDENTITY, 2)
    windows.actions_NA.zero_()
    windows.rows_NX.zero_()
    assert np.abs(trajectories.actions).min() > 0
    assert trajectories.observations[3, 0] == 3


def test_a_horizon_of_zero_is_refused() -> None:
    with pytest.raises(MageError, match="horizon of a window is 0"):
        Windows(make_trajectories([4]), IDENTITY, 0)
