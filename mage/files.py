"""Files that are either whole or not there."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mage.errors import MageError


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
        temporary.write_text(text)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes JSON atomically. A number that is not finite becomes null: NaN is no JSON."""
    write_text(path, json.dumps(finite(data), indent=1, allow_nan=False))


def finite(value: Any) -> Any:
    """The same plain data with None for every number that is not finite."""
    if isinstance(value, Mapping):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
