import numpy as np
import pytest
from gymnasium import spaces

from mage.data.environments import make_environment
from mage.data.observations import flatten_observation, flatten_observations, observation_keys
from mage.data.trajectories import Trajectories
from mage.errors import MageError

BOX = spaces.Box(-1, 1, (2,))


def goal_space(desired: spaces.Space) -> spaces.Dict:
    return spaces.Dict({"observation": BOX, "achieved_goal": desired, "desired_goal": desired})


def test_a_plain_box_is_ravelled() -> None:
    assert observation_keys(spaces.Box(-1, 1, (2, 3))) == ()
    flat = flatten_observation(np.arange(6.0).reshape(2, 3))
    assert flat.dtype == np.float32
    assert flat.tolist() == [0, 1, 2, 3, 4, 5]
    assert flatten_observations(np.zeros((7, 2, 3))).shape == (7, 6)


def test_a_goal_dictionary_becomes_observation_then_desired_goal() -> None:
    assert observation_keys(goal_space(BOX)) == ("observation", "desired_goal")
    observation = {"achieved_goal": np.ones(2), "desired_goal": np.array([8, 9]), "observation": np.array([1, 2, 3])}
    assert flatten_observation(observation).tolist() == [1, 2, 3, 8, 9]


def test_a_nested_goal_is_flattened_in_sorted_key_order() -> None:
    kitchen = goal_space(spaces.Dict({"microwave": BOX, "kettle": BOX}))
    assert observation_keys(kitchen) == ("observation", "desired_goal")
    goal = {"microwave": np.array([5.0]), "kettle": np.array([3, 4])}
    observation = {"observation": np.array([1, 2]), "achieved_goal": goal, "desired_goal": goal}
    assert flatten_observation(observation).tolist() == [1, 2, 3, 4, 5]


def test_one_observation_and_a_batch_of_them_flatten_alike() -> None:
    space = goal_space(spaces.Dict({"b": BOX, "a": spaces.Box(-1, 1, ())}))
    space.seed(0)
    samples = [space.sample() for _ in range(3)]
    goals = {key: np.stack([sample["desired_goal"][key] for sample in samples]) for key in ("b", "a")}
    batch = {
        "observation": np.stack([sample["observation"] for sample in samples]),
        "achieved_goal": goals,
        "desired_goal": goals,
    }
    np.testing.assert_array_equal(flatten_observations(batch), [flatten_observation(sample) for sample in samples])


@pytest.mark.parametrize(
    "space", [spaces.Discrete(3), spaces.Dict({"observation": BOX}), goal_space(spaces.Discrete(2)), spaces.Text(4)]
)
def test_any_other_space_is_refused(space: spaces.Space) -> None:
    with pytest.raises(MageError, match="not supported"):
        observation_keys(space)


def test_a_live_environment_gives_what_the_dataset_holds(tiny_maze: Trajectories) -> None:
    environment = make_environment(tiny_maze.task)
    observation, _ = environment.reset(seed=0)
    assert flatten_observation(observation).shape == (tiny_maze.observation_size,) == (6,)
    environment.close()
