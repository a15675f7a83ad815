"""A directory can be listed while a sweep writes and deletes in it."""

import shutil
import threading
from pathlib import Path

from mage.results.locations import all_files, open_location


def test_a_directory_is_listed_while_checkpoints_in_it_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "maze2d-umaze").mkdir()
    (tmp_path / "maze2d-umaze" / "status.json").write_text("{}")
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            for number in range(20):
                (tmp_path / "training" / f"checkpoint_{number}" / "seed-0").mkdir(parents=True, exist_ok=True)
            shutil.rmtree(tmp_path / "training")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(300):
            found = {info.base_name for info in all_files(*open_location(tmp_path), tmp_path)}
            assert "status.json" in found
    finally:
        done.set()
        thread.join()
