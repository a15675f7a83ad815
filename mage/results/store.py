"""Reading and writing results: Parquet tables in a run directory, here or in a bucket.

A sweep writes the episodes of each trial to `episodes/<name>.parquet` as they come and, at its end, all of them to
`results.parquet` and a row a trial to `trials.parquet`. A single training run writes `episodes.parquet`. Readers take a
directory that holds any number of these, one of the files, or the URI of either.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from mage.errors import MageError
from mage.files import replacing
from mage.results.locations import open_location, own_files

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
    "environment_version",
)
"""The columns of every results table; the ones after them are swept config fields such as autoencoder.num_scales.

`warning` says why a score is not comparable with one measured elsewhere; it is empty where nothing is known.
`environment_version` is the environment's own package with its version, such as `ogbench 1.2.2`.
"""

LATER_COLUMNS = ("warning", "environment_version")
"""Which the tables of our first versions lack."""

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
    """Writes a table whole or not at all. A column of values of several types, which Parquet has not, becomes text.

    Raises:
        MageError: the file cannot be written; what stood at `path` before still does.
    """
    with replacing(Path(path)) as temporary:
        try:
            frame.to_parquet(temporary, index=False)
        except (pa.ArrowException, UnicodeError):
            frame.apply(_of_one_type).to_parquet(temporary, index=False)


def _of_one_type(column: pd.Series) -> pd.Series:
    """The column, as text where its values are of several types or text that is no Unicode."""
    if column.dtype != object:
        return column
    known = column[column.notna()]
    if len({type(value) for value in known}) <= 1 and not known.map(lambda value: isinstance(value, str)).any():
        return column
    return column.map(_as_text, na_action="ignore")


def _as_text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode("utf-8", "replace").decode()


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
        location, trial_tables, "trials.parquet", TRIAL_COLUMNS, ("scenario", "trial_id", "config_hash")
    )


def _load_tables(
    location: str | Path,
    choose: Callable[[list[PurePosixPath]], list[PurePosixPath]],
    looked_for: str,
    columns: tuple[str, ...],
    key: tuple[str, ...],
) -> pd.DataFrame:
    filesystem, root = open_location(location)
    paths = own_files(filesystem, root, location)
    chosen = paths if paths == [PurePosixPath(root)] else choose(paths)
    if not chosen:
        raise MageError(f"no results at {location}: looked for {looked_for}, there and in all directories below")
    frames = [read_table(filesystem, path, columns) for path in chosen]
    frames = [frame for frame in frames if len(frame)] or frames[:1]
    table = pd.concat(frames, ignore_index=True).drop_duplicates(list(key), ignore_index=True)
    return table[[*columns, *(name for name in table.columns if name not in columns)]]


def _episode_tables(paths: list[PurePosixPath]) -> list[PurePosixPath]:
    """A results.parquet stands for everything below its directory; elsewhere the pieces count."""
    complete = {path.parent for path in paths if path.name == "results.parquet"}
    pieces = [path for path in paths if _is_piece(path) and complete.isdisjoint(path.parents)]
    return sorted([*(directory / "results.parquet" for directory in complete), *pieces])


def trial_tables(paths: list[PurePosixPath]) -> list[PurePosixPath]:
    """Those of the paths that are tables of trials."""
    return sorted(path for path in paths if path.name == "trials.parquet")


def _is_piece(path: PurePosixPath) -> bool:
    return path.name == "episodes.parquet" or (path.parent.name == "episodes" and path.suffix == ".parquet")


def read_table(filesystem: fs.FileSystem, path: PurePosixPath, columns: Iterable[str]) -> pd.DataFrame:
    """One table. Opened as a file: given the path, pyarrow would read columns out of directory names like lr=0.1."""
    try:
        with filesystem.open_input_file(str(path)) as file:
            frame: pd.DataFrame = pq.read_table(file).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise MageError(f"{path} is not a readable Parquet file: {error}") from error
    for name in LATER_COLUMNS if "return" in frame.columns else ():
        if name not in frame.columns:
            frame[name] = pd.Series(pd.NA, frame.index, dtype="string")
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise MageError(f"{path} is not a table of this kind: it has no column {', '.join(missing)}")
    return frame
