"""`inspection.json` on disk."""

import json
from pathlib import Path

import pytest

from mage.errors import MageError
from mage.inspection.document import Inspection, read_inspection


def test_an_inspection_of_another_version_or_damaged_is_refused(tmp_path: Path, tiny_inspection: Inspection) -> None:
    path = tmp_path / "inspection.json"
    for text, message in (
        (None, r"inspection\.json is missing"),
        ("{", "damaged"),
        ("[]", "damaged"),
        (json.dumps(tiny_inspection | {"format_version": 1}), "format version 1"),
    ):
        if text is not None:
            path.write_text(text)
        with pytest.raises(MageError, match=message):
            read_inspection(tmp_path)
