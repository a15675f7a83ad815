from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from mage.data.environments import make_environment, register_environments, remove_maze_file
from mage.data.observations import flatten_observation, flatten_observations, observation_keys
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from tests.data.builders import stack

BOX = spaces.Box(-1, 1, (2,))


def goal_space(desired: spaces.Space) -> spaces.Dict:
    return spaces.Dict({"observation": BOX, "achieved_goal": desired, "desired_goal": desired})


def episode(space: spaces.Space, steps: int = 3) -> Any:
    """Observations sampled from the space, with a leading axis."""
    space.seed(0)
    return stack([space.sample() for _ in range(steps)])


def test_a_plain_box_is_ravelled() -> None:
    assert observation_keys(spaces.Box(-1, 1, (2, 3)), np.zeros((7, 2, 3))) == ()
    flat = flatten_observation(np.arange(6.0).reshape(2, 3))
    assert flat.dtype == np.float32
    assert flat.tolist() == [0, 1, 2, 3, 4, 5]
    assert flatten_observations(np.zeros((7, 2, 3))).shape == (7, 6)


def test_a_goal_dictionary_becomes_observation_then_desired_goal() -> None:
    observation = {
        "achieved_goal": np.array([2, 1]),
        "desired_goal": np.array([8, 9]),
        "observation": np.array([1, 2, 3]),
    }
    keys = observation_keys(goal_space(BOX), {key: value[None] for key, value in observation.items()})
    assert keys == ("observation", "desired_goal")
    assert flatten_observation(observation, keys).tolist() == [1, 2, 3, 8, 9]


def test_a_position_that_the_observation_lacks_is_kept() -> None:
    observations = episode(goal_space(BOX))
    keys = observation_keys(goal_space(BOX), observations)
    assert keys == ("observation", "achieved_goal", "desired_goal")
    laid_out = np.concatenate(
        [observations["observation"], observations["achieved_goal"], observations["desired_goal"]], 1
    )
    np.testing.assert_array_equal(flatten_observations(observations, keys), laid_out)


def test_an_ant_in_a_maze_shows_where_it_is_and_a_point_only_once() -> None:
    register_environments()
    expected = {"AntMaze_UMaze-v4": (27, 27 + 2 + 2), "PointMaze_UMaze-v3": (4, 4 + 2)}
    for name, (own, flat) in expected.items():
        environment = gym.make(name)
        remove_maze_file(environment)
        first, second = environment.reset(seed=0)[0], environment.step(environment.action_space.sample())[0]
        environment.close()
        observations = {key: np.stack([first[key], second[key]]) for key in first}
        keys = observation_keys(environment.observation_space, observations)
        assert observations["observation"].shape[1] == own
        assert flatten_observations(observations, keys).shape == (2, flat)


def test_a_nested_goal_is_flattened_in_sorted_key_order() -> None:
    kitchen = goal_space(spaces.Dict({"microwave": BOX, "kettle": BOX}))
    keys = observation_keys(kitchen, episode(kitchen))
    assert keys == ("observation", "desired_goal")
    goal = {"microwave": np.array([5.0]), "kettle": np.array([3, 4])}
    observation = {"observation": np.array([1, 2]), "achieved_goal": goal, "desired_goal": goal}
    assert flatten_observation(observation, keys).tolist() == [1, 2, 3, 4, 5]


def test_one_observation_and_a_batch_of_them_flatten_alike() -> None:
    space = goal_space(spaces.Dict({"b": BOX, "a": spaces.Box(-1, 1, ())}))
    space.seed(0)
    samples = [space.sample() for _ in range(3)]
    batch = stack(samples)
    keys = observation_keys(space, batch)
    flat = [flatten_observation(sample, keys) for sample in samples]
    np.testing.assert_array_equal(flatten_observations(batch, keys), flat)


@pytest.mark.parametrize(
    "space", [spaces.Discrete(3), spaces.Dict({"observation": BOX}), goal_space(spaces.Discrete(2)), spaces.Text(4)]
)
def test_any_other_space_is_refused(space: spaces.Space) -> None:
    with pytest.raises(MageError, match="not supported"):
        observation_keys(space, {})


def test_a_live_environment_gives_what_the_dataset_holds(tiny_maze: Trajectories) -> None:
    environment = make_environment(tiny_maze.task)
    observation, _ = environment.reset(seed=0)
    assert (
        flatten_observation(observation, tiny_maze.task.observation_keys).shape == (tiny_maze.observation_size,) == (6,)
    )
    environment.close()
