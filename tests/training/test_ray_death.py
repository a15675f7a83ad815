"""A Ray that ends under a run ends it in one line; a Ray that was only busy does not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mage.errors import MageError
from mage.training import ray_death
from mage.training.ray_death import ends_with_ray, ray_is_dead

HANGS = """
import signal, time
from mage.training import ray_death
ray_death.POLL_SECONDS = ray_death.GRACE_SECONDS = ray_death.LAST_SECONDS = 0.05
with ray_death.ends_with_ray("start it again", lambda: True):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not take seconds to be sure."""
    monkeypatch.setattr(ray_death, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(ray_death, "GRACE_SECONDS", 0.1)


def test_the_death_of_ray_ends_what_waits_for_it() -> None:
    told = r"Ray has ended under this run.*; start it again"
    with pytest.raises(MageError, match=told) as caught, ends_with_ray("start it again", lambda: True):
        time.sleep(60)
    assert "\n" not in str(caught.value)


def test_so_it_does_where_a_shell_runs_it_in_the_background() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(MageError, match="Ray has ended"), ends_with_ray("start it again", lambda: True):
            time.sleep(60)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_of_a_dead_ray_is_its_death() -> None:
    with pytest.raises(MageError, match="Ray has ended"), ends_with_ray("again", lambda: True):
        raise RuntimeError("The task's local raylet died. Check raylet.out for more information.")


def test_a_head_that_was_away_for_a_moment_ends_nothing() -> None:
    answers = iter([True, True, False])
    with ends_with_ray("again", lambda: next(answers, False)):
        time.sleep(0.5)


def test_errors_and_interrupts_of_a_run_whose_ray_lives_stay_what_they_are() -> None:
    for error in (MageError("diverged"), KeyboardInterrupt(), ValueError("x")):
        with pytest.raises(type(error)) as caught, ends_with_ray("again", lambda: False):
            raise error
        assert caught.value is error


def test_a_batch_system_that_ends_a_run_interrupts_it() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), ends_with_ray("again", lambda: False):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_hangs_in_a_call_to_a_dead_ray_ends_with_the_line_and_code_2() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=540)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: Ray has ended") and line.endswith("start it again")


def test_without_ray_none_has_died() -> None:
    assert not ray_is_dead()


KILLED = """
import os, signal, sys, time, ray
from mage.errors import MageError
from mage.training.ray_start import start_ray
from mage.training.ray_death import ends_with_ray, ray_is_dead
from ray._private.worker import global_worker
print(start_ray(), ray_is_dead(), flush=True)
(raylet,) = global_worker.node.all_processes["raylet"]
try:
    with ends_with_ray("go on"):
        waits = ray.remote(lambda: time.sleep(600)).remote()
        os.kill(raylet.process.pid, signal.SIGKILL)
        ray.get(waits)
except MageError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.ray
def test_a_ray_that_is_killed_ends_its_driver_within_seconds(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=540, env=environment)
    started, told = done.stdout.splitlines()
    assert started == "a Ray of its own, on this machine False"
    assert told.startswith("Ray has ended under this run") and told.endswith("; go on")
    assert done.returncode == 2
