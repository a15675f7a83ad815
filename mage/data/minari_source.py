"""Loads a Minari dataset as flat trajectories: the published one, a local copy, the built-in one, or the user's own."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from gymnasium import spaces
from minari import MinariDataset
from minari.storage import get_dataset_path

from mage import scenarios
from mage.data import maze2d
from mage.data.environments import outdated_versions_are_fine, register_environments, remove_maze_file
from mage.data.minari_writer import dataset_is_local
from mage.data.observations import flatten_observations, observation_keys
from mage.data.trajectories import Task, Trajectories, fingerprint
from mage.errors import MageError
from mage.scenarios import Scenario

# For a dataset that no scenario describes.
DEFAULT_DISCOUNT = 0.99
DEFAULT_TARGET_RETURN_QUANTILE = 0.9
# The Farama server's namespaces with continuous control; anything else is looked for on this machine only.
PUBLISHED_NAMESPACES = ("D4RL", "mujoco")


def load_trajectories(
    scenario: Scenario | None, dataset_id: str | None = None, namespace: str | None = None, download: bool = True
) -> Trajectories:
    """Every episode of the dataset that the arguments resolve to.

    An explicit dataset_id wins; then the scenario's copy in a local namespace; then the published dataset if it is on
    this machine; then the built-in one, recorded now if it is absent; last, the published one is downloaded. With
    download=False nothing is recorded or downloaded. A dataset that is missing, unreadable or of an unsupported
    kind raises MageError.
    """
    resolved = resolve_dataset_id(scenario, dataset_id, namespace)
    if not dataset_is_local(resolved):
        _obtain(resolved, download)
    with _reading(resolved):
        return _flatten(minari.load_dataset(resolved), scenario)


def resolve_dataset_id(scenario: Scenario | None, dataset_id: str | None = None, namespace: str | None = None) -> str:
    """The id that load_trajectories reads; it need not be on this machine yet."""
    if dataset_id:
        return dataset_id
    if scenario is None:
        raise MageError("Neither a scenario nor a dataset id is given; name one of them.")
    if namespace:
        return scenarios.local_dataset_id(scenario, namespace)
    if dataset_is_local(scenario.dataset_id) or not scenario.builtin_dataset_id:
        return scenario.dataset_id
    return scenario.builtin_dataset_id


def _obtain(dataset_id: str, download: bool) -> None:
    """Records or downloads the dataset; raises MageError with the command that would, if it may not or cannot."""
    builtin = maze2d.scenario_of(dataset_id)
    if builtin:
        if not download:
            raise MageError(f"The dataset {dataset_id} is not here yet; get it with `mage data collect {builtin}`.")
        maze2d.collect(builtin)
    elif dataset_id.split("/")[0] not in PUBLISHED_NAMESPACES:
        raise MageError(
            f"The dataset {dataset_id} is not in {get_dataset_path()}; build it there, or point MINARI_DATASETS_PATH "
            "at the folder that has it."
        )
    elif not download:
        raise MageError(f"The dataset {dataset_id} is not here yet; get it with `minari download {dataset_id}`.")
    else:
        _download(dataset_id)


def _download(dataset_id: str) -> None:
    with suppress(ImportError):  # its retries would bury the one line that we have to say
        from huggingface_hub.utils import logging

        logging.set_verbosity_error()
    try:
        minari.download_dataset(dataset_id)
    except Exception as error:  # the hosting back ends share no base class: ImportError, ValueError, HTTP errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MageError(
            f"The dataset {dataset_id} is not here and could not be downloaded ({reason}); "
            f"get it with `minari download {dataset_id}` where there is a network."
        ) from error


@contextmanager
def _reading(dataset_id: str) -> Iterator[None]:
    """Turns the errors of a damaged or unreadable dataset into a MageError that names it."""
    register_environments()
    try:
        with outdated_versions_are_fine():
            yield
    except (OSError, ValueError, KeyError, AssertionError, gym.error.Error) as error:
        raise MageError(
            f"The dataset {dataset_id} at {get_dataset_path(dataset_id)} cannot be read ({error}); get it again."
        ) from error


def _flatten(dataset: MinariDataset, scenario: Scenario | None) -> Trajectories:
    keys = observation_keys(dataset.observation_space)
    action_low, action_high = _action_bounds(dataset)
    arrays = _read_episodes(dataset)
    task = Task(
        scenario=scenario.name if scenario else dataset.id,
        dataset_id=dataset.id,
        fingerprint=fingerprint(*arrays.values()),
        environment_spec=_environment_spec(dataset),
        reference_scores=_reference_scores(dataset, scenario),
        discount=scenario.discount if scenario else DEFAULT_DISCOUNT,
        target_return_quantile=scenario.target_return_quantile if scenario else DEFAULT_TARGET_RETURN_QUANTILE,
        observation_keys=keys,
        action_low=action_low,
        action_high=action_high,
    )
    return Trajectories(**arrays, task=task)


def _read_episodes(dataset: MinariDataset) -> dict[str, np.ndarray]:
    observations, actions, rewards, terminations, lengths = [], [], [], [], []
    for episode in dataset.iterate_episodes():
        steps = len(episode.rewards)
        observations.append(flatten_observations(episode.observations)[:steps])
        actions.append(np.asarray(episode.actions, dtype=np.float32).reshape(steps, -1))
        rewards.append(np.asarray(episode.rewards, dtype=np.float32))
        terminations.append(bool(np.any(episode.terminations)))
        lengths.append(steps)
    if not lengths:
        raise MageError(f"The dataset {dataset.id} has no episodes; it needs at least one.")
    return {
        "observations": np.concatenate(observations),
        "actions": np.concatenate(actions),
        "rewards": np.concatenate(rewards),
        "terminations": np.array(terminations),
        "episode_starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    }


def _action_bounds(dataset: MinariDataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    space = dataset.action_space
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise MageError(
            f"The action space {space} of the dataset {dataset.id} is not supported; it has to be a Box with one axis "
            "(continuous actions)."
        )
    return tuple(map(float, space.low)), tuple(map(float, space.high))


def _environment_spec(dataset: MinariDataset) -> str:
    """The evaluation environment as EnvSpec JSON, "" where the dataset names none."""
    metadata: dict[str, Any] = dataset.storage.metadata
    if not (metadata.get("eval_env_spec") or metadata.get("env_spec")):
        return ""
    try:
        environment = dataset.recover_environment(eval_env=True)
    except (gym.error.Error, ImportError, ValueError) as error:
        raise MageError(f"The environment of the dataset {dataset.id} cannot be built here: {error}") from error
    remove_maze_file(environment)
    assert environment.spec is not None
    specification = environment.spec.to_json()
    environment.close()
    return specification


def _reference_scores(dataset: MinariDataset, scenario: Scenario | None) -> tuple[float, float] | None:
    """The returns that score 0 and 100: the dataset's own, else the registry's."""
    metadata = dataset.storage.metadata
    low, high = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    if low is None or high is None:
        return scenario.reference_scores if scenario else None
    low, high = float(low), float(high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise MageError(
            f"The reference scores of the dataset {dataset.id} are {low} and {high}; the second must be larger."
        )
    return low, high
