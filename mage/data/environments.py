"""Rebuilds the environment that a dataset names for evaluation, from its specification alone."""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, SupportsFloat

import gymnasium as gym
import gymnasium_robotics
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.random.mtrand import get_bit_generator, set_bit_generator

from mage.data.known_issues import refuse_broken
from mage.data.observations import flatten_observation
from mage.data.trajectories import Task, Trajectories
from mage.errors import FOREIGN_ERRORS, MageError
from mage.scenarios import Scenario
from mage.words import reason_of

MAZE_GAME = "mage/MazeGame-v0"
GOAL_MAZE = "mage/OGBenchGoals-v0"
TRAINS_WITHOUT = "training needs no environment, evaluating the policy does"
SUCCESS = ("success", "is_success")
"""What environments call it in their info: Gymnasium-Robotics both, Stable-Baselines3 the second."""


_told: set[str] = set()


@contextmanager
def warned_once() -> Iterator[None]:
    """Inside, environments are made: what they warn of is told once a process, however many of them there are.

    The advice to upgrade an environment's version is not: a dataset pins the one it was recorded in.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("ignore", message=r".*The environment .* is out of date")
            yield
    finally:
        for warning in caught:
            if str(warning.message) not in _told:
                _told.add(str(warning.message))
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def register_environments() -> None:
    """Makes the Gymnasium-Robotics environments and our own known to gym.make; calling it again does nothing."""
    gym.register_envs(gymnasium_robotics)
    if MAZE_GAME not in gym.registry:
        gym.register(MAZE_GAME, "mage.data.maze_game.environment:MazeGame")
        gym.register(GOAL_MAZE, "mage.data.ogbench_goals:GoalMaze")


def registered_spec(scenario: Scenario, environment_id: str | None = None) -> EnvSpec:
    """The scenario's evaluation environment as the registry describes it, or another version of it."""
    register_environments()
    if scenario.domain == "ogbench":
        import_ogbench()
    spec = deepcopy(gym.spec(environment_id or scenario.environment))  # gym.spec hands out the registry's own
    spec.max_episode_steps = scenario.max_episode_steps
    spec.kwargs = spec.kwargs | dict(scenario.evaluation_arguments)
    return spec


def import_ogbench() -> ModuleType:
    """The optional package `ogbench`, which makes its environments known to gym.make; without it raises MageError."""
    try:
        return import_module("ogbench")
    except ImportError as error:
        raise MageError(
            f"OGBench's data and environments need the package ogbench ({error}); get it with "
            '`pip install "mage-rl[ogbench]"`.'
        ) from error


def build(spec: EnvSpec, **arguments: Any) -> gym.Env:
    """gym.make, without the advice to upgrade and without the file that a maze would leave behind.

    An episode of the environment is a function of the seed of its reset and of the actions alone.
    """
    of_ogbench = str(spec.entry_point).startswith("ogbench.")
    if of_ogbench:
        import_ogbench()
    with warned_once():  # Gymnasium's own checks would tell authors of environments what they cannot act on here
        environment = gym.make(spec, **{"disable_env_checker": True, **arguments})
    remove_maze_file(environment)
    return OwnRandomness(environment) if of_ogbench else environment


class OwnRandomness(gym.Wrapper):
    """Gives an environment that draws from numpy's global generator, as OGBench's do, one of its own in its place."""

    def __init__(self, environment: gym.Env) -> None:
        super().__init__(environment)
        self._generator = np.random.MT19937()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A seed makes the generator new, and that of the random actions with which OGBench's mazes begin."""
        if seed is not None:
            self._generator = np.random.MT19937(seed)
            self.unwrapped.action_space.seed(seed)
        with self._drawing_from_its_own():
            return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """The wrapped environment's step."""
        with self._drawing_from_its_own():
            return super().step(action)

    @contextmanager
    def _drawing_from_its_own(self) -> Iterator[None]:
        before = get_bit_generator()
        set_bit_generator(self._generator)
        try:
            yield
        finally:
            set_bit_generator(before)


def remove_maze_file(environment: gym.Env) -> None:
    """Deletes the model file that a maze writes to the temporary folder and never removes, whoever made the maze."""
    bare: Any = environment.unwrapped
    if hasattr(bare, "tmp_xml_file_path"):
        Path(bare.tmp_xml_file_path).unlink(missing_ok=True)
    elif type(bare).__module__.startswith("ogbench.locomaze"):
        Path(bare.fullpath).unlink(missing_ok=True)


def make_environment(task: Task, **arguments: Any) -> gym.Env:
    """The task's evaluation environment, with the dataset's own time limit and arguments.

    Args:
        arguments: that go over those, such as `render_mode`.
    """
    if not task.environment_spec:
        raise MageError(
            f"The dataset {task.dataset_id} names no environment, so a policy cannot be evaluated on it; "
            "record it with `env=` or `eval_env=` set."
        )
    register_environments()
    refuse_broken(environment_name(task.environment_spec))
    try:
        return build(EnvSpec.from_json(task.environment_spec), **arguments)
    except MageError:
        raise
    except (
        FOREIGN_ERRORS
    ) as error:  # of the environment's own code, such as a TypeError for an argument it does not know
        raise _unusable(task, "built", error) from error


def environment_name(specification: str) -> str:
    """The id in an EnvSpec as JSON, `none` without one."""
    try:
        return str(json.loads(specification)["id"]) if specification else "none"
    except (ValueError, TypeError, KeyError):
        return specification


def _unusable(task: Task, what: str, error: BaseException) -> MageError:
    name = environment_name(task.environment_spec)
    return MageError(f"The environment {name} of {task.dataset_id} cannot be {what} here: {reason_of(error)}")


def begin_episode(environment: gym.Env, seed: int, number: int) -> tuple[Any, dict[str, Any]]:
    """Resets an environment for the episode of that number; one of several tasks (`tasks_in_turn`) has them in turn."""
    tasks = getattr(environment.unwrapped, "tasks_in_turn", 0)
    return environment.reset(seed=seed, **({"options": {"task_id": number % tasks + 1}} if tasks else {}))


def success_of(info: Mapping[str, Any]) -> bool | None:
    """What a step's info says of success; of several entries, all count. None where it says nothing."""
    for name in SUCCESS:
        if info.get(name) is not None:
            return bool(np.all(np.asarray(info[name], bool)))
    return None


def shown_and_taken(environment: gym.Env, task: Task) -> tuple[int, int]:
    """How many values the environment shows as the task's flat observation, and how many an action of it has.

    Raises:
        MageError: it cannot be reset.
    """
    try:
        shown = len(flatten_observation(environment.reset(seed=0)[0], task.observation_keys))
    except FOREIGN_ERRORS as error:  # of the environment's own code
        raise _unusable(task, "reset", error) from error
    return shown, int(np.prod(environment.action_space.shape or ()))


def check_environment(trajectories: Trajectories) -> str | None:
    """Raises MageError if the evaluation environment is of other sizes than the data, which training would not notice.

    Returns:
        Why policies cannot be evaluated here, None where they can; elsewhere, perhaps, they can.
    """
    try:
        sizes = _sizes_here(trajectories.task)
    except MageError as error:
        return f"{error}; {TRAINS_WITHOUT}"
    _check_sizes(trajectories, sizes)
    return None


def check_evaluation(trajectories: Trajectories) -> None:
    """As `check_environment`, for who will evaluate here: MageError also where that is not possible."""
    _check_sizes(trajectories, _sizes_here(trajectories.task))


def _sizes_here(task: Task) -> tuple[int, int]:
    environment = make_environment(task)
    try:
        return shown_and_taken(environment, task)
    finally:
        with suppress(Exception):
            environment.close()


def _check_sizes(trajectories: Trajectories, sizes: tuple[int, int]) -> None:
    task, (shown, taken) = trajectories.task, sizes
    if (shown, taken) != (trajectories.observation_size, trajectories.action_size):
        name = environment_name(task.environment_spec)
        raise MageError(
            f"The evaluation environment {name} shows {shown} values and takes {taken}, the dataset {task.dataset_id} "
            f"has {trajectories.observation_size} and {trajectories.action_size}; it is data of another environment."
        )
