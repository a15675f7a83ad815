"""Whatever is killed, a sweep ends with what a plain process plays undisturbed, and has trained nothing twice."""

import os
import re
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
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

import mage
from mage.data.trajectories import Trajectories
from mage.evaluation.episodes import evaluate_policies
from mage.registry import make_importable
from mage.results import write_parquet
from mage.results.status import read_status
from mage.search.settings import make_settings
from mage.training.trainer import Trainer
from tests.search.held import WHERE
from tests.search.test_sweep import SMALL

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(3600)]

TUNE = Path(__file__).parents[2] / "tune"
HELD = str(Path(__file__).with_name("held.py")) + ":HeldMage"
MAGE = [str(TUNE / "compare_algorithms.py"), "--variants", "mage", "--algorithm", HELD]
# two seeds: the second is not there yet when the first is killed
OPTIONS = ["--scenarios", "maze2d-umaze", "--seeds", "2", "--episodes", "10", "--actors", "1", "--address", "local"]
STEPS, CHECKPOINT = 60, 20
CHANGES = [
    *SMALL,
    f"training.autoencoder.steps={STEPS}",
    f"training.transformer.steps={STEPS}",
    f"training.checkpoint_every={CHECKPOINT}",
    "training.log_every=10",
    "evaluation.inspection_episodes=0",
]
PATIENCE = 1500
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
    """The process of a sweep, and what it has printed.

    Its training waits in the midst of each stage `<stage>-<seed>` that `hold` names until that goes on: what happens to
    it then happens in training, however fast the machine is.
    """

    def __init__(
        self, script: Sequence[str], out: Path, *options: str, hold: Sequence[str] = (), log: Path | None = None
    ) -> None:
        self.out, self.hold = out, (log or out.parent) / "hold"
        self.log = self.hold.with_name(f"{time.monotonic_ns()}.log")
        self.hold.mkdir(exist_ok=True)
        for name in hold:
            (self.hold / name).touch()
        command = [sys.executable, *script, "--out", str(out), *OPTIONS, "--set", *CHANGES, *options]
        environment = os.environ | {WHERE: str(self.hold)}
        with self.log.open("w") as stream:
            self.process = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    def wait_for(self, line: str, times: int = 1) -> None:
        """Returns once it has printed that, so often."""
        deadline = time.monotonic() + PATIENCE
        while self.printed().count(line) < times and self.process.poll() is None:
            assert time.monotonic() < deadline, f"never said {line!r}: {self.printed()}"
            time.sleep(0.05)
        assert self.printed().count(line) >= times, self.printed()

    def trains(self, name: str) -> None:
        """Returns once training waits in the midst of the stage `<stage>-<seed>`, with a checkpoint of it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            status = read_status(self.out / "maze2d-umaze")
            for trial in status.trials if status else ():
                if f"{trial.stage}-{trial.seed}" == name and (trial.step or 0) >= CHECKPOINT:
                    return
            time.sleep(0.1)
        raise AssertionError(f"never was in {name}: {self.printed()}")

    def goes_on(self, name: str) -> None:
        """Lets training go on with that stage."""
        (self.hold / name).unlink()

    def worker(self) -> psutil.Process:
        """The process that trains."""
        (worker,) = (
            child
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if "RayTrainWorker" in child.name() or "RayTrainWorker" in " ".join(child.cmdline())
        )
        return worker

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
def undisturbed(tiny_maze: Trajectories, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The same, trained and played by this process, without a sweep and without Ray, when nothing happens to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = make_settings(
        scenarios=["maze2d-umaze"],
        variants={"mage": []},
        algorithm=make_importable(HELD),
        overrides=CHANGES,
        seeds=2,
        episodes=10,
    )
    trainers = [Trainer(tiny_maze, settings.variant_configs("maze2d-umaze")["mage"], seed, folder) for seed in range(2)]
    for trainer in trainers:
        trainer.advance(trainer.total_steps)
    played = evaluate_policies([trainer.policy() for trainer in trainers], 10, extra={"variant": "mage"})
    write_parquet(played, folder / "results.parquet")
    return results(folder)


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


def test_a_sweep_whose_driver_is_killed_in_training_and_in_evaluation_ends_as_if_nothing_had_happened(
    start: type[Driver], undisturbed: pd.DataFrame, tiny_maze_here: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    driver = start(MAGE, out, hold=["transformer-1"])
    driver.trains("transformer-1")
    driver.kill()
    driver.goes_on("transformer-1")
    (left_behind,) = mage.results.load_statuses(out).values()
    assert (left_behind.state, left_behind.pid) == ("running", driver.process.pid)
    driver = start(MAGE, out, "--resume", "--cpus-per-worker", "1", "--actors", "2")  # what runs where may be another
    driver.wait_for("[mage] seed 1: goes on from step")
    driver.wait_for("[mage] trained; ")
    assert f"[mage] seed 1: autoencoder {STEPS}/{STEPS}" not in driver.printed()
    assert f"[mage] seed 0: transformer {STEPS}/{STEPS}" not in driver.printed()
    driver.kill()
    told = start(MAGE, out, "--resume", "--actors", "2").ends_well()
    assert f"[mage] seed 1: transformer {STEPS}/{STEPS}" not in told
    assert "then 2 actors of 1 CPU evaluate it" in told
    pd.testing.assert_frame_equal(results(out), undisturbed)
    (trial,) = pd.read_parquet(out / "trials.parquet").to_dict("records")
    assert (trial["variant"], trial["status"]) == ("mage", "finished")
    (status,) = mage.results.load_statuses(out).values()
    assert (status.state, status.counts["finished"], status.started) == ("finished", 1, left_behind.started)
    assert [kept.trial_id for kept in status.trials] == [trial["trial_id"]]


def node_of(worker: psutil.Process) -> psutil.Process:
    """The process of its node."""
    node = worker.parent()
    assert node and node.name() == "raylet"
    return node


def test_a_sweep_loses_a_node_and_goes_on_elsewhere(
    start: type[Driver], undisturbed: pd.DataFrame, tiny_maze_here: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    driver = start(["-c", ON_THREE_NODES, *MAGE], out, hold=["transformer-0"])
    driver.trains("transformer-0")
    node = node_of(driver.worker())
    for process in [node, *node.children(recursive=True)]:  # else a worker outlives its node, and may end its training
        process.kill()
    driver.goes_on("transformer-0")
    told = driver.ends_well()
    assert "training goes on from its last checkpoint, restart 1 of 2" in told
    assert "[mage] seed 0: goes on from step" in told
    pd.testing.assert_frame_equal(results(out), undisturbed)


def preempt(node: psutil.Process, seconds: float) -> None:
    """Takes a node away as a cloud does its spare machines: announced, as by `ray drain-node`, and by SIGTERM then."""
    (address,) = re.findall(r"--gcs-address=(\S+)", " ".join(node.cmdline()))[:1]
    (name,) = set(re.findall(r"--node-id=(\w+)", " ".join(node.cmdline())))
    deadline = int(1000 * (time.time() + seconds))
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, refusal = GcsClient(address=address).drain_node(name, reason, "the cloud wants it back", deadline)
    assert accepted, refusal
    time.sleep(seconds + 0.5)
    node.terminate()


def test_a_preempted_node_is_left_for_another_and_is_no_failure_of_the_trial(
    start: type[Driver], undisturbed: pd.DataFrame, tiny_maze_here: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    driver = start(["-c", ON_THREE_NODES, *MAGE], out, hold=["transformer-0"])
    driver.trains("transformer-0")
    worker = driver.worker()
    preempt(node_of(worker), seconds=1)
    worker.wait(PATIENCE)
    driver.goes_on("transformer-0")
    told = driver.ends_well()
    assert "was preempted; training goes on from its last checkpoint, and this counts as no restart" in told
    assert "restart" not in told.replace("counts as no restart", "") and "seed 0: goes on from step" in told
    pd.testing.assert_frame_equal(results(out), undisturbed)


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


def test_a_disk_that_is_full_and_then_away_for_a_while_is_told_and_waited_for(
    start: type[Driver], undisturbed: pd.DataFrame, tiny_maze_here: Path, tmp_path: Path
) -> None:
    goes_on = "the disk takes files again"
    with small_disk(tmp_path / "disk", 100) as disk:
        seen, filler = tmp_path / "seen", disk / "filler"
        seen.mkdir()
        mount, unmount = ["mount", "--bind", str(disk), str(seen)], ["umount", "--lazy", str(seen)]
        subprocess.run(mount, check=True)
        try:
            driver = start(MAGE, seen / "run", log=tmp_path, hold=["autoencoder-0", "transformer-0"])
            driver.trains("autoencoder-0")
            with filler.open("wb") as stream, pytest.raises(OSError, match="No space left"):
                while True:
                    stream.write(bytes(1 << 16))
                    stream.flush()
            driver.goes_on("autoencoder-0")
            driver.wait_for("No space left on device")
            driver.wait_for("nothing is lost")
            filler.unlink()
            driver.wait_for(goes_on)
            driver.trains("transformer-0")
            subprocess.run(unmount, check=True)
            driver.goes_on("transformer-0")
            driver.wait_for("the run directory is not there")
            before = driver.printed().count(goes_on)
            time.sleep(15)  # for as long as Tune, too, wants to write
            subprocess.run(mount, check=True)
            assert driver.ends_well().count(goes_on) > before
            pd.testing.assert_frame_equal(results(seen / "run"), undisturbed)
        finally:
            subprocess.run(unmount, check=False)
