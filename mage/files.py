"""Files that are either whole or not there, on disks that may be full or away for a while."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError

from mage.errors import DamagedError, MageError
from mage.words import sentence_of

PATIENCE_SECONDS = 1800.0
RETRY_SECONDS = 5.0
SEAL = "checksums.json"
SCHEMES = ("s3:", "gs:", "gcs:", "file:", "hdfs:", "abfs:", "abfss:", "http:", "https:")

Written = TypeVar("Written")
Say = Callable[[str], None]


FOLDERS = ("MINARI_DATASETS_PATH", "MAGE_CACHE_DIR", "XDG_CACHE_HOME", "RAY_TMPDIR")
"""Variables that name a folder."""


def as_path(path: str | Path) -> Path:
    """A path as a user writes it: `~` is the home folder, which a shell has not seen in `--out=~/run`.

    Raises:
        MageError: there is no such home folder, or the path is empty, as of a variable that is not set.
    """
    if not str(path):
        raise MageError("a path is empty: write one, such as runs/first, or leave the option out")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise MageError(f"there is no home folder for the ~ in {path}; write the whole path") from None


def expand_variables() -> None:
    """Puts the home folder for `~` in the variables that name folders, for us, Minari, Ray and what we start."""
    for name in FOLDERS:
        if os.environ.get(name, "").startswith("~"):
            os.environ[name] = str(as_path(os.environ[name]))


def print_whatever_it_is() -> None:
    """A terminal or log that has not our letters gets `?` for them, and the run goes on."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="replace")


def seal(folder: Path) -> None:
    """Writes the checksums of all files in a folder, as the last file of it: without a seal the folder is not whole."""
    write_text(folder / SEAL, json.dumps(_checksums(folder), indent=1))


def check_seal(folder: Path) -> None:
    """Raises DamagedError unless the folder holds exactly what was sealed."""
    try:
        sealed = dict(json.loads((folder / SEAL).read_text()))
    except (OSError, TypeError, ValueError):
        raise DamagedError(f"{folder} is damaged: {SEAL} cannot be read") from None
    found = _checksums(folder)
    wrong = sorted(name for name in sealed.keys() | found.keys() if sealed.get(name) != found.get(name))
    if wrong:
        raise DamagedError(f"{folder} is damaged: {wrong[0]} is not what was written")


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SEAL)
    return {path.relative_to(folder).as_posix(): checksum(path) for path in files}


def checksum(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_no_address(path: Path) -> None:
    """MageError where an address such as s3://bucket/run is given for a path: it would be a folder called `s3:`."""
    scheme = next((part for part in path.parts if part in SCHEMES), None)
    if scheme:
        address = f"{scheme}//{'/'.join(path.parts[path.parts.index(scheme) + 1 :])}"
        raise MageError(
            f"{address} is an address, and a run directory must be a path on a disk; a bucket is for copies of it, "
            "as docs/clusters.md says"
        )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` and moves it there when the block ends well; else leaves nothing behind.

    Raises:
        MageError: the file cannot be written (full disk, no permission).
    """
    # not mkstemp, whose files nobody but their owner may read
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MageError(f"cannot write {path}: {reason}; free some space or choose another --out") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes JSON atomically. A number that is not finite becomes null: NaN is no JSON."""
    write_text(path, json.dumps(finite(data), indent=1, allow_nan=False))


def patiently(
    write: Callable[[], Written], say: Say, seconds: float = PATIENCE_SECONDS, pause: float = RETRY_SECONDS
) -> Written:
    """Does what `write` does, again and again while the disk is full or away, and returns what it returns.

    Raises:
        OSError, MageError: of the last attempt, when the time was up; at once what no disk has caused.
    """
    deadline, failed = time.monotonic() + seconds, False
    while True:
        try:
            written = write()
        except (OSError, MageError) as error:
            if isinstance(error, MageError) and not isinstance(error.__cause__, OSError):
                raise
            if time.monotonic() >= deadline:
                raise
            if not failed:
                say(f"{sentence_of(error)}: nothing is lost; tried again for {seconds / 60:.0f} minutes")
            failed = True
            time.sleep(pause)
        else:
            if failed:
                say("the disk takes files again; the run goes on")
            return written


NOT_KEPT = "what is shown is not kept"


def kept_or_told(say: Say, write: Callable[[], None]) -> bool:
    """Writes what is also shown, and says where that is not possible: in a folder of somebody else's, say."""
    try:
        write()
    except MageError as error:
        say(f"{str(error).partition(';')[0]}: {NOT_KEPT}")
        return False
    return True


def finite(value: Any) -> Any:
    """The same plain data with None for every number that is not finite."""
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
