"""Where an agent is in a maze, for pictures: the walls of the environments that are mazes, and positions in cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from mage.data.maze_game.environment import WALLS, MazeGame
from mage.data.trajectories import Task


@dataclass(frozen=True)
class Maze:
    """A maze, and how an observation tells the place in it.

    Attributes:
        walls: (rows, columns), true where there is a wall.
        position: the columns of a flat observation that are x and y.
        scale: (2,) and
        shift: (2,), of (x, y) * scale + shift, which is (column, row) in cells; cell (i, j) begins at (j, i).
    """

    walls: np.ndarray
    position: slice
    scale: np.ndarray
    shift: np.ndarray

    def cells(self, observations: np.ndarray) -> np.ndarray:
        """Flat observations (.., S), not less any offset, to places (.., 2), column and row."""
        return self.to_cells(observations[..., self.position])

    def to_cells(self, positions: np.ndarray) -> np.ndarray:
        """The same of (x, y) (.., 2)."""
        cells: np.ndarray = np.asarray(positions, float) * self.scale + self.shift
        return cells


def maze_of(environment: gym.Env, task: Task) -> Maze | None:
    """The maze that an environment is: our game, one of Gymnasium-Robotics or of OGBench; None for no maze."""
    own = _bare(environment)
    if isinstance(own, MazeGame):
        return Maze(np.array(WALLS) == 1, slice(0, 2), np.ones(2), np.zeros(2))
    robotics: Any = getattr(own, "maze", None)
    if hasattr(robotics, "maze_size_scaling"):
        size = robotics.maze_size_scaling
        walls = np.array([[square == 1 for square in row] for row in robotics.maze_map])
        centre = np.array([robotics.x_map_center, robotics.y_map_center])
        return Maze(walls, _position(environment, task), np.array([1.0, -1.0]) / size, centre / size)
    if hasattr(own, "maze_map") and hasattr(own, "xy_to_ij"):
        origin, along = (np.asarray(own.ij_to_xy(ij), float) for ij in ((0, 0), (1, 1)))
        scale = 1 / (along - origin)
        return Maze(np.asarray(own.maze_map) == 1, slice(0, 2), scale, 0.5 - origin * scale)
    return None


def goal_of(environment: gym.Env) -> np.ndarray | None:
    """The place (2,) that the episode under way leads to, in the environment's units; None where it does not say."""
    own = _bare(environment)
    for name in ("goal", "cur_goal_xy"):
        goal = getattr(own, name, None)
        if goal is not None and np.shape(goal) == (2,):
            return np.array(goal, float)
    return None


def _bare(environment: gym.Env) -> Any:
    """The environment without wrappers; our goal mazes hold one of OGBench's."""
    own = environment.unwrapped
    return getattr(own, "bare", own)


def _position(environment: gym.Env, task: Task) -> slice:
    """An ant's place stands behind its observation, a point's begins it (`mage.data.observations`)."""
    if "achieved_goal" not in task.observation_keys:
        return slice(0, 2)
    assert isinstance(environment.observation_space, gym.spaces.Dict)
    before = int(np.prod(environment.observation_space["observation"].shape or (0,)))
    return slice(before, before + 2)
