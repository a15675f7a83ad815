"""Downloads a published Minari dataset so that it is there as a whole or not at all.

The files arrive in a hidden folder of their own beside the datasets, and are moved into place when all are there and
can be read. An interrupted download keeps that folder: what has arrived is not fetched again. Within one run a dropped
connection goes on where it stopped; a single file that was cut off when the process ended begins anew.
"""

import fcntl
import io
import os
import shutil
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

import minari
from minari.dataset.minari_dataset import gen_dataset_id, parse_dataset_id
from minari.dataset.minari_storage import MinariStorage
from minari.namespace import NAMESPACE_METADATA_FILENAME
from minari.storage.hosting import list_remote_datasets

from mage.data.environments import register_environments
from mage.data.minari_writer import check_free_space, dataset_is_local, datasets_path, move_into_place, writing
from mage.errors import MageError

_BYTES_A_MEGABYTE = 1_000_000  # as Minari counts
# What a process that was killed leaves behind and nobody goes on with: huggingface_hub's names end in a random number.
_ORPHANS = f"*.{'[0-9a-f]' * 8}.incomplete"


def download(dataset_id: str) -> None:
    """Downloads the dataset into MINARI_DATASETS_PATH, with progress on stderr; one that is there already stays.

    A dataset that does not exist, a lost connection, too little space and damaged data raise MageError.
    """
    with writing(dataset_id) as root:
        if dataset_is_local(dataset_id):
            if damage := _damage(root, [dataset_id]):
                raise MageError(
                    f"In {root}, {damage}; remove it with `minari delete {dataset_id}`, then download it again."
                )
            return
        staging = root / ".downloading" / dataset_id.replace("/", "--")
        try:
            with _turn(staging, dataset_id):
                if not dataset_is_local(dataset_id):
                    _obtain(dataset_id, root, staging)
        finally:
            with suppress(OSError):  # this download may go on later, and others may be going on
                staging.parent.rmdir()


def _obtain(dataset_id: str, root: Path, staging: Path) -> None:
    try:
        staging.mkdir(parents=True, exist_ok=True)
        if (root / dataset_id).exists():
            raise MageError(
                f"{root / dataset_id} is in the way and is no whole dataset; remove it, then download it again."
            )
        _fetch(dataset_id, root, staging)
    finally:
        if not _arrived(staging):
            shutil.rmtree(staging)
    datasets = [path.parents[1].relative_to(staging).as_posix() for path in _arrived(staging, "data/metadata.json")]
    try:
        if damage := _damage(staging, {dataset_id, *datasets}):
            raise MageError(f"The dataset {damage}, and was not kept; download it again.")
        for name in datasets:
            move_into_place(staging, root, name)
    finally:
        shutil.rmtree(staging)


def _fetch(dataset_id: str, root: Path, staging: Path) -> None:
    """Downloads into the staging folder what is not there yet."""
    for orphan in staging.rglob(_ORPHANS):
        orphan.unlink()
    arrived = sum(path.stat().st_size for path in _arrived(staging))
    try:
        with datasets_path(str(staging)), _quietly():
            size = _remote_bytes(dataset_id)
            check_free_space(root, size - arrived, dataset_id)
            print(f"Downloading {dataset_id}: {size / 1e6:.1f} MB", file=sys.stderr, flush=True)
            # Minari skips a dataset of which there is any file, unless it is told to force it; the files stay
            minari.download_dataset(dataset_id, force_download=(staging / dataset_id).exists())
    except MageError:
        raise
    except Exception as error:  # the hosting back ends share no base class: ImportError, ValueError, HTTP errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        then = "goes on from what has arrived" if _arrived(staging) else "gets it where there is a network"
        raise MageError(
            f"The dataset {dataset_id} is not here and could not be downloaded ({reason}); "
            f"`mage data download --dataset {dataset_id}` {then}."
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Minari's advice and the log of retries, which would bury the one line that we have to say."""
    with suppress(ImportError):
        from huggingface_hub.utils import logging

        logging.set_verbosity_error()
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", module="minari")
        yield


def _remote_bytes(dataset_id: str) -> int:
    """What the server says of the dataset's size, 0 where it says nothing."""
    namespace, name, _ = parse_dataset_id(dataset_id)
    published = list_remote_datasets(prefix=gen_dataset_id(namespace, name))
    return int(float(published.get(dataset_id, {}).get("dataset_size") or 0) * _BYTES_A_MEGABYTE)


def _arrived(staging: Path, pattern: str = "*") -> list[Path]:
    """The files of datasets that are there as a whole, without what the hosting back end keeps in hidden folders."""
    files = (path for path in staging.rglob(pattern) if path.is_file() and path.name != NAMESPACE_METADATA_FILENAME)
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(staging).parts)]


def _damage(folder: Path, dataset_ids: Iterable[str]) -> str | None:
    """What is wrong with one of the datasets, found by opening every episode; None if they are whole."""
    register_environments()
    for name in dataset_ids:
        try:
            storage = MinariStorage.read(folder / name / "data")
            for _ in storage.get_episode_metadata(range(storage.total_episodes)):
                pass
        except Exception as error:  # damage surfaces as whatever h5py, json or Minari stumble over first
            return f"{name} is incomplete or damaged: {str(error) or type(error).__name__}"
    return None


@contextmanager
def _turn(staging: Path, dataset_id: str) -> Iterator[None]:
    """Waits until no other process downloads the same."""
    staging.mkdir(parents=True, exist_ok=True)
    held = os.open(staging, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process is downloading {dataset_id}; waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
