"""Reading and writing results: Parquet tables in a run directory, here or in a bucket.

A sweep writes the episodes of each trial to `episodes/<name>.parquet` as they come and, at its end, all of them to
`results.parquet` and a row a trial to `trials.parquet`. A single training run writes `episodes.parquet`. Readers take a
directory that holds any number of these, one of the files, or the URI of either.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from mage.errors import MageError
from mage.files import replacing

KEY_COLUMNS = ("scenario", "algorithm", "config_hash", "dataset_id", "training_seed", "episode")
"""What names an episode. The dataset is part of it: one configuration may be trained on two versions of a scenario."""

RESULT_COLUMNS = (
    "scenario",
    "algorithm",
    "config_hash",
    "training_seed",
    "episode",
    "return",
    "normalized_score",
    "success",
    "length",
    "dataset_id",
    "target_return",
    "warning",
)
"""The columns of every results table; the ones after them are swept config fields such as autoencoder.num_scales.

`warning` says why a score is not comparable with one measured elsewhere; it is empty where nothing is known.
"""

TRIAL_COLUMNS = (
    "scenario",
    "trial_id",
    "status",
    "error",
    "score",
    "score_standard_error",
    "success_rate",
    "seconds",
    "config_hash",
    "log",
    "seeds",
)
"""The columns of every trials table; the ones after them are swept config fields."""


def write_parquet(frame: pd.DataFrame, path: str | Path) -> None:
    """Writes a table whole or not at all.

    Raises:
        MageError: the file cannot be written; what stood at `path` before still does.
    """
    with replacing(Path(path)) as temporary:
        frame.to_parquet(temporary, index=False)


def load(location: str | Path) -> pd.DataFrame:
    """Every episode found at `location`: one row per `KEY_COLUMNS`, `RESULT_COLUMNS` first.

    Args:
        location: a sweep (finished or under way), a training run, a directory of several, a Parquet file, or the URI
            of one of these (file://, s3://, gs://).

    Raises:
        MageError: nothing is there, or what is there is not a results table.
    """
    looked_for = "results.parquet, episodes.parquet or episodes/*.parquet"
    return _load_tables(location, _episode_tables, looked_for, RESULT_COLUMNS, KEY_COLUMNS)


def load_trials(location: str | Path) -> pd.DataFrame:
    """Every trial found at `location`, which is as for `load`: one row a trial, `TRIAL_COLUMNS` first.

    Raises:
        MageError: nothing is there, or what is there is not a trials table.
    """
    return _load_tables(
        location, _trial_tables, "trials.parquet", TRIAL_COLUMNS, ("scenario", "trial_id", "config_hash")
    )


def pull(location: str | Path, destination: str | Path) -> list[Path]:
    """Copies the tables, configurations and plots of a run to a local directory, keeping the layout.

    Files that are already there, of the same size and no older, are left alone, so that a run under way can be pulled
    again and again.

    Returns:
        The files copied by this call.

    Raises:
        MageError: nothing is there to copy, or it cannot be read or written.
    """
    filesystem, root = _filesystem(location)
    wanted = [info for info in _files(filesystem, root, location) if _is_result(PurePosixPath(info.path))]
    if not wanted:
        raise MageError(f"nothing to pull from {location}: it holds no results tables, config.json or plots")
    copied = []
    for info in wanted:
        target = Path(destination, PurePosixPath(info.path).relative_to(root))
        if not _is_current(target, info):
            _copy(filesystem, info, target)
            copied.append(target)
    return copied


def _load_tables(
    location: str | Path,
    choose: Callable[[list[PurePosixPath]], list[PurePosixPath]],
    looked_for: str,
    columns: tuple[str, ...],
    key: tuple[str, ...],
) -> pd.DataFrame:
    filesystem, root = _filesystem(location)
    paths = [PurePosixPath(info.path) for info in _files(filesystem, root, location)]
    chosen = paths if paths == [PurePosixPath(root)] else choose(paths)
    if not chosen:
        raise MageError(f"no results at {location}: looked for {looked_for}, there and in all directories below")
    frames = [_read(filesystem, path, columns) for path in chosen]
    frames = [frame for frame in frames if len(frame)] or frames[:1]
    table = pd.concat(frames, ignore_index=True).drop_duplicates(list(key), ignore_index=True)
    return table[[*columns, *(name for name in table.columns if name not in columns)]]


def _episode_tables(paths: list[PurePosixPath]) -> list[PurePosixPath]:
    """A results.parquet stands for everything below its directory; elsewhere the pieces count."""
    complete = {path.parent for path in paths if path.name == "results.parquet"}
    pieces = [path for path in paths if _is_piece(path) and complete.isdisjoint(path.parents)]
    return sorted([*(directory / "results.parquet" for directory in complete), *pieces])


def _trial_tables(paths: list[PurePosixPath]) -> list[PurePosixPath]:
    return sorted(path for path in paths if path.name == "trials.parquet")


def _is_piece(path: PurePosixPath) -> bool:
    return path.name == "episodes.parquet" or (path.parent.name == "episodes" and path.suffix == ".parquet")


def _is_result(path: PurePosixPath) -> bool:
    return path.name in ("results.parquet", "trials.parquet", "config.json") or path.suffix == ".png" or _is_piece(path)


def _filesystem(location: str | Path) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URI, and the path on it."""
    if "://" not in str(location):
        return fs.LocalFileSystem(), Path(location).absolute().as_posix()
    try:
        filesystem, root = fs.FileSystem.from_uri(str(location))
    except (OSError, pa.ArrowException, ImportError) as error:
        raise MageError(f"cannot open {location}: {error}; give a path or a file://, s3:// or gs:// URI") from error
    return filesystem, root.rstrip("/")


def _files(filesystem: fs.FileSystem, root: str, location: str | Path) -> list[fs.FileInfo]:
    """All files at or below `root` except hidden ones, such as what an interrupted write left behind."""
    try:
        info = filesystem.get_file_info(root)
        if info.type == fs.FileType.NotFound:
            raise MageError(f"there is nothing at {location}: give the directory of a run, or a Parquet file")
        found = [info] if info.is_file else filesystem.get_file_info(fs.FileSelector(root, recursive=True))
    except OSError as error:
        raise MageError(f"cannot read {location}: {error}") from error
    return [info for info in found if info.is_file and not info.base_name.startswith(".")]


def _read(filesystem: fs.FileSystem, path: PurePosixPath, columns: Iterable[str]) -> pd.DataFrame:
    """One table. Opened as a file: given the path, pyarrow would read columns out of directory names like lr=0.1."""
    try:
        with filesystem.open_input_file(str(path)) as file:
            frame: pd.DataFrame = pq.read_table(file).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise MageError(f"{path} is not a readable Parquet file: {error}") from error
    if "return" in frame.columns and "warning" not in frame.columns:  # of before there were warnings
        frame["warning"] = pd.Series(pd.NA, frame.index, dtype="string")
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise MageError(f"{path} is not a table of this kind: it has no column {', '.join(missing)}")
    return frame


def _is_current(target: Path, source: fs.FileInfo) -> bool:
    if not target.is_file():
        return False
    status = target.stat()
    return status.st_size == source.size and status.st_mtime_ns >= (source.mtime_ns or 0)


def _copy(filesystem: fs.FileSystem, source: fs.FileInfo, target: Path) -> None:
    """Copies with the time of the source, so that two clocks that differ do not matter to the next pull."""
    with replacing(target) as temporary:
        fs.copy_files(
            source.path, str(temporary), source_filesystem=filesystem, destination_filesystem=fs.LocalFileSystem()
        )
        if source.mtime_ns:
            os.utime(temporary, ns=(source.mtime_ns, source.mtime_ns))
