"""Records the built-in Maze2D and Multi2D data: D4RL's recipe, in the real PointMaze environments.

The reward is 1 for every step within 0.45 of the goal. Maze2D has one goal cell for ever; in Multi2D every episode has
a random goal of its own, which the observation shows. The behaviour policy ignores the goal: it tours random cells with
a PD controller and Gaussian action noise, so good behaviour has to be stitched. Every episode is a function of
(seed, episode) alone.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium_robotics.envs.maze import maps

from mage import scenarios
from mage.data.environments import build, registered_spec
from mage.data.maze_controller import Cell, WaypointController, free_cells
from mage.data.minari_writer import write_dataset
from mage.data.recording import Job, Recorded, Recorder
from mage.errors import MageError

ACTION_NOISE_STD = 0.5
_STREAM = {"tour": 0, "straight": 1, "random": 2}


class Maze(NamedTuple):
    """A maze of D4RL: its walls, and the cell that its goal lies in, None for a random one in every episode."""

    walls: list[list]
    goal: Cell | None


MAZES = {
    "maze2d-umaze": Maze(maps.U_MAZE, (1, 1)),
    "maze2d-medium": Maze(maps.MEDIUM_MAZE, (6, 6)),
    "maze2d-large": Maze(maps.LARGE_MAZE, (7, 9)),
    "multi2d-umaze": Maze(maps.U_MAZE, None),
    "multi2d-medium": Maze(maps.MEDIUM_MAZE, None),
    "multi2d-large": Maze(maps.LARGE_MAZE, None),
}


class Episode(NamedTuple):
    """observations (T + 1, 4), goal (2,), actions (T, 2) float32, rewards (T,), successes (T + 1,)."""

    observations: np.ndarray
    goal: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    successes: np.ndarray
    seed: int


def collect(
    scenario_name: str,
    episodes: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    reference_episodes: int = 50,
    dataset_id: str | None = None,
    max_episode_steps: int | None = None,
) -> str:
    """Records the scenario's built-in dataset and returns its id; dataset_id overrides where it goes.

    max_episode_steps gives the data, and the environment that is stored with it, another time limit than D4RL's.

    The reference scores are those of uniformly random actions (0) and of the noiseless controller going straight to the
    goal and staying there (100); the rest is as `Recorder.collect` says.
    """
    if scenario_name not in MAZES:
        raise MageError(f"{scenario_name} is not one of the mazes {', '.join(MAZES)}.")
    own = recorder(max_episode_steps)
    return own.collect(scenario_name, episodes, seed, workers, reference_episodes, dataset_id)


def recorder(max_episode_steps: int | None = None) -> Recorder:
    """Of any maze; episodes of D4RL's length, unless told another."""
    play_so_long = partial(play, max_episode_steps=max_episode_steps)
    return Recorder("tour", "straight", play_so_long, partial(_write, max_episode_steps=max_episode_steps))


def environment_spec(scenario_name: str, max_episode_steps: int | None = None) -> EnvSpec:
    """The scenario's environment, with D4RL's time limit, unless told another, and, in Maze2D, its one goal cell."""
    spec, maze = registered_spec(scenarios.get(scenario_name)), MAZES[scenario_name]
    spec.kwargs = {
        "maze_map": _map_with_goal(maze),
        "reward_type": "sparse",
        "continuing_task": True,
        "reset_target": False,
    }
    spec.max_episode_steps = max_episode_steps or spec.max_episode_steps
    return spec


def _map_with_goal(maze: Maze) -> list[list]:
    """Without a goal cell, start and goal can be any two free cells."""
    rows = [list(row) for row in maze.walls]
    if maze.goal:
        rows[maze.goal[0]][maze.goal[1]] = maps.GOAL
    return rows


def play(job: Job, max_episode_steps: int | None = None) -> list[Episode]:
    """The episodes of a job."""
    environment = _environment(job.scenario)
    steps = max_episode_steps or scenarios.get(job.scenario).max_episode_steps
    return [_rollout(job, environment, episode, steps) for episode in job.episodes]


@cache
def _environment(scenario_name: str) -> gym.Env:
    return build(environment_spec(scenario_name), disable_env_checker=True)


def _rollout(job: Job, environment: gym.Env, episode: int, steps: int) -> Episode:
    """One episode over the full time limit; stepping the bare environment is the same, only faster."""
    bare: Any = environment.unwrapped
    stream = np.random.SeedSequence(job.seed, spawn_key=(_STREAM[job.behaviour], episode))
    rng, reset_seed = np.random.default_rng(stream), int(stream.generate_state(1)[0])
    observation, info = bare.reset(seed=reset_seed)
    goal = observation["desired_goal"]
    policy = _policy(job.behaviour, bare, MAZES[job.scenario].walls, observation, rng)
    observations, successes, actions, rewards = [observation["observation"]], [info["success"]], [], []
    for _ in range(steps):
        action = np.clip(policy(observations[-1]), -1.0, 1.0).astype(np.float32)
        observation, reward, _, _, info = bare.step(action)
        observations.append(observation["observation"])
        successes.append(info["success"])
        actions.append(action)
        rewards.append(reward)
    return Episode(np.array(observations), goal, np.array(actions), np.array(rewards), np.array(successes), reset_seed)


def _policy(
    behaviour: str, bare: Any, walls: list[list], observation: dict[str, np.ndarray], rng: np.random.Generator
) -> Callable[[np.ndarray], Any]:
    """(x, y, vx, vy) -> action (2,), not clipped."""
    if behaviour == "random":
        return lambda _: rng.uniform(-1.0, 1.0, size=2)
    controller = WaypointController(walls, bare.maze.cell_rowcol_to_xy)
    position = observation["observation"][:2]
    if behaviour == "straight":
        goal_x, goal_y = observation["desired_goal"].tolist()
        controller.start(position, controller.nearest_cell(observation["desired_goal"]), (goal_x, goal_y))
        return lambda state: controller.act(state)[:2]
    cells = free_cells(walls)
    controller.start(position, cells[rng.integers(len(cells))])

    def tour(state: np.ndarray) -> np.ndarray:
        force_x, force_y, reached = controller.act(state)
        if reached:
            controller.start(state[:2], cells[rng.integers(len(cells))])
        # The noise goes onto the clipped force, as in D4RL: it disturbs a saturated controller too.
        return np.clip((force_x, force_y), -1.0, 1.0) + ACTION_NOISE_STD * rng.standard_normal(2)

    return tour


def _write(recorded: Recorded[Episode], max_episode_steps: int | None) -> None:
    scenario, returns = recorded.scenario, recorded.returns
    goal = "the environment's one goal" if MAZES[scenario].goal else "the episode's own random goal"
    description = (
        f"{recorded.played} episodes of {scenario}, recorded by MAGE on Ray with D4RL's maze2d recipe (seed "
        f"{recorded.seed}; not the published D4RL data): a PD controller tours random cells with action noise of "
        f"standard deviation {ACTION_NOISE_STD}, the reward counts steps at {goal}. Mean return {returns.data:.2f}. "
        f"Reference scores measured in the same environment: random actions {returns.random:.2f}, noiseless controller "
        f"{returns.controller:.2f}."
    )
    write_dataset(
        recorded.dataset_id,
        map(_columns, recorded.episodes),
        environment_spec(scenario, max_episode_steps),
        returns.reference_scores,
        description,
        metadata=returns.metadata(),
    )


def _columns(episode: Episode) -> dict:
    steps = len(episode.actions)
    return {
        "observations": {
            "observation": episode.observations,
            "achieved_goal": episode.observations[:, :2],
            "desired_goal": np.tile(episode.goal, (steps + 1, 1)),
        },
        "actions": episode.actions,
        "rewards": episode.rewards,
        "terminations": np.zeros(steps, dtype=bool),
        "truncations": np.arange(steps) == steps - 1,
        "infos": {"success": episode.successes},
        "seed": episode.seed,
    }
