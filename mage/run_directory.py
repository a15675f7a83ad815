"""Who may have a run directory: a new run, one that goes on, or the next try of one that failed before it began."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mage.errors import MageError
from mage.files import check_no_address

CONFIG, SWEEP, STATUS = "config.json", "sweep.json", "status.json"


def check_free(out: Path) -> None:
    """Makes sure that a new run may have the directory.

    What a command has left that failed before it trained anything is no run, and is removed.

    Raises:
        MageError: something else is there, or it is an address.
    """
    check_no_address(out)
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
    keys = {CONFIG: "training", SWEEP: "scenarios"}
    if path.name not in keys:
        return False
    try:
        return keys[path.name] in json.loads(path.read_text())
    except (OSError, TypeError, ValueError):
        return False


def differences(then: Any, now: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """By dotted field: the two values, where nested data differ."""
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return {} if then == now else {prefix: (then, now)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in {**then, **now}:
        found |= differences(then.get(key), now.get(key), f"{prefix}.{key}" if prefix else str(key))
    return found
