"""A directory can be listed while a sweep writes and deletes in it."""

import subprocess
import time
from pathlib import Path

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
