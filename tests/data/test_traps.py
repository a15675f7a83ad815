"""The traps of offline RL benchmarks, each on data that is really recorded in the real environment."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

from mage import scenarios
from mage.config import AlgorithmConfig
from mage.data.environments import make_environment, register_environments, remove_maze_file
from mage.data.observations import flatten_observation
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories
from mage.evaluation.episodes import evaluate_policies
from mage.evaluation.rollout import score_of
from mage.training.trainer import Trainer
from tests.data.builders import make_task, stack


def record(dataset_id: str, environment_id: str, steps: int = 12, episodes: int = 2, **arguments: Any) -> Trajectories:
    """A dataset of random actions in an environment of that many steps, loaded as its scenario's."""
    register_environments()
    environment = gym.make(environment_id, **arguments)
    remove_maze_file(environment)
    environment.action_space.seed(0)
    buffers = []
    for seed in range(episodes):
        observations, actions, rewards = [environment.reset(seed=seed)[0]], [], []
        for _ in range(steps):
            actions.append(environment.action_space.sample())
            observation, reward, *_ = environment.step(actions[-1])
            observations.append(observation)
            rewards.append(float(reward))
        ends = [False] * (steps - 1)
        buffers.append(
            EpisodeBuffer(None, seed, None, stack(observations), actions, rewards, [False] * steps, [*ends, True])
        )
    minari.create_dataset_from_buffers(dataset_id, buffers, env=environment)
    environment.close()
    name = next(name for name in scenarios.names() if scenarios.get(name).dataset_ids == (dataset_id,))
    return load_trajectories(scenarios.get(name))


def trained(trajectories: Trajectories, config: AlgorithmConfig) -> Any:
    trainer = Trainer(trajectories, config, seed=0)
    trainer.advance(trainer.total_steps)
    return trainer.policy()


def test_pen_is_played_for_the_hundred_steps_of_its_data_not_the_two_hundred_that_are_registered(
    minari_root: Path, tiny_config: AlgorithmConfig
) -> None:
    pen = record("D4RL/pen/expert-v2", "AdroitHandPen-v1", max_episode_steps=100)
    register_environments()
    assert gym.spec("AdroitHandPen-v1").max_episode_steps == 200
    results = evaluate_policies([trained(pen, tiny_config)], episodes=1)
    assert results["length"].tolist() == [100]
    assert results["warning"].isna().all()


def test_a_reward_with_the_wrong_sign_is_a_warning_in_the_results(
    minari_root: Path, tiny_config: AlgorithmConfig
) -> None:
    relocate = record("D4RL/relocate/expert-v2", "AdroitHandRelocate-v1", max_episode_steps=12)
    results = evaluate_policies([trained(relocate, tiny_config)], episodes=2)
    assert results["warning"].str.contains("distance from the object in AdroitHandRelocate-v1").all()


def test_kitchens_nested_goals_are_flattened_alike_in_the_data_and_in_the_environment(minari_root: Path) -> None:
    kitchen = record("D4RL/kitchen/partial-v2", "FrankaKitchen-v1", tasks_to_complete=["microwave", "kettle"])
    environment = make_environment(kitchen.task)
    observation, _ = environment.reset(seed=0)
    live = flatten_observation(observation, kitchen.task.observation_keys)
    environment.close()
    assert isinstance(observation["desired_goal"], dict)
    assert live.shape == (kitchen.observation_size,) == (59 + 1 + 7,)
    np.testing.assert_array_equal(live[59:], kitchen.observations[0, 59:])


def test_the_ant_knows_where_it_is_and_is_scored_by_success(minari_root: Path) -> None:
    ant = record("D4RL/antmaze/umaze-v1", "AntMaze_UMaze-v4", continuing_task=True)
    assert ant.task.observation_keys == ("observation", "achieved_goal", "desired_goal")
    assert ant.observation_size == 27 + 2 + 2
    # a return counts every step at the goal: 3 of them are no better than 1
    assert [
        score_of({"return": reward, "success": success}, ant.task) for reward, success in [(3.0, True), (0.0, False)]
    ] == [
        100.0,
        0.0,
    ]
    assert np.isnan(score_of({"return": 3.0, "success": None}, ant.task))


def test_every_step_at_a_mazes_goal_counts(tiny_maze: Trajectories) -> None:
    position, goal = tiny_maze.observations[:, :2], tiny_maze.observations[:, 4:]
    # the reward is of the state after the action; the last state of an episode is not in the arrays
    inside = (np.linalg.norm(position - goal, axis=1) <= 0.45)[1:]
    same_episode = np.delete(np.arange(tiny_maze.steps), tiny_maze.episode_starts[1:] - 1)
    np.testing.assert_array_equal(tiny_maze.rewards[same_episode], inside[same_episode].astype(np.float32))
    assert tiny_maze.episode_returns.max() > 1


def test_without_references_there_is_no_score_rather_than_a_wrong_one() -> None:
    assert np.isnan(score_of({"return": 3.0, "success": True}, make_task(reference_scores=None)))
    assert score_of({"return": 5.0, "success": False}, make_task(reference_scores=(0.0, 10.0))) == 50.0
