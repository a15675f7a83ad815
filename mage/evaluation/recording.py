"""What was played, so that anyone can play it again: of each episode the seed of its environment and its actions.

A recording lies beside its table of episodes: `episodes.npz` beside `episodes.parquet`. It is a compressed npz without
pickle, of a few arrays and a text, JSON: whose episodes they are, in which task, and the versions that they were
played with. The scores stay in the table; `mage.evaluation.verify` asks whether they are what the actions bring.

Shape suffixes: E episodes, T steps of all of them, A action size.
"""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from gymnasium.envs.registration import EnvSpec

from mage import __version__
from mage.data.environments import GOAL_MAZE
from mage.data.trajectories import Task
from mage.errors import MageError
from mage.files import replacing
from mage.results import write_parquet

RECORDING_VERSION = 1
SUFFIX = ".npz"
OURS = __name__.partition(".")[0]
SIMULATION = ("mujoco", "gymnasium", "gymnasium-robotics", "numpy")
"""Packages that every episode may depend on; its environment's own comes on top."""


@dataclass(frozen=True, eq=False)
class Recording:
    """Episodes of one configuration, of one training seed or several.

    Attributes:
        of: `scenario`, `algorithm`, `config_hash` and `dataset_id`, as in the rows of the table.
        task: names the environment and its reference scores.
        versions: as from `simulation_versions`.
        environment_seed: (E,), that each episode's environment was reset with.
        length: (E,), in steps.
        actions: (T, A) float32, episode after episode, as the environment was given them.
    """

    of: Mapping[str, str]
    task: Task
    versions: Mapping[str, str]
    training_seed: np.ndarray
    episode: np.ndarray
    environment_seed: np.ndarray
    length: np.ndarray
    actions: np.ndarray

    def __iter__(self) -> Iterator[tuple[int, int, int, np.ndarray]]:
        """Training seed, episode, environment seed and actions (length, A) of each episode."""
        ends = np.cumsum(self.length)
        for number, end in enumerate(ends):
            training_seed, episode = int(self.training_seed[number]), int(self.episode[number])
            actions = self.actions[end - self.length[number] : end]
            yield training_seed, episode, int(self.environment_seed[number]), actions

    def write(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        described = {
            "format_version": RECORDING_VERSION,
            "of": dict(self.of),
            "task": self.task.model_dump(mode="json"),
            "versions": dict(self.versions),
        }
        arrays = {name: getattr(self, name) for name in ARRAYS}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, described=np.array(json.dumps(described)), **arrays)


ARRAYS = tuple(field.name for field in fields(Recording) if field.type == "np.ndarray")


def make_recording(of: Mapping[str, str], task: Task, played: Sequence[Mapping[str, Any]]) -> Recording:
    """The recording of episodes: their rows, with `training_seed`, `episode`, `environment_seed` and `actions`."""
    numbers = {name: np.array([row[name] for row in played], np.int64) for name in ARRAYS if name not in NOT_NUMBERS}
    actions = [row["actions"] for row in played]
    lengths = np.array([len(own) for own in actions], np.int64)
    versions = simulation_versions(task.environment_spec)
    return Recording(of, task, versions, **numbers, length=lengths, actions=np.concatenate(actions))


NOT_NUMBERS = ("length", "actions")


def read_recording(content: bytes, path: object) -> Recording:
    """What `Recording.write` wrote.

    Args:
        path: where it was, for messages.

    Raises:
        MageError: it is damaged, or of another version.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            described = dict(json.loads(str(file["described"])))
            if described["format_version"] != RECORDING_VERSION:
                raise MageError(f"{path} is of another version of mage; use the mage that wrote it")
            task, of, versions = Task.model_validate(described["task"]), described["of"], described["versions"]
            recording = Recording(of, task, versions, **{name: file[name] for name in ARRAYS})
    except MageError:
        raise
    except Exception as error:  # zipfile's and zlib's, numpy's, JSON's and pydantic's own
        raise MageError(f"{path} is damaged; play the episodes again by `mage evaluate`") from error
    if recording.length.sum() != len(recording.actions):
        raise MageError(f"{path} is damaged: it has other actions than its episodes have steps")
    return recording


def write_episodes(path: Path, table: pd.DataFrame, recording: Recording | None = None) -> None:
    """Writes a table of episodes and, beside it, what was played; the table last, for it says that all is done.

    Without a recording none is left there, which would be of other episodes.
    """
    beside = path.with_suffix(SUFFIX)
    if recording is not None:
        recording.write(beside)
    else:
        beside.unlink(missing_ok=True)
    write_parquet(table, path)


def environment_version(environment_spec: str) -> str:
    """The environment's own package with its version, such as `ogbench 1.2.2`; of several, all."""
    own = {name: _version(name) for name in sorted(_own_packages(environment_spec))}
    return ", ".join(f"{name} {known}" for name, known in own.items() if known)


def simulation_versions(environment_spec: str) -> dict[str, str]:
    """What decides, with a seed and actions, what happens in an environment: packages, and the kind of machine."""
    found = {name: _version(name) for name in sorted({*SIMULATION, *_own_packages(environment_spec)})}
    return {name: known for name, known in found.items() if known} | {"machine": platform.machine()}


def _own_packages(environment_spec: str) -> list[str]:
    """The installed packages that an environment is of; our goal mazes are OGBench's."""
    spec = EnvSpec.from_json(environment_spec)
    return ["ogbench"] if spec.id == GOAL_MAZE else _distributions(str(spec.entry_point).split(":")[0].split(".")[0])


@cache
def _distributions(module: str) -> list[str]:
    """The installed packages that a top-level module is of; ours may stand in a folder that is none."""
    return [module] if module == OURS else packages_distributions().get(module, [])


def _version(name: str) -> str | None:
    if name == OURS:
        return __version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None
