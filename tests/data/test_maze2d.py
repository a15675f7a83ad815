from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest

from mage import scenarios
from mage.data import maze2d
from mage.data.environments import make_environment, register_environments
from mage.data.minari_writer import write_dataset
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories
from mage.errors import MageError


def collect_three(dataset_id: str, workers: int = 1, seed: int = 0) -> Trajectories:
    maze2d.collect("maze2d-umaze", 3, seed, workers, reference_episodes=1, dataset_id=dataset_id)
    return load_trajectories(None, dataset_id)


def test_one_worker_or_two_record_the_same_episodes(minari_root: Path) -> None:
    alone, together = collect_three("mage/one-v0", workers=1), collect_three("mage/two-v0", workers=2)
    assert alone.task.fingerprint == together.task.fingerprint
    assert alone.task.reference_scores == together.task.reference_scores


def test_the_seed_decides_the_episodes_and_nothing_of_the_reference(minari_root: Path) -> None:
    first, second = collect_three("mage/a-v0", seed=0), collect_three("mage/b-v0", seed=1)
    assert first.task.fingerprint != second.task.fingerprint
    assert first.task.reference_scores == second.task.reference_scores


def test_more_episodes_leave_the_first_ones_as_they_are(tiny_maze: Trajectories, minari_root: Path) -> None:
    few = collect_three("mage/few-v0")
    np.testing.assert_array_equal(few.observations, tiny_maze.observations[: few.steps])


def test_episodes_run_the_full_time_limit_and_are_truncated(tiny_maze: Trajectories) -> None:
    assert tiny_maze.episodes == 40
    assert set(tiny_maze.lengths) == {300}
    assert not tiny_maze.terminations.any()


def test_the_reward_counts_the_steps_at_the_environments_goal(tiny_maze: Trajectories) -> None:
    """The reward of a row belongs to where its action leads, which is the next row's position."""
    inside = np.ones(tiny_maze.steps - 1, dtype=bool)
    inside[tiny_maze.episode_starts[1:-1] - 1] = False
    position, goal = tiny_maze.observations[1:, :2], tiny_maze.observations[1:, 4:]
    at_goal = np.linalg.norm(position - goal, axis=1) <= 0.45
    np.testing.assert_array_equal(tiny_maze.rewards[:-1][inside], at_goal[inside].astype(np.float32))
    assert 0 < tiny_maze.episode_returns.mean() < 100


def test_the_goal_stays_in_one_cell_and_the_starts_are_spread(tiny_maze: Trajectories) -> None:
    starts = tiny_maze.observations[tiny_maze.episode_starts[:-1]]
    np.testing.assert_allclose(starts[:, 4:], [[-1.0, 1.0]] * 40, atol=0.25)
    assert len({tuple(np.round(start[:2])) for start in starts}) >= 5


def test_a_random_policy_scores_less_than_the_data_and_the_controller_far_more(tiny_maze: Trajectories) -> None:
    assert tiny_maze.task.reference_scores is not None
    random, controller = tiny_maze.task.reference_scores
    assert random < tiny_maze.episode_returns.mean() < controller
    assert 190 < controller < 290


def test_recorded_actions_replayed_in_the_recovered_environment_give_the_recorded_episode(
    tiny_maze: Trajectories, tiny_maze_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
    recorded = minari.load_dataset("mage/maze2d/umaze-v0")[7]
    seed = next(iter(minari.load_dataset("mage/maze2d/umaze-v0").storage.get_episode_metadata([7])))["seed"]
    environment = make_environment(tiny_maze.task)
    observation, info = environment.reset(seed=int(seed))
    truncated = False
    for step, action in enumerate(recorded.actions):
        assert not truncated
        np.testing.assert_array_equal(observation["observation"], recorded.observations["observation"][step])
        assert info["success"] == recorded.infos["success"][step]
        observation, reward, _, truncated, info = environment.step(action)
        assert reward == recorded.rewards[step]
    assert truncated
    environment.close()


def test_the_environment_recovers_with_its_goal_and_time_limit(tiny_maze: Trajectories) -> None:
    environment = make_environment(tiny_maze.task)
    assert environment.spec is not None
    assert environment.spec.max_episode_steps == 300
    assert environment.spec.kwargs["maze_map"][1][1] == "g"
    assert not environment.spec.kwargs["reset_target"]
    environment.close()


def test_the_registered_environment_is_left_alone() -> None:
    register_environments()
    before = gym.spec("PointMaze_Medium-v3").to_json()
    changed = maze2d.environment_spec("maze2d-medium")
    assert changed.max_episode_steps == 600
    assert gym.spec("PointMaze_Medium-v3").to_json() == before != changed.to_json()


def test_the_description_states_the_datas_own_mean_return(
    tiny_maze: Trajectories, tiny_maze_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
    description = minari.load_dataset("mage/maze2d/umaze-v0").storage.metadata["description"]
    assert f"Mean return {tiny_maze.episode_returns.mean():.2f}." in description


def test_an_interrupted_recording_leaves_no_dataset(minari_root: Path) -> None:
    episode = maze2d._columns(maze2d._record(maze2d._Job("maze2d-umaze", "tour", 0, range(1)))[0])

    def interrupted():  # type: ignore[no-untyped-def]
        yield episode
        raise KeyboardInterrupt

    spec = maze2d.environment_spec("maze2d-umaze")
    with pytest.raises(KeyboardInterrupt):
        write_dataset("mage/maze2d/umaze-v0", interrupted(), spec, (0.0, 1.0), "half a dataset")
    assert list(minari_root.rglob("*")) == []


def test_recording_over_an_existing_dataset_is_refused(minari_root: Path) -> None:
    collect_three("mage/once-v0")
    with pytest.raises(MageError, match="mage/once-v0 is already here; `minari delete"):
        collect_three("mage/once-v0")


def test_only_the_mazes_can_be_recorded() -> None:
    with pytest.raises(MageError, match="no built-in data for pen-expert; there is for maze2d-umaze"):
        maze2d.collect("pen-expert")
    with pytest.raises(MageError, match="at least 1"):
        maze2d.collect("maze2d-umaze", episodes=0)


def test_every_maze_has_a_goal_in_a_free_cell_and_a_published_counterpart() -> None:
    for name, maze in maze2d.MAZES.items():
        assert maze.walls[maze.goal[0]][maze.goal[1]] == 0
        builtin = scenarios.get(name).builtin_dataset_id
        assert builtin is not None
        assert maze2d.scenario_of(builtin) == name
