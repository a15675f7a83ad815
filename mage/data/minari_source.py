"""Reads one Minari dataset as flat arrays, with what its metadata says of its environment and its scores."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import minari
import numpy as np
from gymnasium import spaces
from minari import MinariDataset
from minari.storage import get_dataset_path
from packaging.version import InvalidVersion, Version

from mage.data.environments import register_environments, remove_maze_file, warned_once
from mage.data.observations import flatten_observations, less_offset, observation_keys
from mage.data.precision import Precision
from mage.data.trajectories import fingerprint
from mage.errors import FOREIGN_ERRORS, MageError

READER_VERSION = 2
"""To be raised with every change of what a dataset is read as; arrays cached by another version are made again."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """One dataset. `arrays` are those of `Trajectories`, by name; environment_spec is EnvSpec JSON or "".

    reference_scores are the dataset's own returns that score 0 and 100, None where it stores none; notes are what who
    trains on it should know; observation_offset is what was subtracted from the observations, () for nothing.
    """

    dataset_id: str
    arrays: dict[str, np.ndarray]
    fingerprint: str
    environment_spec: str
    reference_scores: tuple[float, float] | None
    observation_keys: tuple[str, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    notes: tuple[str, ...] = ()
    observation_offset: tuple[float, ...] = ()


def read_dataset(dataset_id: str) -> Dataset:
    """Every episode of a dataset that is on this machine; an unreadable or unsupported one raises MageError."""
    with reading(dataset_id):
        dataset = minari.load_dataset(dataset_id)
        action_low, action_high = action_bounds(dataset)
        keys, arrays, notes, offset = _read_episodes(dataset)
        return Dataset(
            dataset_id=dataset.id,
            arrays=arrays,
            fingerprint=fingerprint(*arrays.values()),
            environment_spec=_environment_spec(dataset),
            reference_scores=_reference_scores(dataset),
            observation_keys=keys,
            action_low=action_low,
            action_high=action_high,
            notes=notes,
            observation_offset=offset,
        )


@contextmanager
def reading(dataset_id: str) -> Iterator[None]:
    """Turns the errors of a damaged or unreadable dataset into a MageError that names it."""
    register_environments()
    try:
        # what overflows float32 becomes infinite, and is told as that
        with warned_once(), np.errstate(over="ignore"):
            yield
    except MageError:
        raise
    except Exception as error:  # damage surfaces as whatever h5py, json, Minari or Gymnasium stumble over first
        _refuse_newer(dataset_id)
        reason = str(error) or type(error).__name__
        raise MageError(
            f"The dataset {dataset_id} at {get_dataset_path(dataset_id)} cannot be read ({reason}); get it again."
        ) from error


def _refuse_newer(dataset_id: str) -> None:
    """MageError where the dataset is of a newer Minari than the one here, which explains what cannot be read."""
    try:
        metadata = json.loads((get_dataset_path(dataset_id) / "data" / "metadata.json").read_text())
        wrote = Version(str(metadata["minari_version"]))
    except (OSError, ValueError, TypeError, KeyError, InvalidVersion):
        return
    if wrote > Version(minari.__version__):
        raise MageError(
            f"The dataset {dataset_id} was recorded by Minari {wrote}, and this one is {minari.__version__}; "
            "`pip install --upgrade minari`, or record it with this one."
        )


def _read_episodes(
    dataset: MinariDataset,
) -> tuple[tuple[str, ...], dict[str, np.ndarray], tuple[str, ...], tuple[float, ...]]:
    """The observation keys, the arrays of `Trajectories`, notes, and the offset of the observations."""
    keys: tuple[str, ...] | None = None
    observations: list[np.ndarray] = []
    actions: list[np.ndarray] = []
    rewards, terminations, lengths, early = [], [], [], []
    seen_as, paid_as = Precision("observation values"), Precision("reward values")
    for number, episode in enumerate(dataset.iterate_episodes()):
        steps = len(episode.rewards)
        if steps == 0:
            raise MageError(f"Episode {number} of the dataset {dataset.id} has no steps; remove it from the dataset.")
        if keys is None:
            keys = observation_keys(dataset.observation_space, episode.observations)
        seen = flatten_observations(episode.observations, keys)
        flags = {"terminations": episode.terminations, "truncations": episode.truncations}
        parts = {"actions": (episode.actions, steps), "observations": (seen, steps + 1)}
        for name, (part, expected) in (parts | {name: (flag, steps) for name, flag in flags.items()}).items():
            if len(part) != expected:
                raise MageError(
                    f"Episode {number} of the dataset {dataset.id} has {steps} rewards and {len(part)} {name}, not "
                    f"{expected}; repair it or remove it from the dataset."
                )
        acted = np.asarray(episode.actions, dtype=np.float32).reshape(steps, -1)
        _check_widths(number, dataset.id, {"observations": (seen, observations), "actions": (acted, actions)})
        observations.append(seen[:steps])
        seen_as.see(flatten_observations(episode.observations, keys, np.float64)[:steps])
        actions.append(acted)
        rewards.append(_one_a_step(np.asarray(episode.rewards, dtype=np.float32), number, dataset.id))
        paid_as.see(np.asarray(episode.rewards, dtype=np.float64).reshape(steps, 1))
        if any(np.any(np.asarray(flag)[:-1]) for flag in flags.values()):
            early.append(number)
        terminations.append(bool(np.any(episode.terminations)))
        lengths.append(steps)
    if keys is None:
        raise MageError(f"The dataset {dataset.id} has no episodes; it needs at least one.")
    arrays = {
        "observations": np.concatenate(observations),
        "actions": np.concatenate(actions),
        "rewards": np.concatenate(rewards),
        "terminations": np.array(terminations),
        "episode_starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    }
    shifted, offset = _near_zero(dataset, keys, arrays["observations"], seen_as.offset())
    arrays["observations"] = shifted
    notes = (() if offset else seen_as.notes(dataset.id)) + paid_as.notes(dataset.id)
    if early:
        notes += (
            f"{len(early)} episodes of {dataset.id} go on after a step that is marked as their last, by a terminal "
            f"state or a time limit; the first is episode {early[0]}: "
            "returns-to-go are summed across it; if an automatic reset lies there, record each episode on its own",
        )
    return keys, arrays, notes, offset


def _near_zero(
    dataset: MinariDataset, keys: tuple[str, ...], observations: np.ndarray, offset: np.ndarray | None
) -> tuple[np.ndarray, tuple[float, ...]]:
    """The observations less the offset, and the offset; they as they are and () where that brings nothing to light."""
    if offset is None:
        return observations, ()
    again = np.concatenate(
        [
            less_offset(flatten_observations(episode.observations, keys, np.float64), offset)[: len(episode.rewards)]
            for episode in dataset.iterate_episodes()
        ]
    )
    if np.array_equal(again, less_offset(observations, offset)):  # recorded in single precision: it is lost there
        return observations, ()
    return again, tuple(offset.tolist())


def _check_widths(number: int, dataset_id: str, parts: Mapping[str, tuple[np.ndarray, Sequence[np.ndarray]]]) -> None:
    """MageError where an episode has more or fewer values a step than the first one; parts are (it, all before)."""
    for name, (part, before) in parts.items():
        if before and part.shape[1] != before[0].shape[1]:
            raise MageError(
                f"The {name} of episode {number} of the dataset {dataset_id} have {part.shape[1]} values a step, those "
                f"of episode 0 {before[0].shape[1]}; repair it or remove it from the dataset."
            )


def _one_a_step(rewards: np.ndarray, number: int, dataset_id: str) -> np.ndarray:
    """Rewards (T,), also of those that are stored as (T, 1)."""
    if rewards.size != len(rewards):
        raise MageError(
            f"The rewards of episode {number} of the dataset {dataset_id} have shape {rewards.shape}; a step has one "
            "reward: record their sum, or the one that counts."
        )
    return rewards.reshape(-1)


def action_bounds(dataset: MinariDataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
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
    except FOREIGN_ERRORS:  # of the environment's own code, or its package is not here: who evaluates in it hears of it
        return str(metadata.get("eval_env_spec") or metadata.get("env_spec"))
    remove_maze_file(environment)
    assert environment.spec is not None
    specification = environment.spec.to_json()
    environment.close()
    return specification


def _reference_scores(dataset: MinariDataset) -> tuple[float, float] | None:
    metadata = dataset.storage.metadata
    low, high = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    if low is None or high is None:
        return None
    low, high = float(low), float(high)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise MageError(
            f"The reference scores of the dataset {dataset.id} are {low} and {high}; the second must be larger."
        )
    return low, high
