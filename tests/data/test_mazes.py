import gymnasium as gym
import numpy as np
import pytest

from mage.data.environments import begin_episode, make_environment, register_environments
from mage.data.maze_game.environment import WALLS
from mage.data.mazes import goal_of, maze_of
from mage.data.observations import flatten_observation
from mage.data.trajectories import Trajectories

POINT, ANT = "PointMaze_UMaze-v3", "AntMaze_UMaze-v4"


@pytest.mark.parametrize(("name", "keys"), [(POINT, ("observation", "desired_goal")), (ANT, ("achieved_goal",))])
def test_a_place_and_a_goal_lie_in_the_cells_that_the_environment_says(
    name: str, keys: tuple[str, ...], tiny_maze: Trajectories
) -> None:
    keys = keys if len(keys) > 1 else ("observation", "achieved_goal", "desired_goal")
    register_environments()
    with gym.make(name) as environment:
        own = environment.unwrapped.maze  # type: ignore[attr-defined]
        observation, _ = environment.reset(seed=3)
        task = tiny_maze.task.model_copy(update={"observation_keys": keys})
        maze, goal = maze_of(environment, task), goal_of(environment)
        assert maze is not None and goal is not None
        column, row = maze.cells(flatten_observation(observation, keys))
        assert (int(row), int(column)) == tuple(own.cell_xy_to_rowcol(observation["achieved_goal"]))
        assert not maze.walls[int(row), int(column)]
        column, row = maze.to_cells(goal)
        assert (int(row), int(column)) == tuple(own.cell_xy_to_rowcol(observation["desired_goal"]))


def test_the_game_is_in_cells_already_and_a_cheetah_is_in_no_maze(tiny_maze: Trajectories) -> None:
    register_environments()
    with gym.make("mage/MazeGame-v0") as environment:
        maze = maze_of(environment, tiny_maze.task)
        assert maze is not None
        np.testing.assert_array_equal(maze.walls, np.array(WALLS) == 1)
        np.testing.assert_array_equal(maze.cells(np.array([1.5, 2.5, 0.0, 0.0])), [1.5, 2.5])
    with gym.make("Pendulum-v1") as environment:
        assert maze_of(environment, tiny_maze.task) is None and goal_of(environment) is None


def test_ogbenchs_own_cells_are_the_same() -> None:
    pytest.importorskip("ogbench")
    with gym.make("pointmaze-medium-v0") as environment:
        own = environment.unwrapped
        environment.reset(seed=0)
        maze, goal = maze_of(environment, None), goal_of(environment)  # type: ignore[arg-type]  # whose task is not read
        assert maze is not None and goal is not None
        column, row = maze.to_cells(goal)
        assert (int(row), int(column)) == tuple(own.xy_to_ij(goal))  # type: ignore[attr-defined]
        assert not maze.walls[int(row), int(column)]


def test_the_tiny_maze_is_one(tiny_maze: Trajectories) -> None:
    environment = make_environment(tiny_maze.task)
    begin_episode(environment, 0, 0)
    maze = maze_of(environment, tiny_maze.task)
    environment.close()
    assert maze is not None
    cells = np.floor(maze.cells(tiny_maze.observations)).astype(int)
    assert not maze.walls[cells[:, 1], cells[:, 0]].any()
