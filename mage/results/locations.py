"""Where results are: a path, or the URI of a directory or file in a bucket."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import fs

from mage.errors import MageError
from mage.files import as_path

FRESH_SEEDS = "fresh_seeds"
"""The folder, in the run directory of a sweep, of the sweep that reports what the first has chosen."""
GOOGLE_PATIENCE = 60
"""Seconds. By default Google's client tries again for a quarter of an hour, silently, also where it has no login."""


def open_location(location: str | Path) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URI, and the path on it."""
    if "://" not in str(location):
        return fs.LocalFileSystem(), as_path(location).absolute().as_posix()
    try:
        filesystem, root = fs.FileSystem.from_uri(_with_patience(str(location)))
    except (OSError, pa.ArrowException, ImportError) as error:
        raise MageError(f"cannot open {location}: {error}; give a path or a file://, s3:// or gs:// URI") from error
    return filesystem, root.rstrip("/")


def _with_patience(uri: str) -> str:
    if not uri.startswith(("gs://", "gcs://")) or "retry_limit_seconds=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}retry_limit_seconds={GOOGLE_PATIENCE}"


def all_files(filesystem: fs.FileSystem, root: str, location: str | Path) -> list[fs.FileInfo]:
    """All files at or below `root` except hidden ones, such as what an interrupted write left behind."""
    try:
        info = filesystem.get_file_info(root)
        if info.type == fs.FileType.NotFound:
            raise MageError(f"there is nothing at {location}: give the directory of a run, or a Parquet file")
        found = [info] if info.is_file else _below(filesystem, root)
    except OSError as error:
        raise MageError(f"cannot read {location}: {error}") from error
    return [info for info in found if info.is_file and not info.base_name.startswith(".")]


def own_files(filesystem: fs.FileSystem, root: str, location: str | Path) -> list[PurePosixPath]:
    """The paths of `all_files` without what fresh seeds say of a sweep's choice: that is in no table of the sweep."""
    paths = [PurePosixPath(info.path) for info in all_files(filesystem, root, location)]
    return [path for path in paths if FRESH_SEEDS not in path.parts[len(PurePosixPath(root).parts) :]]


def read_bytes(filesystem: fs.FileSystem, path: PurePosixPath) -> bytes:
    """What a file holds; MageError where it cannot be read."""
    try:
        with filesystem.open_input_file(str(path)) as file:
            content: bytes = file.read()
    except OSError as error:
        raise MageError(f"cannot read {path}: {error}") from error
    return content


def _below(filesystem: fs.FileSystem, root: str) -> list[fs.FileInfo]:
    """All that is below a directory. A sweep under way deletes old checkpoints while we look: then folder by folder."""
    try:
        return filesystem.get_file_info(fs.FileSelector(root, recursive=True))
    except FileNotFoundError:
        here = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
        folders = [info.path for info in here if info.type == fs.FileType.Directory]
        return here + [info for folder in folders for info in _below(filesystem, folder)]
