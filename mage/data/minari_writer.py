"""Writes a Minari dataset so that it is there as a whole or not at all."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import minari
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_dataset import parse_dataset_id
from minari.namespace import NAMESPACE_METADATA_FILENAME
from minari.storage import get_dataset_path

from mage.errors import MageError

_SPARE_BYTES = 2**20
_BYTES_AN_EPISODE = 15_000  # that HDF5 takes for itself, measured
_BYTES_AN_ARRAY = 4_000  # the same, of one that may be nested


def dataset_is_local(dataset_id: str) -> bool:
    """Whether the dataset is in MINARI_DATASETS_PATH (or Minari's default folder), which is made if it is not there."""
    try:
        return (get_dataset_path(dataset_id) / "data" / "metadata.json").is_file()
    except OSError as error:
        raise MageError(
            f"The folder of the datasets, {_root_in_words()}, cannot be used ({error.strerror}); point "
            "MINARI_DATASETS_PATH at another one."
        ) from error


def write_dataset(
    dataset_id: str,
    episodes: Iterable[dict],
    environment: EnvSpec | None,
    reference_scores: tuple[float, float] | None,
    description: str,
    evaluation_environment: EnvSpec | None = None,
    algorithm: str = "mage.data.maze2d",
    metadata: dict[str, float] | None = None,
    box_spaces: tuple[spaces.Box, spaces.Box] | None = None,
) -> None:
    """Writes episodes (keyword arguments of minari's EpisodeBuffer) under a hidden folder, then moves them into place.

    If another process has written the same dataset meanwhile, that one stays. A folder that cannot be written to, or
    whose disk has too little room, raises MageError: before the writing, since HDF5 may crash on a disk that is full.

    Args:
        dataset_id: of the dataset.
        episodes: what is written.
        environment: that the episodes were recorded in; None leaves the dataset without one, and asks for box_spaces.
        reference_scores: returns that score 0 and 100, where a return is scored.
        description: for `minari show`.
        evaluation_environment: where it is not the one they were recorded in.
        algorithm: who recorded them.
        metadata: further entries of the dataset's metadata, such as measured returns.
        box_spaces: of observations and actions, where they are not the environment's.
    """
    observation_space, action_space = box_spaces or (None, None)
    buffers = [EpisodeBuffer(**episode) for episode in episodes]
    with writing(dataset_id) as root, tempfile.TemporaryDirectory(prefix=".recording-", dir=root) as staging:
        check_free_space(root, sum(map(stored_bytes, buffers)), dataset_id)
        with datasets_path(staging), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`(code_permalink|author|author_email|eval_env)` is set to None")
            warnings.filterwarnings("ignore", message="env_spec is None")
            dataset = minari.create_dataset_from_buffers(
                dataset_id,
                buffers,
                env=environment,
                eval_env=evaluation_environment or environment,
                algorithm_name=algorithm,
                observation_space=observation_space,
                action_space=action_space,
                ref_min_score=reference_scores[0] if reference_scores else None,
                ref_max_score=reference_scores[1] if reference_scores else None,
                description=description,
            )
            dataset.storage.update_metadata(metadata or {})
        move_into_place(Path(staging), root, dataset_id)


def check_new(dataset_id: str) -> None:
    """Raises MageError for an id that Minari does not take, and for a dataset that is already there."""
    try:
        parse_dataset_id(dataset_id)
    except (TypeError, ValueError) as error:  # TypeError: it has no version
        raise MageError(f"{dataset_id} cannot be a dataset's id; it needs a form such as me/mine-v0.") from error
    if dataset_is_local(dataset_id):
        raise MageError(f"The dataset {dataset_id} is already here; `minari delete {dataset_id}` makes room for it.")


@contextmanager
def writing(dataset_id: str) -> Iterator[Path]:
    """Yields Minari's folder, and turns the errors of one that cannot be written to into a MageError."""
    try:
        yield get_dataset_path()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise MageError(
            f"The dataset {dataset_id} cannot be written to {_root_in_words()} ({reason}); make room there, or point "
            "MINARI_DATASETS_PATH at another folder."
        ) from error


def _root_in_words() -> str:
    return os.environ.get("MINARI_DATASETS_PATH") or "~/.minari/datasets"


def check_free_space(folder: Path, needed: int, dataset_id: str) -> None:
    """Raises MageError unless the disk of the folder has room for so many bytes more."""
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise MageError(
            f"The dataset {dataset_id} takes {needed / 1e6:.1f} MB, and {folder} has {free / 1e6:.1f} MB free; make "
            "room there, or point MINARI_DATASETS_PATH at another disk."
        )


def stored_bytes(buffer: EpisodeBuffer) -> int:
    """What an episode takes on the disk, at most."""
    parts = (buffer.observations, buffer.actions, buffer.rewards, buffer.terminations, buffer.truncations, buffer.infos)
    return sum(array.nbytes + _BYTES_AN_ARRAY for part in parts for array in _arrays(part))


def _arrays(part: Any) -> Iterator[np.ndarray]:
    if isinstance(part, dict):
        for inner in part.values():
            yield from _arrays(inner)
    elif part is not None:
        yield np.asarray(part)


def check_room(dataset_id: str, rows: int, width: int, episodes: int = 1) -> None:
    """Raises MageError unless there is room for so many steps, each of so many observation and action values."""
    with writing(dataset_id) as root:
        check_free_space(root, rows * (4 * (width + 1) + 2) + episodes * _BYTES_AN_EPISODE, dataset_id)


def move_into_place(staging: Path, root: Path, dataset_id: str) -> None:
    """Moves a finished dataset from one Minari folder to another; one that is there meanwhile stays."""
    final = root / dataset_id
    final.parent.mkdir(parents=True, exist_ok=True)
    for namespace in [final.parent, *final.parent.parents]:
        if namespace == root:
            break
        source = staging / namespace.relative_to(root) / NAMESPACE_METADATA_FILENAME
        if source.exists() and not (namespace / NAMESPACE_METADATA_FILENAME).exists():
            shutil.copy(source, namespace / NAMESPACE_METADATA_FILENAME)
    try:
        os.rename(staging / dataset_id, final)
    except OSError:
        if not dataset_is_local(dataset_id):
            raise


@contextmanager
def datasets_path(path: str) -> Iterator[None]:
    """Minari takes the folder it writes to from the environment only, and builds mazes, which leave temporary files."""
    before, temporary = os.environ.get("MINARI_DATASETS_PATH"), tempfile.tempdir
    os.environ["MINARI_DATASETS_PATH"] = tempfile.tempdir = path
    try:
        yield
    finally:
        tempfile.tempdir = temporary
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before
