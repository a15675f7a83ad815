"""Who may have a run directory: a new run, one that goes on, or the next try of one that failed before it began.

One rule for trainings, sweeps and ablations, `Kind.check`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mage.errors import MageError
from mage.files import check_no_address, write_text

STATUS = "status.json"

Differences = Mapping[str, tuple[Any, Any]]
"""By dotted field: what a run was started with, and what it is to go on with."""
Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Kind:
    """A kind of run, as messages call it, and the files of which one at least is in the directory of each.

    The first of them says in JSON what the run was started with.
    """

    name: str
    files: tuple[str, ...]

    @property
    def file(self) -> str:
        """That which says what the run was started with."""
        return self.files[0]

    def check(self, out: Path, resume: bool, differing: Callable[[], Differences] = dict) -> None:
        """Makes sure that a run may have the directory: free for a new one; to resume, with the same one in it.

        Args:
            differing: in what the run in the directory differs from the one that is to go on.

        Raises:
            MageError: it may not, or the directory is an address.
        """
        check_no_address(out)
        if not resume:
            check_free(out)
            return
        self.check_there(out)
        differ = list(differing().items())
        if differ:
            told = ", ".join(f"{field} (then {then}, now {now})" for field, (then, now) in differ[:3])
            more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
            raise MageError(
                f"the {self.name} in {out} was started with other settings: {told}{more}; "
                "repeat the first command with --resume, or choose another --out"
            )

    def check_there(self, out: Path) -> None:
        """MageError where the directory holds no such run."""
        if not any((out / file).is_file() for file in self.files):
            missing = f"{' and '.join(self.files)} {'are' if len(self.files) > 1 else 'is'} missing"
            raise MageError(f"there is no {self.name} in {out}: {missing}; give the --out of the first run")

    def read(self, out: Path, understand: Callable[[dict[str, Any]], Settings]) -> Settings:
        """What the run in a directory was started with; MageError where there is none, or it is not understood."""
        self.check_there(out)
        path = out / self.file
        try:
            return understand(dict(json.loads(path.read_text())))
        except (OSError, TypeError, ValueError, MageError):
            raise MageError(
                f"{path} is damaged or of another version of mage; use the mage that wrote it, or choose another --out"
            ) from None

    def write(self, out: Path, settings: Mapping[str, Any]) -> None:
        """Makes the directory that of a run which is started with these settings."""
        write_text(out / self.file, json.dumps(settings, indent=1))


TRAINING = Kind("run", ("config.json",))
STARTED = "run.json"
"""Beside a training's `config.json`: what it was started on, which is no part of a configuration."""
SWEEP = Kind("sweep", ("sweep.json",))


def check_free(out: Path) -> None:
    """Makes sure that a new run may have the directory.

    What a command has left that failed before it trained anything is no run, and is removed.

    Raises:
        MageError: something else is there.
    """
    if not out.exists():
        return
    if out.is_dir():
        there = list(out.rglob("*"))
        if all(path.is_dir() or _is_of_no_run(path) for path in there):
            for path in sorted(there, reverse=True):  # what is in a folder before the folder
                path.rmdir() if path.is_dir() else path.unlink()
            return
    raise MageError(f"the run directory {out} exists; choose another --out, or go on with it by --resume")


def _is_of_no_run(path: Path) -> bool:
    """Whether a file is one of those that say what a run is to be, and not that it has begun."""
    if path.name == STATUS:
        from mage.results.status import read_status  # brings pandas, which most commands do without

        status = read_status(path.parent)
        return status is not None and not status.trials and not status.has_driver_here()
    keys = {TRAINING.file: "training", SWEEP.file: "scenarios", STARTED: "seed"}
    if path.name not in keys:
        return False
    try:
        return keys[path.name] in json.loads(path.read_text())
    except (OSError, TypeError, ValueError):
        return False


def write_started(out: Path, started: Mapping[str, Any]) -> None:
    """Says on what data, with which seed and by which mage a training was started; what is there already stays."""
    if not (out / STARTED).exists():
        write_text(out / STARTED, json.dumps(started, indent=1))


def started_otherwise(out: Path, started: Mapping[str, Any]) -> Differences:
    """In what a training that goes on differs from what it was started on; nothing, where that was not written down."""
    try:
        then = dict(json.loads((out / STARTED).read_text()))
    except FileNotFoundError:
        return {}
    except (OSError, TypeError, ValueError):
        raise MageError(
            f"{out / STARTED} is damaged; remove it to go on, if data and seed are those of before"
        ) from None
    return differences({name: then.get(name) for name in started}, started)


def differences(then: Any, now: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """By dotted field: the two values, where nested data differ."""
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return {} if then == now else {prefix: (then, now)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in {**then, **now}:
        found |= differences(then.get(key), now.get(key), f"{prefix}.{key}" if prefix else str(key))
    return found
