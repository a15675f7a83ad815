"""What the autoencoder models of a window."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mage.algorithms.mage.network_config import AutoencoderConfig
from mage.algorithms.mage.sequence import Windows, step_layout, step_size
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories, returns_to_go
from tests.data.builders import make_trajectories

IDENTITY = Statistics(np.zeros(3, np.float32), np.ones(3, np.float32), np.zeros(1, np.float32), np.ones(1, np.float32))
ROW, EPISODE = 1, 2  # columns of a window row: 0 is the return-to-go, then the observation of make_trajectories


def windows(
    trajectories: Trajectories, horizon: int, sequence: str = "return_state", statistics: Statistics = IDENTITY
) -> Windows:
    shape = {"horizon": horizon, "latent_stride": 1, "num_scales": 1, "sequence": sequence}
    return Windows(Steps(trajectories, statistics), AutoencoderConfig.model_validate(shape))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(2, 12))
def test_a_window_starts_at_every_step_and_never_crosses_episodes(lengths: list[int], horizon: int) -> None:
    trajectories = make_trajectories(lengths)
    made = windows(trajectories, horizon)
    assert len(made) == sum(lengths)
    trajectory, mask, *_ = made.take(torch.arange(len(made)))
    assert (trajectory.shape, mask.shape) == ((sum(lengths), horizon, 4), (sum(lengths), horizon))
    for start in range(len(made)):
        episode = int(trajectories.observations[start, 1])
        end = trajectories.episode_starts[episode + 1]
        rows = [min(row, end - 1) for row in range(start, start + horizon)]
        assert trajectory[start, :, ROW].tolist() == rows
        assert set(trajectory[start, :, EPISODE].tolist()) == {episode}
        assert mask[start].tolist() == [float(row < end) for row in range(start, start + horizon)]


def test_the_action_is_the_one_taken_at_the_first_step() -> None:
    trajectories = make_trajectories([4, 3])
    rows = torch.tensor([5, 0, 3])
    batch = windows(trajectories, 2).take(rows)
    np.testing.assert_array_equal(batch.action_BA.numpy(), trajectories.actions[rows.numpy()])


def test_windows_are_normalised_with_the_given_statistics() -> None:
    trajectories = make_trajectories([40, 10])
    made = windows(trajectories, 2, statistics=Statistics.from_trajectories(trajectories))
    first_BX = made.take(torch.arange(50)).trajectory_BHX[:, 0]
    assert first_BX.dtype == torch.float32
    torch.testing.assert_close(first_BX.mean(0), torch.zeros(4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("sequence", ["return_state", "state", "action", "return_state_action"])
def test_what_is_taken_of_the_windows_is_a_copy(sequence: str) -> None:
    trajectories = make_trajectories([4])
    for tensor in windows(trajectories, 2, sequence).take(torch.tensor([3])):
        tensor.zero_()
    untouched = make_trajectories([4])
    for name in ("observations", "actions", "rewards", "episode_starts"):
        np.testing.assert_array_equal(getattr(trajectories, name), getattr(untouched, name))


@pytest.mark.parametrize("sequence", ["return_state", "state", "action", "return_state_action"])
def test_a_step_holds_what_the_sequence_names_in_its_order(sequence: str) -> None:
    trajectories = make_trajectories([4, 3])
    batch = windows(trajectories, 3, sequence).take(torch.arange(7))
    layout = step_layout(sequence, 3, 1)
    assert list(layout) == sequence.split("_")
    assert batch.trajectory_BHX.shape == (7, 3, step_size(sequence, 3, 1))
    returns = returns_to_go(trajectories.rewards, trajectories.episode_starts, trajectories.task.discount)
    values = {"return": returns[:, None], "state": trajectories.observations, "action": trajectories.actions}
    for name, part in layout.items():
        np.testing.assert_array_equal(batch.trajectory_BHX[:, 0, part], values[name])
    np.testing.assert_array_equal(batch.condition_BY, np.concatenate([values["return"], values["state"]], 1))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=6),
    st.integers(2, 6),
    st.integers(1, 3),
)
def test_whole_are_the_windows_that_no_time_limit_cuts(
    episodes: list[tuple[int, bool]], horizon: int, stride: int
) -> None:
    lengths, terminal = zip(*episodes, strict=True)
    trajectories = dataclasses.replace(make_trajectories(list(lengths)), terminations=np.array(terminal))
    made = windows(trajectories, horizon)
    made.stride = stride
    rows = torch.arange(len(made))
    is_cut = [
        not terminal[episode] and row + stride * (horizon - 1) >= length
        for episode, length in enumerate(lengths)
        for row in range(length)
    ]
    assert made.are_whole(rows).tolist() == [not cut for cut in is_cut]
