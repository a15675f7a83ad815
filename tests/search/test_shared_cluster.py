"""Sweeps on one cluster that its user has started by `ray start`: none starves, nothing mixes, all end with it."""

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pandas as pd
import psutil
import pytest

import mage
from mage.data.trajectories import Trajectories
from mage.results.status import read_status

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(3600)]

MAGE = [sys.executable, "-m", "mage", "sweep", "maze2d-umaze", "--algorithm", "bc", "--episodes", "5"]
CHANGES = ["evaluation.inspection_episodes=0", "training.log_every=10"]
PATIENCE = 1200


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """A cluster of two CPUs as `ray start` makes it: the environment of who has started it."""
    folder = Path(mkdtemp(prefix="r"))  # short, for Ray's sockets
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text(secrets.token_hex(32))
    (folder / ".ray" / "auth_token").chmod(0o600)
    own = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_AUTH_MODE")}
    own |= {"HOME": str(folder), "RAY_TMPDIR": str(folder), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--port", "0", "--num-cpus", "2"]
    start += ["--include-dashboard", "false", "--node-ip-address", "127.0.0.1", "--disable-usage-stats"]
    started = subprocess.run(
        start, env=own | {"RAY_AUTH_MODE": "token"}, capture_output=True, text=True, timeout=PATIENCE
    )
    assert started.returncode == 0, started.stdout + started.stderr
    yield own
    stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def stop(folder: Path) -> None:
    """As `ray stop --force` does, which would end every Ray of this user's."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(str(folder) in word for word in words) and process.pid != os.getpid() and "sweep" not in words:
            process.kill()


def begin(out: Path, cluster: dict[str, str], data: Path, *options: str) -> subprocess.Popen[str]:
    """A sweep in a terminal of its own."""
    command = [*MAGE, "--out", str(out), "--set", *CHANGES, *options]
    return subprocess.Popen(
        command,
        env=cluster | {"MINARI_DATASETS_PATH": str(data)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_sweeps_share_a_cluster_and_each_keeps_its_own(
    cluster: dict[str, str], tiny_maze: Trajectories, tiny_maze_root: Path, tmp_path: Path
) -> None:
    widths = {"one": (8, 9), "two": (16, 17)}
    steps = ("--set", "training.reference.steps=20", "--trials", "2")
    sweeps = {
        name: begin(
            tmp_path / name,
            cluster,
            tiny_maze_root,
            *steps,
            "--space",
            f"behaviour_cloning.hidden_dim={list(width)}".replace(" ", ""),
        )
        for name, width in widths.items()
    }
    said = {name: sweep.communicate(timeout=PATIENCE) for name, sweep in sweeps.items()}
    for name, sweep in sweeps.items():
        assert sweep.returncode == 0, said[name]
        assert "which `ray start` has started here" in said[name][0].splitlines()[0]
        assert said[name][1] == ""
        other = next(other for other in widths if other != name)
        assert str(tmp_path / other) not in said[name][0]
        trials = pd.read_parquet(tmp_path / name / "trials.parquet")
        assert list(trials["status"]) == ["finished"] * 2
        assert set(trials["behaviour_cloning.hidden_dim"]) <= set(widths[name])
        kept = {path.name for path in (tmp_path / name / "maze2d-umaze" / "policies").iterdir()}
        assert kept == set(trials["config_hash"]) == set(mage.results.load(tmp_path / name)["config_hash"])
    assert {path.name for path in tmp_path.iterdir()} == set(widths)


def test_a_cluster_that_is_stopped_ends_the_sweep_in_a_line(
    cluster: dict[str, str], tiny_maze_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    forever = ("--set", "training.reference.steps=10000000", "--trials", "1")
    sweep = begin(out, cluster, tiny_maze_root, *forever, "--space", "behaviour_cloning.hidden_dim=[8]")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and sweep.poll() is None:
        status = read_status(out / "maze2d-umaze")
        if status and any((trial.step or 0) > 0 for trial in status.trials):
            break
        time.sleep(0.2)
    stop(Path(cluster["RAY_TMPDIR"]))
    printed, errors = sweep.communicate(timeout=PATIENCE)
    assert sweep.returncode == 2, printed + errors
    (line,) = errors.splitlines()
    assert line.startswith("error: Ray has ended under this run") and f"--resume --out {out} goes on" in line
