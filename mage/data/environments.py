"""Rebuilds the environment that a dataset names for evaluation, from its specification alone."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium as gym
import gymnasium_robotics
from gymnasium.envs.registration import EnvSpec

from mage.data.known_issues import refuse_broken
from mage.data.trajectories import Task
from mage.errors import MageError
from mage.scenarios import Scenario

MAZE_GAME = "mage/MazeGame-v0"


@contextmanager
def outdated_versions_are_fine() -> Iterator[None]:
    """Silences the advice to upgrade an environment's version: a dataset pins the one it was recorded in."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*The environment .* is out of date")
        yield


def register_environments() -> None:
    """Makes the Gymnasium-Robotics environments and our own known to gym.make; calling it again does nothing."""
    gym.register_envs(gymnasium_robotics)
    if MAZE_GAME not in gym.registry:
        gym.register(MAZE_GAME, "mage.data.maze_game.environment:MazeGame")


def registered_spec(scenario: Scenario) -> EnvSpec:
    """The scenario's evaluation environment as the registry describes it."""
    register_environments()
    spec = deepcopy(gym.spec(scenario.environment))  # gym.spec hands out the registry's own
    spec.max_episode_steps = scenario.max_episode_steps
    spec.kwargs = spec.kwargs | dict(scenario.evaluation_arguments)
    return spec


def build(spec: EnvSpec, **arguments: Any) -> gym.Env:
    """gym.make, without the advice to upgrade and without the file that a maze would leave behind."""
    with outdated_versions_are_fine():
        environment = gym.make(spec, **arguments)
    remove_maze_file(environment)
    return environment


def remove_maze_file(environment: gym.Env) -> None:
    """Deletes the model file that every Gymnasium-Robotics maze writes to the temporary folder and never removes."""
    path = getattr(environment.unwrapped, "tmp_xml_file_path", None)
    if path:
        Path(path).unlink(missing_ok=True)


def make_environment(task: Task) -> gym.Env:
    """The task's evaluation environment, with the dataset's own time limit and arguments."""
    if not task.environment_spec:
        raise MageError(
            f"The dataset {task.dataset_id} names no environment, so a policy cannot be evaluated on it; "
            "record it with `env=` or `eval_env=` set."
        )
    register_environments()
    spec = EnvSpec.from_json(task.environment_spec)
    refuse_broken(spec.id)
    try:
        return build(spec)
    except (gym.error.Error, ImportError) as error:
        raise MageError(f"The environment {spec.id} of {task.dataset_id} cannot be built here: {error}") from error
