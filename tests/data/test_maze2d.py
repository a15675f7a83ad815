from pathlib import Path

import gymnasium as gym
import minari
import numpy as np
import pytest

from mage import scenarios
from mage.data import maze2d
from mage.data.environments import make_environment, register_environments, registered_spec
from mage.data.minari_writer import write_dataset
from mage.data.observations import flatten_observation
from mage.data.recording import REFERENCE_SEED, Job
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories, describe
from mage.errors import MageError


def collect_three(dataset_id: str, workers: int = 1, seed: int = 0) -> Trajectories:
    maze2d.collect("maze2d-umaze", 3, seed, workers, 10, dataset_id, max_episode_steps=120)
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
    assert tiny_maze.episodes == 100
    assert set(tiny_maze.lengths) == {120}
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
    np.testing.assert_allclose(starts[:, 4:], [[-1.0, 1.0]] * 100, atol=0.25)
    assert len({tuple(np.round(start[:2])) for start in starts}) >= 5


def test_a_random_policy_scores_less_than_the_data_and_the_controller_far_more(tiny_maze: Trajectories) -> None:
    assert tiny_maze.task.reference_scores is not None
    random, controller = tiny_maze.task.reference_scores
    assert random < tiny_maze.episode_returns.mean() < controller / 2


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
    assert environment.spec.max_episode_steps == 120
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


def test_the_mean_returns_of_the_data_and_its_references_are_stored_with_it(
    tiny_maze: Trajectories, tiny_maze_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
    metadata = minari.load_dataset("mage/maze2d/umaze-v0").storage.metadata
    mean, (random, controller) = tiny_maze.episode_returns.mean(), tiny_maze.task.reference_scores or (0, 0)
    assert metadata["data_mean_return"] == pytest.approx(mean)
    assert metadata["data_mean_score"] == pytest.approx(describe(tiny_maze)["normalised_return_mean"])
    assert (metadata["random_mean_return"], metadata["controller_mean_return"]) == (random, controller)


def test_an_interrupted_recording_leaves_no_dataset(minari_root: Path) -> None:
    episode = maze2d._columns(maze2d.play(Job("maze2d-umaze", "tour", 0, range(1)), 300)[0])

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
    with pytest.raises(MageError, match="pen-expert is not one of the mazes maze2d-umaze, maze2d-medium"):
        maze2d.collect("pen-expert")
    with pytest.raises(MageError, match="at least 1"):
        maze2d.collect("maze2d-umaze", episodes=0)


@pytest.mark.parametrize("scenario", maze2d.MAZES)
def test_in_every_maze_the_controller_reaches_the_goal_and_stays(scenario: str) -> None:
    """The first reference episode; the goal is at most a third of the time away."""
    steps = scenarios.get(scenario).max_episode_steps
    episode = maze2d.play(Job(scenario, "straight", REFERENCE_SEED, range(1)), steps)[0]
    assert len(episode.rewards) == steps
    assert episode.rewards.sum() > 0.6 * len(episode.rewards)
    assert episode.rewards[-50:].all()


@pytest.mark.parametrize("scenario", maze2d.MAZES)
def test_a_goal_lies_in_one_free_cell_of_maze2d_and_in_any_of_multi2d(scenario: str) -> None:
    walls, goal = maze2d.MAZES[scenario]
    assert (goal is None) == scenario.startswith("multi2d")
    assert goal is None or walls[goal[0]][goal[1]] == 0
    assert scenarios.get(scenario).builtin_dataset_id is not None


@pytest.fixture(scope="module")
def multi2d(tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    """20 episodes of the U-maze, each with a goal of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("minari")))
        maze2d.collect("multi2d-umaze", episodes=20, workers=1, reference_episodes=5)
        return load_trajectories(scenarios.get("multi2d-umaze"), download=False)


def test_in_multi2d_every_episode_has_a_start_and_a_goal_of_its_own(multi2d: Trajectories) -> None:
    starts = multi2d.observations[multi2d.episode_starts[:-1]]
    assert len(np.unique(starts[:, :2], axis=0)) == len(np.unique(starts[:, 4:], axis=0)) == 20
    for corners in (starts[:, :2], starts[:, 4:]):
        assert len(np.unique(np.round(corners), axis=0)) >= 5  # of the maze's seven cells
    assert np.linalg.norm(starts[:, :2] - starts[:, 4:], axis=1).min() > 0.25


def test_in_multi2d_the_observation_shows_the_goal_that_pays(multi2d: Trajectories) -> None:
    assert multi2d.observations.shape == (20 * 300, 6)
    for first, last in zip(multi2d.episode_starts, multi2d.episode_starts[1:], strict=False):
        position, goal = multi2d.observations[first + 1 : last, :2], multi2d.observations[first:last, 4:]
        assert (goal == goal[0]).all()
        at_goal = np.linalg.norm(position - goal[0], axis=1) <= 0.45
        np.testing.assert_array_equal(multi2d.rewards[first : last - 1], at_goal)


def test_in_multi2d_most_tours_pass_their_goal_and_the_controller_makes_far_more_of_it(multi2d: Trajectories) -> None:
    assert multi2d.task.reference_scores is not None
    random, controller = multi2d.task.reference_scores
    assert (multi2d.episode_returns > 0).mean() > 0.5
    assert random < controller / 2
    assert multi2d.episode_returns.mean() < controller / 2
    assert 190 < controller < 290


def test_multi2d_is_evaluated_where_start_and_goal_are_random_too(multi2d: Trajectories) -> None:
    assert multi2d.task.environment_spec == registered_spec(scenarios.get("multi2d-umaze")).to_json()
    environment = make_environment(multi2d.task)
    first, _ = environment.reset(seed=0)
    second, _ = environment.reset(seed=1)
    assert environment.spec is not None
    assert environment.spec.max_episode_steps == 300
    for key in ("achieved_goal", "desired_goal"):
        assert np.linalg.norm(first[key] - second[key]) > 0.1
    shown = flatten_observation(second, multi2d.task.observation_keys)
    np.testing.assert_array_equal(shown[4:], second["desired_goal"].astype(np.float32))
    environment.close()


def test_multi2d_is_as_reproducible_as_maze2d(multi2d: Trajectories, minari_root: Path) -> None:
    for name, seed, workers in (("mage/again-v0", 0, 2), ("mage/other-v0", 1, 1)):
        maze2d.collect("multi2d-umaze", 2, seed, workers, reference_episodes=1, dataset_id=name)
    again, other = (load_trajectories(None, name) for name in ("mage/again-v0", "mage/other-v0"))
    np.testing.assert_array_equal(again.observations, multi2d.observations[:600])
    assert not (again.observations[:, 4:] == other.observations[:, 4:]).any()
