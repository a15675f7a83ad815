"""Whatever is killed, a sweep ends with the results of one that nothing happened to, and has trained nothing twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

import mage
from mage.results.status import read_status
from tests.search.test_sweep import SMALL

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]

SCRIPT = Path(__file__).parents[2] / "tune" / "compare_algorithms.py"
# stages long enough to be killed in, and two seeds: the second is not there yet when the first is killed
OPTIONS = [
    "--scenarios",
    "maze2d-umaze",
    "--seeds",
    "2",
    "--episodes",
    "10",
    "--address",
    "local",
]
CHANGES = [
    *SMALL,
    "training.autoencoder.steps=600",
    "training.transformer.steps=600",
    "training.checkpoint_every=100",
    "training.log_every=50",
]
PATIENCE = 500
# the script on a head without CPUs and two nodes with one each; at its end Ray would miss the node that was killed
ON_THREE_NODES = """
import os, psutil, runpy, sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
for _ in range(2):
    cluster.add_node(num_cpus=1)
sys.argv = [*sys.argv[1:], "--address", cluster.address]
runpy.run_path(sys.argv[0], run_name="__main__")
sys.stdout.flush()
for child in psutil.Process().children(recursive=True):
    child.kill()
os._exit(0)
"""


class Driver:
    """The process of a sweep, and what it has printed."""

    def __init__(self, out: Path, *options: str, program: Sequence[str] = (), log: Path | None = None) -> None:
        self.out = out
        self.log = (log or out.parent) / f"{time.monotonic_ns()}.log"
        both = ["--variants", "mage", "bc", "--set", "training.reference.steps=600"]
        asked = [*OPTIONS, *([] if "--variants" in options else both), "--set", *CHANGES, *options]
        command = [sys.executable, *program, str(SCRIPT), "--out", str(out), *asked]
        with self.log.open("w") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)

    def wait_for(self, line: str) -> None:
        """Returns once it has printed that."""
        deadline = time.monotonic() + PATIENCE
        while line not in self.printed() and self.process.poll() is None:
            assert time.monotonic() < deadline, f"never said {line!r}: {self.printed()}"
            time.sleep(0.05)
        assert line in self.printed(), self.printed()

    def trains(self, stage: str, seed: int, step: int = 150) -> None:
        """Returns once MAGE's training is in the midst of that."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            status = read_status(self.out / "maze2d-umaze")
            for trial in status.trials if status else ():
                if (trial.name, trial.stage, trial.seed) == ("mage", stage, seed) and (trial.step or 0) >= step:
                    return
            time.sleep(0.1)
        raise AssertionError(f"never was in {stage} of seed {seed}: {self.printed()}")

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ends_well(self) -> str:
        """Waits for its end, which must be a good one; returns what it has printed."""
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
        assert self.process.returncode == 0, self.printed()
        return self.printed()

    def printed(self) -> str:
        """Everything so far."""
        return self.log.read_text()


def results(out: Path) -> pd.DataFrame:
    """The episodes of a sweep in an order of their own."""
    return mage.results.load(out).sort_values(["variant", "training_seed", "episode"], ignore_index=True)


@pytest.fixture(scope="module")
def undisturbed(tiny_maze_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pd.DataFrame]:
    """The results of a sweep that nothing happens to."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
        Driver(out).ends_well()
        yield results(out)


@pytest.fixture
def start() -> Iterator[type[Driver]]:
    """Starts drivers of sweeps; none outlives the test."""
    started: list[Driver] = []

    class Remembered(Driver):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    yield Remembered
    for driver in started:
        driver.process.kill()
        driver.process.wait()


def test_a_sweep_whose_driver_is_killed_in_every_stage_ends_as_if_nothing_had_happened(
    start: type[Driver], undisturbed: pd.DataFrame, tiny_maze_here: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    driver = start(out)
    driver.trains("autoencoder", seed=1)
    driver.kill()
    driver = start(out, "--resume")
    driver.wait_for("[mage] seed 0: goes on from step")
    driver.trains("transformer", seed=1)
    assert "[mage] seed 0: autoencoder 600/600" not in driver.printed()
    driver.kill()
    driver = start(out, "--resume")
    driver.wait_for("[mage] trained; ")
    assert "autoencoder 600/600" not in driver.printed()
    driver.kill()
    told = start(out, "--resume").ends_well()
    assert "transformer 600/600" not in told
    pd.testing.assert_frame_equal(results(out), undisturbed)
    trials = pd.read_parquet(out / "trials.parquet")
    assert dict(zip(trials["variant"], trials["status"], strict=True)) == {"mage": "finished", "bc": "finished"}


def test_a_sweep_loses_a_node_and_goes_on_elsewhere(
    start: type[Driver], undisturbed: pd.DataFrame, tiny_maze_here: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    driver = start(out, "--variants", "mage", program=["-c", ON_THREE_NODES])
    driver.trains("transformer", seed=0)
    (worker,) = (
        child
        for child in psutil.Process(driver.process.pid).children(recursive=True)
        if "RayTrainWorker" in child.name() or "RayTrainWorker" in " ".join(child.cmdline())
    )
    node = worker.parent()
    assert node and node.name() == "raylet"
    node.kill()
    told = driver.ends_well()
    assert "training goes on from its last checkpoint, restart 1 of 2" in told
    assert "[mage] seed 0: goes on from step" in told
    mine = undisturbed[undisturbed["variant"] == "mage"].reset_index(drop=True)
    pd.testing.assert_frame_equal(results(out), mine)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of that size, which root can make."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_and_waited_for(
    start: type[Driver], undisturbed: pd.DataFrame, tiny_maze_here: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 100) as disk:
        out, filler = disk / "run", disk / "filler"
        driver = start(out, log=tmp_path)
        driver.trains("autoencoder", seed=0)
        with filler.open("wb") as stream, pytest.raises(OSError, match="No space left"):
            while True:
                stream.write(bytes(1 << 16))
                stream.flush()
        driver.wait_for("No space left on device")
        driver.wait_for("nothing is lost")
        filler.unlink()
        told = driver.ends_well()
        assert "the disk takes files again" in told
        pd.testing.assert_frame_equal(results(out), undisturbed)


def test_a_disk_that_is_away_for_a_while_is_told_and_waited_for(
    start: type[Driver], undisturbed: pd.DataFrame, tiny_maze_here: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 200) as disk:
        seen = tmp_path / "seen"
        seen.mkdir()
        mount, unmount = ["mount", "--bind", str(disk), str(seen)], ["umount", "--lazy", str(seen)]
        subprocess.run(mount, check=True)
        try:
            driver = start(seen / "run", "--variants", "mage", log=tmp_path)
            driver.trains("transformer", seed=0)
            subprocess.run(unmount, check=True)
            driver.wait_for("the run directory is not there")
            time.sleep(15)  # for as long as Tune, too, wants to write
            subprocess.run(mount, check=True)
            assert "the disk takes files again" in driver.ends_well()
            mine = undisturbed[undisturbed["variant"] == "mage"].reset_index(drop=True)
            pd.testing.assert_frame_equal(results(seen / "run"), mine)
        finally:
            subprocess.run(unmount, check=False)
