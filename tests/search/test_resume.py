"""What `--resume` looks at before it goes on with a sweep."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mage.errors import MageError
from mage.results.status import SweepStatus, write_status
from mage.search.settings import claim_directory, make_settings
from mage.search.sweep import prepare_sweep

SETTINGS = make_settings(scenarios=["maze2d-umaze"], space={"transformer.depth": [1, 2]})


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def begun(out: Path, pid: int, age: float = 0.0, host: str = "") -> None:
    """A sweep on which that process says to work."""
    claim_directory(out, SETTINGS, resume=False)
    status = SweepStatus(scenario="maze2d-umaze", state="running", trials_wanted=4, seeds=1)
    status.host, status.pid, status.updated = host or socket.gethostname(), pid, datetime.now(UTC)
    status.updated -= timedelta(seconds=age)
    write_status(status, out / "maze2d-umaze")


def test_a_sweep_that_runs_is_not_resumed(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    out = tmp_path / "run"
    begun(out, other.pid)
    with pytest.raises(MageError, match=rf"is running: process {other.pid} .*mage results status {out}") as caught:
        prepare_sweep(SETTINGS, out, resume=True)
    assert "\n" not in str(caught.value)


def test_a_sweep_whose_driver_is_dead_or_silent_or_elsewhere_is_resumed(
    tmp_path: Path, tiny_maze_here: Path, other: subprocess.Popen[bytes]
) -> None:
    begun(tmp_path / "silent", other.pid, age=3600)
    begun(tmp_path / "elsewhere", other.pid, host="another")
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has asked how it ended
    begun(tmp_path / "killed", other.pid)
    for name in ("silent", "elsewhere", "killed"):
        prepare_sweep(SETTINGS, tmp_path / name, resume=True)
