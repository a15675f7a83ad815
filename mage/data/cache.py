"""Keeps the arrays of a dataset as plain .npy files, so that only the first start has to read the dataset itself.

    <cache folder>/datasets/<dataset id>-<digest of its path>/
        lock                        held by the one process that makes the arrays
        .writing/                   what that process has not finished
        <digest of the signature>/  one .npy file an array, and JSON; sealed, and never changed once it is there

The signature is what tells a stale entry: sizes and modification times of the dataset's files, and the versions of all
that reads them. Whenever an entry is opened, every byte of it is compared with what was written. A process that has an
entry mapped keeps it when it is replaced: deleted files stay readable until they are unmapped.
"""

import errno
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from mage.config import digest
from mage.data.minari_source import Dataset
from mage.errors import DamagedError, MageError
from mage.files import as_path, check_seal, seal

FORMAT_VERSION = 1
_DESCRIPTION = "recording.json"
_SPARE_BYTES = 2**20
# They write the specification of the environment; other versions may write or understand it differently.
_READERS = ("gymnasium", "gymnasium-robotics", "minari")


class _Description(BaseModel):
    """recording.json: a dataset without its arrays, which are the files of those names."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    dataset_id: str
    array_names: tuple[str, ...]
    fingerprint: str
    environment_spec: str
    reference_scores: tuple[float, float] | None
    observation_keys: tuple[str, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    notes: tuple[str, ...] = ()
    observation_offset: tuple[float, ...] = ()


def cache_folder() -> Path:
    """$MAGE_CACHE_DIR, else $XDG_CACHE_HOME/mage, else ~/.cache/mage."""
    if own := os.environ.get("MAGE_CACHE_DIR"):
        return as_path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return as_path(shared) / "mage"
    try:
        return Path.home() / ".cache" / "mage"
    except RuntimeError as error:
        raise MageError("There is no home folder to cache datasets in; set MAGE_CACHE_DIR to a folder.") from error


def cached(dataset_id: str, folder: Path, reader_version: int, read: Callable[[], Dataset]) -> Dataset:
    """The dataset, memory-mapped from the cache; where it is not there as it is now, `read` is called and it is kept.

    A damaged entry is made again, and what cannot be kept stays in memory: one line on stderr. While another process
    makes the same entry, this one waits for it.

    Args:
        dataset_id: for the name of the entry and for messages.
        folder: the dataset's own; a change of any file in it makes the entry stale.
        reader_version: of `read`; what another version has made is stale.
        read: what it raises is passed on, and leaves nothing behind.
    """
    signature = _signature(folder, reader_version)
    entry = _dataset_folder(dataset_id, folder) / digest(signature)
    if (found := _find(entry)) is not None:
        return found
    with ExitStack() as held:
        try:
            held.enter_context(_locked(entry.parent, dataset_id))
        except OSError as error:
            _say_not_kept(dataset_id, error)
            return read()
        if (found := _find(entry, tell=dataset_id)) is not None:
            return found
        dataset = read()
        if _signature(folder, reader_version) != signature:  # the dataset was rewritten while it was read
            return dataset
        try:
            _write(entry, dataset, signature)
        except (OSError, MageError) as error:
            _say_not_kept(dataset_id, error)
            return dataset
        return _find(entry) or dataset


def _signature(folder: Path, reader_version: int) -> dict[str, Any]:
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            files[path.relative_to(folder).as_posix()] = [status.st_size, status.st_mtime_ns]
    readers = {name: version(name) for name in _READERS}
    format_ = [FORMAT_VERSION, *_Description.model_fields]
    return {"format": format_, "reader": reader_version, "readers": readers, "files": files}


def _dataset_folder(dataset_id: str, folder: Path) -> Path:
    """One a dataset and place: the same id may name other data in another MINARI_DATASETS_PATH."""
    name = f"{dataset_id.replace('/', '--')}-{digest({'folder': str(folder.resolve())})}"
    return cache_folder() / "datasets" / name


def _find(entry: Path, tell: str | None = None) -> Dataset | None:
    """The entry if it is there and whole; of a damaged one the user is told, if `tell` names the dataset."""
    if not entry.is_dir():
        return None
    try:
        check_seal(entry)
        return _open(entry)
    except (DamagedError, OSError) as error:
        if tell:
            _say(f"The cached arrays of {tell} are made again: {error}.")
        return None


def _open(entry: Path) -> Dataset:
    description = _Description.model_validate_json((entry / _DESCRIPTION).read_bytes())
    # as plain arrays: pickle copies a np.memmap, and then Ray's workers would not share the memory
    arrays = {
        name: np.asarray(np.load(entry / f"{name}.npy", mmap_mode="r", allow_pickle=False))
        for name in description.array_names
    }
    return Dataset(arrays=arrays, **description.model_dump(exclude={"array_names"}))


@contextmanager
def _locked(folder: Path, dataset_id: str) -> Iterator[None]:
    """Waits for its turn to write below the folder; the turn ends with the block, or with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"Another process is reading {dataset_id}; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(entry: Path, dataset: Dataset, signature: dict[str, Any]) -> None:
    """Puts the entry in place as a whole and removes all else but the lock, which the caller holds.

    Raises:
        OSError, MageError: it cannot be written; then nothing of it is left.
    """
    for other in entry.parent.iterdir():
        if other.is_dir():  # stale, damaged, or left by a process that was killed
            shutil.rmtree(other, ignore_errors=True)
    free, needed = shutil.disk_usage(entry.parent).free, sum(array.nbytes for array in dataset.arrays.values())
    if free < needed + _SPARE_BYTES:
        raise OSError(errno.ENOSPC, f"they take {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free")
    staging = entry.with_name(".writing")
    try:
        staging.mkdir()
        for name, array in dataset.arrays.items():
            _save(array, staging / f"{name}.npy")
        metadata = {name: value for name, value in vars(dataset).items() if name != "arrays"}
        description = _Description(array_names=tuple(dataset.arrays), **metadata)
        (staging / _DESCRIPTION).write_text(description.model_dump_json(indent=1), encoding="utf-8")
        (staging / "signature.json").write_text(json.dumps(signature, indent=1))
        seal(staging)
        staging.rename(entry)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _save(array: np.ndarray, path: Path) -> None:
    """np.save, whose error on a full disk does not say that the disk is full."""
    contiguous = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(contiguous))
        file.write(contiguous.data)


def _say_not_kept(dataset_id: str, error: OSError | MageError) -> None:
    cause = error.__cause__ or error
    reason = getattr(cause, "strerror", None) or cause
    _say(
        f"The arrays of {dataset_id} are not cached in {cache_folder()} ({reason}); this run keeps them in memory. "
        "Free some space, or point MAGE_CACHE_DIR at another folder."
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
