"""Records the built-in pointmaze-giant-navigate data: OGBench's `navigate` recipe, in OGBench's own environment.

A point walks to random goals along shortest paths of cells, with Gaussian action noise, and takes a new goal when it is
there. The reward is that of the single task which the policy is evaluated on, plus 1: 1 at its goal and 0 elsewhere;
where a walk comes by that goal it is cut into episodes, both like OGBench's published data as we read it. Every walk is
a function of (seed, walk) alone.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from mage import scenarios
from mage.data.environments import build, import_ogbench, registered_spec
from mage.data.maze_controller import Cell, free_cells
from mage.data.minari_writer import write_dataset
from mage.data.ogbench_source import GOAL_PAYS, episode_spans
from mage.data.recording import Job, Recorded, Recorder

SCENARIO = "pointmaze-giant-navigate-v0"
WALK_STEPS = 2000
ACTION_NOISE_STD = 0.5
POSITION_NOISE = 1.0  # both ways, of starts and goals in their cells, which are 4 wide
REACHED = 1.0  # distance to the goal

_STREAM = {"navigate": 0, "straight": 1, "random": 2}


class Walk(NamedTuple):
    """observations (T + 1, 2), actions (T, 2) float32, rewards (T,), successes (T + 1,) bool: which are at the goal."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    successes: np.ndarray


def environment_spec() -> EnvSpec:
    """The evaluation environment, but it goes on at the goal, and longer."""
    spec = registered_spec(scenarios.get(SCENARIO))
    spec.max_episode_steps = WALK_STEPS
    spec.kwargs["terminate_at_goal"] = False
    return spec


def play(job: Job) -> list[Walk]:
    """The walks of a job."""
    environment = _environment()
    return [_walk(job, environment.unwrapped, number) for number in job.episodes]


def cut(walk: Walk) -> Iterator[Walk]:
    """Its stretches away from the task's goal, each with the first step at the goal that follows it."""
    is_last = np.arange(len(walk.successes)) == len(walk.actions)
    for first, end in episode_spans(is_last, walk.successes - 1.0):
        yield Walk(
            walk.observations[first : end + 1],
            walk.actions[first:end],
            walk.rewards[first:end],
            walk.successes[first : end + 1],
        )


@cache
def _environment() -> gym.Env:
    return build(environment_spec(), disable_env_checker=True)


def _walk(job: Job, bare: Any, number: int) -> Walk:
    """One walk; those of the references start and end as in the evaluation."""
    stream = np.random.SeedSequence(job.seed, spawn_key=(_STREAM[job.behaviour], number))
    rng = np.random.default_rng(stream)
    bare.reset(seed=int(stream.generate_state(1)[0]))
    evaluation, cells = job.behaviour != "navigate", free_cells(bare.maze_map)
    start = bare.cur_task_info["init_ij"] if evaluation else cells[rng.integers(len(cells))]
    # The start that the bare reset draws comes from numpy's global generator, which our seed does not reach.
    bare.set_xy(_somewhere_in(start, bare, rng))
    act = policy(job.behaviour, bare, rng)
    observations, successes, actions, rewards = [bare.get_ob()], [], [], []
    for _ in range(scenarios.get(SCENARIO).max_episode_steps if evaluation else WALK_STEPS):
        action = np.clip(act(observations[-1]), -1.0, 1.0).astype(np.float32)
        observation, reward, _, _, info = bare.step(action)
        observations.append(observation)
        successes.append(bool(info["success"]))  # of the position before the step, like the reward
        actions.append(action)
        rewards.append(reward + GOAL_PAYS)
        if evaluation and successes[-1]:
            break
    successes.append(bare.compute_success())
    return Walk(np.array(observations), np.array(actions), np.array(rewards), np.array(successes))


def policy(behaviour: str, bare: Any, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Position (2,) -> action (2,), not clipped."""
    if behaviour == "random":
        return lambda _: rng.uniform(-1.0, 1.0, size=2)
    if behaviour == "straight":
        return lambda position: _direction(position, bare.cur_task_info["goal_ij"], bare)
    destinations = _destinations(bare.maze_map)
    cell = destinations[rng.integers(len(destinations))]
    goal = _somewhere_in(cell, bare, rng)

    def navigate(position: np.ndarray) -> np.ndarray:
        nonlocal cell, goal
        if np.linalg.norm(position - goal) <= REACHED:
            cell = destinations[rng.integers(len(destinations))]
            goal = _somewhere_in(cell, bare, rng)
        return _direction(position, cell, bare) + ACTION_NOISE_STD * rng.standard_normal(2)

    return navigate


def _destinations(walls: np.ndarray) -> list[Cell]:
    """The free cells but those inside a straight corridor."""

    def in_corridor(i: int, j: int) -> bool:
        return {(walls[i - 1, j], walls[i + 1, j]), (walls[i, j - 1], walls[i, j + 1])} == {(0, 0), (1, 1)}

    return [cell for cell in free_cells(walls.tolist()) if not in_corridor(*cell)]


def _somewhere_in(cell: Cell, bare: Any, rng: np.random.Generator) -> np.ndarray:
    return np.array(bare.ij_to_xy(cell)) + rng.uniform(-POSITION_NOISE, POSITION_NOISE, size=2)


def _direction(position: np.ndarray, goal: Cell, bare: Any) -> np.ndarray:
    """Of length 1, to the centre of the next cell on the way."""
    way = _next_centre(bare.xy_to_ij(position), goal) - position
    return way / (np.linalg.norm(way) + 1e-6)


@cache
def _next_centre(cell: Cell, goal: Cell) -> np.ndarray:
    """The environment's own oracle, which searches the whole maze at every call."""
    bare: Any = _environment().unwrapped
    return bare.get_oracle_subgoal(bare.ij_to_xy(cell), bare.ij_to_xy(goal))[0]


def _write(recorded: Recorded[Walk]) -> None:
    walks, seed, episodes, returns = recorded.played, recorded.seed, recorded.episodes, recorded.returns
    reached = sum(bool(episode.successes[-2]) for episode in episodes)
    description = (
        f"{walks} walks of {WALK_STEPS} steps for {SCENARIO}, recorded by MAGE on Ray with OGBench's recipe (seed "
        f"{seed}; not the published OGBench data): a point walks to random goals with action noise of standard "
        f"deviation {ACTION_NOISE_STD}. The reward is that of the default single task plus 1, and walks are cut where "
        f"they reach its goal, as {reached} of {len(episodes)} episodes do. Mean return {returns.data:.2f}. In the "
        f"evaluation environment random actions return {returns.random:.2f}, the noiseless walk to the goal "
        f"{returns.controller:.2f}."
    )
    write_dataset(
        recorded.dataset_id,
        map(_columns, episodes),
        environment_spec(),
        reference_scores=None,  # the scenario's score is the success rate
        description=description,
        evaluation_environment=registered_spec(scenarios.get(SCENARIO)),
        algorithm="mage.data.ogbench_pointmaze",
        metadata=returns.metadata() | {"data_mean_score": 100.0 * reached / len(episodes)},
    )


def _columns(episode: Walk) -> dict:
    steps, reached = len(episode.actions), bool(episode.successes[-2])
    is_last = np.arange(steps) == steps - 1
    return {
        "observations": episode.observations,
        "actions": episode.actions,
        "rewards": episode.rewards,
        "terminations": is_last & reached,
        "truncations": is_last & (not reached),
        "infos": {"success": episode.successes},
    }


RECORDER = Recorder("navigate", "straight", play, _write, cut, require=import_ogbench)
"""What is measured beside the data are evaluation episodes: random actions, the noiseless walk to the task's goal."""
