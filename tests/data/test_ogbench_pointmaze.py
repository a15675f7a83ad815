import os
import tempfile
from pathlib import Path

import minari
import numpy as np
import pytest

from mage import scenarios
from mage.data import ogbench_pointmaze
from mage.data.environments import make_environment
from mage.data.maze_controller import free_cells
from mage.data.ogbench_pointmaze import RECORDER
from mage.data.ogbench_source import task_rewards
from mage.data.recording import Job
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories

pytest.importorskip("ogbench")
SCENARIO = scenarios.get(ogbench_pointmaze.SCENARIO)
GOAL = np.array([52.0, 36.0])
DATASET = "mage/pointmaze-giant/navigate-v0"


@pytest.fixture(scope="module")
def giant_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MINARI_DATASETS_PATH that holds the data, two episodes of it."""
    root = tmp_path_factory.mktemp("minari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        RECORDER.collect(SCENARIO.name, 2, workers=1, reference_episodes=1)
    return root


@pytest.fixture
def giant(giant_root: Path, monkeypatch: pytest.MonkeyPatch) -> Trajectories:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(giant_root))
    return load_trajectories(SCENARIO, download=False)


@pytest.fixture(scope="module")
def walk() -> ogbench_pointmaze.Walk:
    """The first that is recorded."""
    return ogbench_pointmaze.play(Job(SCENARIO.name, "navigate", 0, range(1)))[0]


def test_a_walk_reaches_goals_all_over_the_maze(walk: ogbench_pointmaze.Walk) -> None:
    """A walker that gets stuck, or keeps its first goal, sees few of the 90 cells."""
    assert walk.observations.shape == (2001, 2)
    assert len(np.unique(np.round(walk.observations / 4), axis=0)) > 30


def test_most_actions_move_the_point_by_a_fifth_of_themselves(walk: ogbench_pointmaze.Walk) -> None:
    """The others push against a wall; no action is out of its bounds, and many are at one, for their noise is large."""
    moved = np.diff(walk.observations, axis=0)
    assert np.isclose(moved, 0.2 * walk.actions, atol=1e-3).all(axis=1).mean() > 0.5
    assert 0.1 < (np.abs(walk.actions) == 1.0).mean() < 0.5


def test_the_reward_is_the_single_tasks_own(giant: Trajectories) -> None:
    """0 away from the goal and 1 within 1 of it, of the position before the action: OGBench's relabelling plus 1."""
    for behaviour in ("navigate", "straight"):
        recorded = ogbench_pointmaze.play(Job(SCENARIO.name, behaviour, 0, range(1)))[0]
        relabelled = task_rewards(SCENARIO, recorded.observations)
        np.testing.assert_array_equal(recorded.rewards, relabelled[:-1] + 1)
        np.testing.assert_array_equal(recorded.successes, relabelled == 0)


def test_the_controller_walks_to_the_goal_and_ends_there() -> None:
    straight = ogbench_pointmaze.play(Job(SCENARIO.name, "straight", 0, range(1)))[0]
    assert list(np.flatnonzero(straight.rewards == 1)) == [len(straight.rewards) - 1]
    assert 300 < len(straight.rewards) < 700
    assert np.linalg.norm(straight.observations[-2] - GOAL) <= 1.0


def test_a_walk_is_cut_where_it_comes_by_the_goal() -> None:
    at_goal = np.array([False, False, True, True, False, False])
    whole = ogbench_pointmaze.Walk(np.arange(6)[:, None], np.arange(5)[:, None], at_goal[:-1] * 1.0, at_goal)
    first, second = ogbench_pointmaze.cut(whole)
    assert (first.rewards.tolist(), first.observations.ravel().tolist()) == ([0.0, 0.0, 1.0], [0, 1, 2, 3])
    assert (second.rewards.tolist(), second.observations.ravel().tolist()) == ([0.0], [4, 5])
    first_columns, second_columns = (ogbench_pointmaze._columns(episode) for episode in (first, second))
    assert first_columns["terminations"].tolist() == [False, False, True]
    assert second_columns["truncations"].tolist() == [True]


def test_the_dataset_holds_the_walks_cut_into_episodes(giant: Trajectories) -> None:
    walks = ogbench_pointmaze.play(Job(SCENARIO.name, "navigate", 0, range(2)))
    episodes = [episode for walk in walks for episode in ogbench_pointmaze.cut(walk)]
    assert list(giant.lengths) == [len(episode.actions) for episode in episodes]
    assert list(giant.terminations) == [episode.rewards[-1] == 1 for episode in episodes]
    np.testing.assert_array_equal(giant.actions, np.concatenate([episode.actions for episode in episodes]))


def test_it_is_evaluated_in_the_single_task_with_its_time_limit(giant: Trajectories) -> None:
    assert giant.task.score == "success"
    environment = make_environment(giant.task)
    assert environment.spec is not None
    assert (environment.spec.id, environment.spec.max_episode_steps) == ("pointmaze-giant-singletask-v0", 1000)
    environment.reset(seed=0)
    environment.unwrapped.set_xy(GOAL)  # type: ignore[attr-defined]
    _, reward, terminated, _, info = environment.step(np.zeros(2, np.float32))
    assert (reward, terminated, info["success"]) == (0.0, True, 1.0)
    environment.close()


def test_mean_returns_are_stored_and_the_score_is_the_success_rate(giant: Trajectories) -> None:
    metadata = minari.load_dataset(DATASET).storage.metadata
    assert metadata["data_mean_return"] == pytest.approx(giant.episode_returns.mean())
    assert metadata["data_mean_score"] == pytest.approx(100 * giant.terminations.mean())
    assert metadata["random_mean_return"] == 0.0
    assert metadata["controller_mean_return"] == 1.0
    assert giant.task.reference_scores is None


def test_the_seed_alone_decides_the_episodes(giant: Trajectories, minari_root: Path) -> None:
    """Not the number of workers, nor numpy's global generator, from which the environment draws its starts."""
    np.random.seed(7)
    for name, seed, workers in (("mage/again-v0", 0, 2), ("mage/other-v0", 1, 1)):
        RECORDER.collect(SCENARIO.name, 2, seed, workers, reference_episodes=1, dataset_id=name)
    again, other = (load_trajectories(None, name).task.fingerprint for name in ("mage/again-v0", "mage/other-v0"))
    assert again == giant.task.fingerprint != other


def test_destinations_are_the_cells_where_a_way_turns_or_parts() -> None:
    walls = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]])
    cells = ogbench_pointmaze._destinations(walls)
    assert set(free_cells(walls.tolist())) - set(cells) == {(1, 2), (2, 3), (3, 2)}


def test_no_model_file_is_left_behind(minari_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    ogbench_pointmaze._environment.cache_clear()
    RECORDER.collect(SCENARIO.name, 1, workers=1, reference_episodes=1)
    assert os.listdir(folder) == []
