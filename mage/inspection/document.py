"""`inspection.json`, which lies beside `policy.json`: what a training and its rollouts say about a policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mage.errors import MageError

FILE = "inspection.json"
INSPECTION_VERSION = 3

Inspection = dict[str, Any]


def read_inspection(folder: Path) -> Inspection:
    """`inspection.json` of a run directory, its version checked."""
    path = folder / FILE
    if not path.is_file():
        raise MageError(f"no inspection in {folder}: {FILE} is missing; training writes it, so train again")
    try:
        inspection: Inspection = json.loads(path.read_text())
        version = inspection.get("format_version")
    except (ValueError, AttributeError):
        raise MageError(f"{path} is damaged: train again or restore it from a copy") from None
    if version != INSPECTION_VERSION:
        raise MageError(
            f"{path} has format version {version}, this mage reads version {INSPECTION_VERSION}; train again"
        )
    return inspection
