"""A directory can be listed while a sweep writes and deletes in it."""

import subprocess
import time
from pathlib import Path

import pytest

from mage.errors import MageError
from mage.results import locations
from mage.results.locations import all_files, open_location

CHURN = 'while :; do mkdir -p "$1"/checkpoint_{1..30}/seed-0; rm -r "$1"; done'


def test_a_directory_is_listed_while_checkpoints_in_it_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "maze2d-umaze").mkdir()
    (tmp_path / "maze2d-umaze" / "status.json").write_text("{}")
    with subprocess.Popen(["bash", "-c", CHURN, "churn", str(tmp_path / "training")]) as sweep:
        try:
            until = time.monotonic() + 3
            while time.monotonic() < until:
                found = {info.base_name for info in all_files(*open_location(tmp_path), tmp_path)}
                assert found == {"status.json"}
        finally:
            sweep.kill()


def test_a_bucket_of_google_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "GOOGLE_PATIENCE", 1)
    where = "gs://anonymous@bucket/run?scheme=http&endpoint_override=127.0.0.1:9"  # nobody listens there
    filesystem, root = open_location(where)
    assert root == "bucket/run"
    started = time.monotonic()
    with pytest.raises(MageError, match="cannot read gs://"):
        all_files(filesystem, root, where)
    assert time.monotonic() - started < 60
