"""OGBench's goal-conditioned protocol: tasks in turn, goals in the observation, pieces that end at their goals."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mage import scenarios
from mage.data.environments import begin_episode, make_environment
from mage.data.ogbench_goals import LENGTHS, Piece, pieces
from mage.data.ogbench_goals_pointmaze import RECORDER
from mage.data.ogbench_goals_pointmaze import SCENARIO as NAME
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories

SCENARIO = scenarios.get(NAME)


@given(st.integers(0, 3000), st.integers(0, 99), st.floats(0.1, 3.0))
def test_a_piece_ends_where_it_first_comes_near_its_goal(steps: int, seed: int, tolerance: float) -> None:
    positions = np.cumsum(np.random.default_rng(seed).normal(size=(steps + 1, 2)), axis=0)
    numbers = np.concatenate([positions, np.arange(steps + 1)[:, None]], axis=1)
    cut = list(pieces(Piece(numbers, np.arange(steps)[:, None], np.zeros(steps)), positions, tolerance))
    for piece in cut:
        own, goal = np.split(piece.observations, 2, axis=1)
        assert (goal == goal[0]).all() and len(piece.actions) == len(own) - 1 <= max(LENGTHS)
        near = np.linalg.norm(own[:, :2] - goal[0, :2], axis=1) <= tolerance
        assert near.tolist() == [False] * len(piece.actions) + [True]
        assert piece.rewards.tolist() == [0.0] * (len(piece.actions) - 1) + [1.0]
        assert own[-1, 2] <= goal[0, 2] <= own[0, 2] + max(LENGTHS)
        np.testing.assert_array_equal(piece.actions[:, 0], own[:-1, 2])
    rows = [row for piece in cut for row in piece.actions[:, 0]]
    assert rows == sorted(set(rows))  # in their order, none twice


@pytest.fixture(scope="module")
def ogbench() -> Any:
    return pytest.importorskip("ogbench")


@pytest.fixture(scope="module")
def recorded(ogbench: Any, tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    """The pieces of one walk, recorded and read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("minari")))
        RECORDER.collect(SCENARIO.name, 1, workers=1, reference_episodes=1)
        return load_trajectories(SCENARIO, download=False)


def test_recorded_pieces_show_state_and_goal_and_are_paid_at_the_goal(recorded: Trajectories) -> None:
    assert recorded.observations.shape[1] == 4
    ends = recorded.episode_starts[1:] - 1
    assert recorded.terminations.all() and recorded.episodes >= len(LENGTHS)
    assert np.flatnonzero(recorded.rewards).tolist() == ends.tolist()
    assert recorded.task.score == "success"


def test_the_five_tasks_are_played_in_turn(recorded: Trajectories) -> None:
    environment = make_environment(recorded.task)
    tasks = []
    for number in range(6):
        observation, _ = begin_episode(environment, 3, number)
        maze: Any = environment.unwrapped
        tasks.append(maze.bare.cur_task_id)
        np.testing.assert_array_equal(observation[2:], maze.bare.cur_goal_xy)
        np.testing.assert_array_equal(begin_episode(environment, 3, number)[0], observation)
    assert tasks == [1, 2, 3, 4, 5, 1]
    maze.bare.set_xy(np.array(maze.bare.cur_goal_xy))
    _, reward, terminated, _, info = environment.step(np.zeros(2, np.float32))
    assert (reward, terminated, info["success"]) == (1.0, True, 1.0)
