"""Presets look for goals where the environments show them."""

import gymnasium as gym
import pytest
import torch
from gymnasium_robotics.envs.franka_kitchen.kitchen_env import OBS_ELEMENT_INDICES

from mage import scenarios
from mage.data.goals import GoalConfig, GoalView
from mage.data.shown_goals import SHOWN_GOALS

ROBOT = 9
"""Joints of Kitchen's robot: their velocities stand between them and the objects' positions."""
GOALS = [name for name in SHOWN_GOALS if name.endswith("goals-v0")]


@pytest.mark.parametrize(
    ("place", "tasks"),
    [
        ("kitchen", ["kettle", "light switch", "microwave", "slide cabinet"]),
        ("kitchen-mixed", ["bottom burner", "kettle", "light switch", "microwave"]),
    ],
)
def test_kitchens_goals_stand_behind_its_59_values_task_by_task(place: str, tasks: list[str]) -> None:
    position = [ROBOT + index for task in tasks for index in OBS_ELEMENT_INDICES[task]]
    config = GoalConfig(**SHOWN_GOALS[place])
    assert list(config.position) == position
    assert list(config.columns) == list(range(59, 59 + len(position)))


@pytest.mark.parametrize("scenario", GOALS)
def test_the_second_half_of_what_a_maze_of_five_tasks_shows_is_the_state_to_be_reached(scenario: str) -> None:
    pytest.importorskip("ogbench", reason="`pip install -e '.[ogbench]'`")
    maze = gym.make(scenarios.get(scenario).evaluation_arguments["maze"])
    (size,) = maze.observation_space.shape or ()
    maze.close()
    view = GoalView(2 * size, GoalConfig(**SHOWN_GOALS[scenario]))
    observation_BO = torch.arange(2.0 * size)[None]
    assert view.state(observation_BO)[0].tolist() == list(range(size))
    assert view.goal(observation_BO, torch.zeros(2 * size))[0].tolist() == list(range(size, 2 * size))


def test_every_scenario_of_five_tasks_is_here() -> None:
    assert [name for name in scenarios.names() if name.endswith("goals-v0")] == GOALS
