"""Records the built-in maze2d data: D4RL's recipe, in the real PointMaze environments, as an ordinary Minari dataset.

The environment has one goal cell and pays 1 for every step within 0.45 of the goal. The behaviour policy ignores that
goal: it tours random cells with a PD controller and Gaussian action noise, so good behaviour has to be stitched.
Every episode is a function of (seed, episode) alone; the number of worker processes changes nothing.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from copy import deepcopy
from functools import cache
from multiprocessing import get_context
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium_robotics.envs.maze import maps

from mage import scenarios
from mage.data.environments import build, register_environments
from mage.data.maze_controller import Cell, WaypointController, free_cells
from mage.data.minari_writer import dataset_is_local, write_dataset
from mage.errors import MageError

ACTION_NOISE_STD = 0.5
REFERENCE_SEED = 20_000
EPISODES_A_JOB = 10

Behaviour = Literal["tour", "straight", "random"]
_STREAM: dict[Behaviour, int] = {"tour": 0, "straight": 1, "random": 2}


class Maze(NamedTuple):
    """A maze of D4RL: its walls, the cell its goal lies in, and the time limit of its episodes."""

    walls: list[list]
    goal: Cell
    max_episode_steps: int


MAZES = {
    "maze2d-umaze": Maze(maps.U_MAZE, (1, 1), 300),
    "maze2d-medium": Maze(maps.MEDIUM_MAZE, (6, 6), 600),
    "maze2d-large": Maze(maps.LARGE_MAZE, (7, 9), 800),
}


class Episode(NamedTuple):
    """observations (T + 1, 4), goal (2,), actions (T, 2) float32, rewards (T,), successes (T + 1,)."""

    observations: np.ndarray
    goal: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    successes: np.ndarray
    seed: int


class _Job(NamedTuple):
    scenario: str
    behaviour: Behaviour
    seed: int
    episodes: range


def scenario_of(dataset_id: str) -> str | None:
    """The scenario whose built-in dataset has that id."""
    return next((name for name in MAZES if scenarios.get(name).builtin_dataset_id == dataset_id), None)


def collect(
    scenario_name: str,
    episodes: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    reference_episodes: int = 50,
    dataset_id: str | None = None,
) -> str:
    """Records the scenario's built-in dataset and returns its id; dataset_id overrides where it goes.

    The reference scores stored with it are measured on `reference_episodes` episodes each: uniformly random actions
    (score 0), and the noiseless controller going straight to the goal and staying there (score 100). workers=None
    takes every core. A dataset that is already there raises MageError; an interrupted recording leaves none.
    """
    scenario = scenarios.get(scenario_name)
    dataset_id = dataset_id or scenario.builtin_dataset_id
    if dataset_id is None or scenario_name not in MAZES:
        raise MageError(f"There is no built-in data for {scenario_name}; there is for {', '.join(MAZES)}.")
    if min(episodes, reference_episodes) < 1 or (workers is not None and workers < 1):
        raise MageError("The numbers of episodes, reference episodes and workers have to be at least 1.")
    if dataset_is_local(dataset_id):
        raise MageError(
            f"The dataset {dataset_id} is already here; `minari delete {dataset_id}` makes room for a new one."
        )
    jobs = _jobs(scenario_name, "straight", REFERENCE_SEED, reference_episodes)
    jobs += _jobs(scenario_name, "random", REFERENCE_SEED, reference_episodes)
    jobs += _jobs(scenario_name, "tour", seed, episodes)
    recorded = list(_progress(_run(jobs, workers or available_cores()), jobs, dataset_id))
    straight, random, tour = (
        [episode for job, chunk in zip(jobs, recorded, strict=True) if job.behaviour == behaviour for episode in chunk]
        for behaviour in ("straight", "random", "tour")
    )
    _write(dataset_id, scenario_name, seed, tour, (_mean_return(random), _mean_return(straight)))
    return dataset_id


def available_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment_spec(scenario_name: str) -> gym.envs.registration.EnvSpec:
    """The scenario's environment with its one goal cell and D4RL's time limit."""
    register_environments()
    maze = MAZES[scenario_name]
    spec = deepcopy(gym.spec(scenarios.get(scenario_name).environment))  # gym.spec hands out the registry's own
    spec.max_episode_steps = maze.max_episode_steps
    spec.kwargs = {
        "maze_map": _map_with_goal(maze),
        "reward_type": "sparse",
        "continuing_task": True,
        "reset_target": False,
    }
    return spec


def _map_with_goal(maze: Maze) -> list[list]:
    rows = [list(row) for row in maze.walls]
    rows[maze.goal[0]][maze.goal[1]] = maps.GOAL
    return rows


def _jobs(scenario: str, behaviour: Behaviour, seed: int, episodes: int) -> list[_Job]:
    chunks = (range(first, min(first + EPISODES_A_JOB, episodes)) for first in range(0, episodes, EPISODES_A_JOB))
    return [_Job(scenario, behaviour, seed, chunk) for chunk in chunks]


def _run(jobs: list[_Job], workers: int) -> Iterator[list[Episode]]:
    if workers == 1:
        yield from map(_record, jobs)
        return
    try:
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
            yield from pool.map(_record, jobs)
    except BrokenProcessPool as error:
        raise MageError(
            "A worker process ended early; record with one worker (`workers=1`), or, in a script of your own, call "
            'this under `if __name__ == "__main__":`.'
        ) from error


def _progress(chunks: Iterable[list[Episode]], jobs: list[_Job], dataset_id: str) -> Iterator[list[Episode]]:
    """Passes the chunks on; a terminal sees a running count, a log file the first and the last line."""
    total, done, live = sum(len(job.episodes) for job in jobs), 0, sys.stderr.isatty()
    print(f"Recording {dataset_id}: {total} episodes", file=sys.stderr, end="" if live else "\n", flush=True)
    for chunk in chunks:
        done += len(chunk)
        if live:
            print(f"\rRecording {dataset_id}: {done} of {total} episodes", file=sys.stderr, end="", flush=True)
        yield chunk
    print(f"\rRecorded {dataset_id}: {done} episodes        ", file=sys.stderr, flush=True)


def _record(job: _Job) -> list[Episode]:
    environment = _environment(job.scenario)
    return [_rollout(job, environment, episode) for episode in job.episodes]


@cache
def _environment(scenario_name: str) -> gym.Env:
    return build(environment_spec(scenario_name), disable_env_checker=True)


def _rollout(job: _Job, environment: gym.Env, episode: int) -> Episode:
    """One episode over the full time limit; stepping the bare environment is the same, only faster."""
    bare: Any = environment.unwrapped
    maze = MAZES[job.scenario]
    stream = np.random.SeedSequence(job.seed, spawn_key=(_STREAM[job.behaviour], episode))
    rng, reset_seed = np.random.default_rng(stream), int(stream.generate_state(1)[0])
    observation, info = bare.reset(seed=reset_seed)
    goal = observation["desired_goal"]
    policy = _policy(job.behaviour, bare, maze, observation, rng)
    observations, successes, actions, rewards = [observation["observation"]], [info["success"]], [], []
    for _ in range(maze.max_episode_steps):
        action = np.clip(policy(observations[-1]), -1.0, 1.0).astype(np.float32)
        observation, reward, _, _, info = bare.step(action)
        observations.append(observation["observation"])
        successes.append(info["success"])
        actions.append(action)
        rewards.append(reward)
    return Episode(np.array(observations), goal, np.array(actions), np.array(rewards), np.array(successes), reset_seed)


def _policy(
    behaviour: Behaviour, bare: Any, maze: Maze, observation: dict[str, np.ndarray], rng: np.random.Generator
) -> Callable[[np.ndarray], Any]:
    """(x, y, vx, vy) -> action (2,), not clipped."""
    if behaviour == "random":
        return lambda _: rng.uniform(-1.0, 1.0, size=2)
    controller = WaypointController(maze.walls, bare.maze.cell_rowcol_to_xy)
    position = observation["observation"][:2]
    if behaviour == "straight":
        goal_x, goal_y = observation["desired_goal"].tolist()
        controller.start(position, maze.goal, (goal_x, goal_y))
        return lambda state: controller.act(state)[:2]
    cells = free_cells(maze.walls)
    controller.start(position, cells[rng.integers(len(cells))])

    def tour(state: np.ndarray) -> np.ndarray:
        force_x, force_y, reached = controller.act(state)
        if reached:
            controller.start(state[:2], cells[rng.integers(len(cells))])
        # The noise goes onto the clipped force, as in D4RL: it disturbs a saturated controller too.
        return np.clip((force_x, force_y), -1.0, 1.0) + ACTION_NOISE_STD * rng.standard_normal(2)

    return tour


def _mean_return(episodes: list[Episode]) -> float:
    return float(np.mean([episode.rewards.sum() for episode in episodes]))


def _write(dataset_id: str, scenario: str, seed: int, tour: list[Episode], reference: tuple[float, float]) -> None:
    mean, (low, high) = _mean_return(tour), reference
    description = (
        f"{len(tour)} episodes of {scenario}, recorded by MAGE on Ray with D4RL's maze2d recipe (seed {seed}; not the "
        f"published D4RL data): a PD controller tours random cells with action noise of standard deviation "
        f"{ACTION_NOISE_STD}, the reward counts steps at the environment's one goal. Mean return {mean:.2f}. Reference "
        f"scores measured in the same environment: random actions {low:.2f}, noiseless controller {high:.2f}."
    )
    write_dataset(dataset_id, map(_columns, tour), environment_spec(scenario), reference, description)


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
