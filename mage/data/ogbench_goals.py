"""OGBench's goal-conditioned protocol: a maze's five tasks in turn, goals in the observation, walks cut at goals.

OGBench publishes walks to random goals, and not which. So a walk is cut into pieces, and the state that a piece ends in
is the goal of its steps: an observation is the state s_t beside that state, the reward 1 where the piece ends and 0
before. The pieces' lengths are ours: 50 to 800 steps, each twice as long as the last, so that near and far goals are
equally frequent. A piece ends sooner where it comes by its goal sooner, as the environment's episode would.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from mage.data.environments import build, import_ogbench

LENGTHS = (50, 100, 200, 400, 800)
"""Steps of the pieces that a walk is cut into, again and again until it ends."""


class GoalMaze(gym.Env):
    """One of OGBench's mazes whose observation is the state and, beside it, the state to be reached.

    Attributes:
        tasks_in_turn: how many tasks there are; episode n is to be begun with `options={"task_id": n % tasks + 1}`.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(self, maze: str, render_mode: str | None = None) -> None:
        """The maze is OGBench's own environment, such as pointmaze-giant-v0."""
        import_ogbench()
        spec = gym.spec(maze)
        self.maze = build(spec, **({"render_mode": render_mode} if render_mode else {}))
        self.render_mode, self.metadata = render_mode, self.maze.metadata
        self.tasks_in_turn = int(self.bare.num_tasks)
        self.action_space = self.maze.action_space
        (size,) = self.maze.observation_space.shape or ()
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2 * size,), np.float64)
        self._goal = np.zeros(size)

    @property
    def bare(self) -> Any:
        """OGBench's environment without wrappers."""
        return self.maze.unwrapped

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins the task of the options, without them any."""
        super().reset(seed=seed)
        observation, info = self.maze.reset(seed=seed, options=options)
        self._goal = np.asarray(info["goal"])
        return self._with_goal(observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The maze's step: a reward of 1 at the goal, where the episode ends, and 0 elsewhere."""
        observation, reward, terminated, truncated, info = self.maze.step(action)
        return self._with_goal(observation), float(reward), terminated, truncated, info

    def render(self) -> Any:
        """The maze's picture."""
        return self.maze.render()

    def close(self) -> None:
        """Frees the maze."""
        self.maze.close()

    def _with_goal(self, observation: Any) -> np.ndarray:
        return np.concatenate([np.asarray(observation), self._goal])


class Piece(NamedTuple):
    """A walk, or a piece of one: observations (T + 1, S), with the goal (T + 1, 2 S); actions (T, A); rewards (T,)."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray


def pieces(walk: Piece, positions: np.ndarray, tolerance: float) -> Iterator[Piece]:
    """The pieces of a walk, whose positions in the maze are (T + 1, 2).

    Args:
        walk: observations are states.
        positions: where it was.
        tolerance: how far from a goal it is reached.
    """
    first, last, lengths = 0, len(positions) - 1, cycle(LENGTHS)
    while first < last:
        goal = min(first + next(lengths), last)
        is_near = np.linalg.norm(positions[first : goal + 1] - positions[goal], axis=1) <= tolerance
        steps = int(np.argmax(is_near)) or goal - first  # where it begins at the goal, all of it is passed over
        if not is_near[0]:
            states = walk.observations[first : first + steps + 1]
            yield Piece(
                np.concatenate([states, np.broadcast_to(walk.observations[goal], states.shape)], axis=1),
                walk.actions[first : first + steps],
                (np.arange(steps) == steps - 1).astype(np.float64),
            )
        first += steps


def columns(piece: Piece) -> dict[str, Any]:
    """A piece, which ends at its goal, as arguments of Minari's EpisodeBuffer."""
    return {
        "observations": piece.observations.astype(np.float64),
        "actions": piece.actions,
        "rewards": piece.rewards,
        "terminations": piece.rewards > 0,
        "truncations": np.zeros(len(piece.rewards), bool),
    }


def pieces_of_file(rows: dict[str, np.ndarray], spec: EnvSpec) -> Iterator[Piece]:
    """The pieces of all walks of an OGBench file, whose rows are those of `ogbench_source.read_file`."""
    tolerance, first = _tolerance(spec), 0
    for last in np.flatnonzero(rows["terminals"]).tolist():
        states, actions = rows["observations"][first : last + 1], rows["actions"][first:last]
        yield from pieces(Piece(states, actions, np.zeros(last - first)), rows["qpos"][first : last + 1, :2], tolerance)
        first = last + 1


def _tolerance(spec: EnvSpec) -> float:
    """How far from a goal a point, an ant or a humanoid is there, in the maze's own units."""
    maze = build(spec).unwrapped
    assert isinstance(maze, GoalMaze)
    maze.close()
    return float(maze.bare._goal_tol)
