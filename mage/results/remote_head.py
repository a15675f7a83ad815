"""Brings results from the head of a Ray cluster by `ray rsync-down`, which knows how to reach it.

Ray offers rsync no choice of files but `rsync_exclude` in the cluster file. So it gets a copy of that file which
excludes all but results; rsync then compares sizes and times, and sends what is new.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import yaml

from mage.errors import MageError
from mage.files import check_no_address
from mage.results.kinds import NOT_ENTERED, RESULT_FILES

HEAD = re.compile(r"(?P<file>[^:]+\.ya?ml):(?P<path>[/~].*)")
TELLING = re.compile(r"^(rsync|ssh): |[Dd]enied|refused|^[\w.]*Error: ")
"""The line that says why it failed: rsync's or ssh's, else that of a Python exception."""
OF_NODES = ("file_mounts", "setup_commands", "head_setup_commands", "worker_setup_commands", "initialization_commands")
"""What a cluster file says of bringing nodes up: nothing that a copy from the head needs."""


def split_head(location: str) -> tuple[Path, str] | None:
    """Cluster file and path of `cluster/gpu.yaml:/shared/runs`; None for any other location."""
    match = HEAD.fullmatch(location)
    return (Path(match["file"]), match["path"]) if match else None


def pull_from_head(cluster: Path, source: str, destination: Path) -> list[Path]:
    """Copies the results below `source` on the cluster's head.

    Returns:
        The files that were not there, or not the same.

    Raises:
        MageError: no cluster file, a head that cannot be reached, or nothing there.
    """
    text = cluster_file_for_results(cluster)
    before, folders = _times(destination), _folders(destination)
    make_destination(destination)
    try:
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder, cluster.name)
            own.write_text(text)
            # with both slashes rsync copies what is in the one folder into the other
            _rsync_down(own, f"{source.rstrip('/')}/", f"{destination.absolute()}/", f"{cluster}:{source}")
    finally:
        _remove_empty(_folders(destination) - folders)
    after = _times(destination)
    if not after:
        raise MageError(f"nothing to pull from {cluster}:{source}: no results are there")
    return sorted(path for path, time in after.items() if before.get(path) != time)


def cluster_file_for_results(cluster: Path) -> str:
    """The cluster file, with rsync's rules for results in place of its own. rsync takes the first rule that fits.

    Raises:
        MageError: there is no such file, or it is no cluster file.
    """
    try:
        described = yaml.safe_load(cluster.read_text())
    except OSError:
        raise MageError(f"there is no cluster file {cluster}; give the one that `ray up` was given") from None
    except yaml.YAMLError:
        described = None
    if not isinstance(described, dict) or "provider" not in described:
        raise MageError(f"{cluster} is no cluster file of Ray: it names no provider")
    rules = [f"- {name}" for name in NOT_ENTERED] + ["+ */"] + [f"+ {name}" for name in RESULT_FILES] + ["- *"]
    kept = {name: value for name, value in described.items() if name not in (*OF_NODES, "rsync_filter")}
    return yaml.safe_dump(kept | {"rsync_exclude": rules})


def _rsync_down(cluster: Path, source: str, target: str, location: str) -> None:
    command = [sys.executable, "-m", "ray.scripts.scripts", "rsync-down", str(cluster), source, target]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        telling = [line for line in lines if TELLING.search(line)]
        reason = (telling or lines[-1:] or [f"exit code {done.returncode}"])[0]
        raise MageError(f"cannot pull from {location}: {reason}")


def _times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def make_destination(folder: Path) -> None:
    """Makes the folder that is copied to, unless it is there.

    Raises:
        MageError: it is an address, or cannot be made.
    """
    check_no_address(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MageError(f"cannot copy to {folder}: {error.strerror}; choose another --to") from None


def _folders(destination: Path) -> set[Path]:
    """The folder that is copied to, if it is there, and all below."""
    return {path for path in (destination, *destination.rglob("*")) if path.is_dir()}


def _remove_empty(folders: set[Path]) -> None:
    """rsync makes every folder that it looks into; of those that it made, the ones that got no file go."""
    for path in sorted(folders, reverse=True):
        with suppress(OSError):  # it is not empty
            path.rmdir()
