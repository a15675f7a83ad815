"""Brings the results of a run here, from another directory, a bucket or the head of a Ray cluster."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from pyarrow import fs

from mage.errors import MageError
from mage.files import as_path, replacing
from mage.results.kinds import is_result
from mage.results.locations import all_files, open_location, read_bytes
from mage.results.remote_head import make_destination, pull_from_head, split_head


def pull(location: str | Path, destination: str | Path) -> list[Path]:
    """Copies the tables, configurations, inspections and plots of a run to a local directory, keeping the layout.

    Files that are already there, of the same size and no older, are left alone, so that a run under way can be pulled
    again and again.

    Args:
        location: a directory, its URI (file://, s3://, gs://), or CLUSTER.yaml:/PATH, a directory of the head of that
            Ray cluster.

    Returns:
        The files copied by this call.

    Raises:
        MageError: nothing is there to copy, or it cannot be read or written.
    """
    destination = as_path(destination)
    head = split_head(str(location))
    if head:
        return pull_from_head(*head, destination)
    filesystem, root = open_location(location)
    found = [(info, PurePosixPath(info.path).relative_to(root)) for info in all_files(filesystem, root, location)]
    wanted = [(info, path) for info, path in found if is_result(path)]
    if not wanted:
        raise MageError(f"nothing to pull from {location}: it holds no results tables, config.json or plots")
    make_destination(destination)
    copied = []
    for info, path in wanted:
        target = destination / path
        if not _is_current(target, info):
            _copy(filesystem, info, target)
            copied.append(target)
    return copied


def _is_current(target: Path, source: fs.FileInfo) -> bool:
    if not target.is_file():
        return False
    status = target.stat()
    return status.st_size == source.size and status.st_mtime_ns >= (source.mtime_ns or 0)


def _copy(filesystem: fs.FileSystem, source: fs.FileInfo, target: Path) -> None:
    """Copies with the time of the source, so that two clocks that differ do not matter to the next pull."""
    content = read_bytes(filesystem, PurePosixPath(source.path))
    with replacing(target) as temporary:
        temporary.write_bytes(content)
        if source.mtime_ns:
            os.utime(temporary, ns=(source.mtime_ns, source.mtime_ns))
