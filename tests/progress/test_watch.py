"""The story of a sweep: told in few lines in a log, as a view on a terminal, and kept in status.json."""

import os
import pty
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mage.errors import MageError
from mage.progress import watch as module
from mage.progress.ray_board import Message, Step
from mage.progress.trackers.tracker import Tracker
from mage.progress.watch import Watch, waiting
from mage.results.status import SweepStatus, read_status
from mage.search.tables import ended_trials, failures
from tests.results.tables import trials

DEPTH = "transformer.depth"
FINAL = {"score": 70.0, "score_standard_error": float("nan"), "success_rate": 50.0, "eval_step": 1}


def training(trial: str, step: int, steps: int = 100, seed: int = 0, stage: str = "autoencoder") -> Message:
    """What a worker tells of a row of the loss curve."""
    row: dict[str, float | str] = {"stage": stage, "step": step, "loss": 1 / (step + 1)}
    return Message(f"{stage} {step}/{steps}", trial, seed, Step(row, steps, step, step / steps / 2), "training")


def now(folder: Path) -> SweepStatus:
    status = read_status(folder)
    assert status is not None
    return status


def test_a_log_has_the_ends_of_stages_and_else_a_training_line_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Watch(waiting("pen-expert", 2, 1), tmp_path) as watch:
        watch.trial_started("a", {DEPTH: 1}, "/log/a")
        watch.trial_started("b", {DEPTH: 2}, "/log/b")
        for step in range(10, 101, 10):
            watch.heard(training("a", step))
        watch.heard(training("b", 10))
        watch.heard(Message("codebook: all used", "a", 0))
        watch.heard(Message(trial="a", doing="evaluating 1/7"))
        monkeypatch.setattr(module, "TRAINING_LINE_EVERY", 0.0)
        watch.heard(training("a", 20, stage="transformer"))
        assert (state := watch.status.trial("a")) is not None
        assert (state.doing, state.stage, state.step, state.loss) == ("training", "transformer", 20, 1 / 21)
    told = [re.sub(r"^\[pen-expert \d\d:\d\d:\d\d\] ", "", line) for line in capsys.readouterr().out.splitlines()]
    assert told == [
        "trial a starts: depth=1",
        "trial b starts: depth=2",
        "[depth=1] seed 0: autoencoder 10/100",
        "[depth=1] seed 0: autoencoder 100/100",
        "[depth=2] seed 0: autoencoder 10/100",
        "[depth=1] seed 0: codebook: all used",
        "[depth=1] seed 0: transformer 20/100",
    ]


def test_a_summary_comes_with_every_end_and_else_every_few_minutes(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Watch(waiting("pen-expert", 4, 1), tmp_path) as watch:
        watch.trial_started("a", {DEPTH: 1}, None)
        watch.trial_started("b", {DEPTH: 2}, None)
        watch.trial_scored("a", 1, FINAL)
        watch.trial_ended("a", FINAL)
        watch.trial_failed("b", "no memory")
        assert "2 of 4 trials done, 1 of them failed; best so far 70.0 (depth=1); about" in capsys.readouterr().out
        watch.tick()
        assert "trials done" not in capsys.readouterr().out
        monkeypatch.setattr(module, "SUMMARY_EVERY", 0.0)
        watch.tick()
        assert "2 of 4 trials done" in capsys.readouterr().out


def test_the_state_is_written_while_it_changes_and_says_why_a_trial_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_EVERY", 0.0)
    with Watch(waiting("pen-expert", 3, 2), tmp_path, evaluations=2) as watch:
        assert (now(tmp_path).state, now(tmp_path).pid, now(tmp_path).counts["left"]) == ("running", os.getpid(), 3)
        watch.trial_started("a", {DEPTH: 1}, "/log/a")
        watch.heard(training("a", 50, seed=1))
        watch.tick()
        (trial,) = now(tmp_path).trials
        assert (trial.status, trial.seed, trial.step, trial.steps, trial.fraction) == ("running", 1, 50, 100, 0.25)
        watch.trial_ended("a", FINAL)  # after the first of two evaluations
        watch.trial_started("b", {DEPTH: 2}, "/log/b")
        watch.trial_failed("b", "no memory")
    stopped, failed = now(tmp_path).trials
    assert (stopped.status, stopped.score) == ("stopped", 70.0)
    assert (failed.status, failed.reason, failed.log) == ("failed", "no memory", "/log/b")
    assert now(tmp_path).state == "finished"


def test_a_watch_that_ends_by_an_error_leaves_its_trials_interrupted_and_the_next_goes_on_counting(
    tmp_path: Path,
) -> None:
    with pytest.raises(MageError), Watch(waiting("pen-expert", 4, 1), tmp_path) as watch:
        for trial in "abc":
            watch.trial_started(trial, {DEPTH: 1}, None)
        watch.trial_ended("a", FINAL)
        raise MageError("the disk is full")
    before = now(tmp_path)
    assert before.state == "interrupted"
    assert before.counts | {"finished": 1, "interrupted": 2, "left": 1} == before.counts
    with Watch(waiting("pen-expert", 4, 1), tmp_path) as watch:
        watch.keep_only({"a", "b", "new"})  # Tune had not saved that it had begun c
        assert [trial.trial_id for trial in watch.status.trials] == ["a", "b"]
        assert watch.knows_end_of("a") and not watch.knows_end_of("b")
        watch.trial_started("b", {DEPTH: 1}, None)
        assert watch.status.counts["running"] == 1
        assert watch.status.started == before.started


def test_an_end_that_no_driver_lived_to_write_is_taken_from_the_table_of_trials(tmp_path: Path) -> None:
    with Watch(waiting("pen-expert", 3, 1), tmp_path) as watch:
        watch.trial_started("a", {DEPTH: 1}, "/log/a")
        watch.heard(training("a", 100))
        watch.trial_ended("a", FINAL)
        watch.trial_started("b", {DEPTH: 2}, "/log/b")
        table = trials({DEPTH: [1, 2, 4]}, [70.0, 71.0, None], log="/log/x")
        table["trial_id"] = list("abc")
        watch.settle(ended_trials(table))
    assert now(tmp_path).counts | {"finished": 2, "failed": 1, "interrupted": 0, "left": 0} == now(tmp_path).counts
    assert [trial.score for trial in now(tmp_path).trials] == [70.0, 71.0, None]
    assert now(tmp_path).trials[0].step == 100
    assert now(tmp_path).trials[2].configuration == {DEPTH: 4}
    assert failures(table) == ["maze2d-umaze: FAILED c [depth=4]: RuntimeError: out of memory (log: /log/x)"]


class Recorder(Tracker):
    """Remembers what it was told."""

    name = "recorder"

    def __init__(self) -> None:
        self.told: list[Any] = []

    def row(self, trial: Any, seed: int, row: Any, total_step: int) -> None:
        self.told.append((trial.trial_id, seed, row["loss"], total_step))

    def end(self, trial: Any, measures: Any) -> None:
        self.told.append((trial.trial_id, trial.status, measures))


class Broken(Tracker):
    """Fails at once, as where a server cannot be reached."""

    name = "broken"

    def begin(self, trial: Any) -> None:
        raise ConnectionError("no route to host")


def test_trackers_hear_rows_and_ends_and_one_that_fails_is_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    recorder = Recorder()
    with Watch(waiting("pen-expert", 1, 1), tmp_path, trackers=[Broken(), recorder]) as watch:
        watch.trial_started("a", {DEPTH: 1}, None)
        watch.heard(training("a", 9))
        watch.trial_ended("a", FINAL)
    assert recorder.told == [("a", 0, 0.1, 9), ("a", "finished", {"score": 70.0, "success_rate": 50.0})]
    assert capsys.readouterr().out.count("broken is given up: no route to host; the sweep goes on") == 1


ON_A_TERMINAL = """
import sys, time
from pathlib import Path
from tests.progress.test_watch import DEPTH, FINAL, training
from mage.progress.watch import Watch, waiting

with Watch(waiting("pen-expert", 3, 2), Path(sys.argv[1])) as watch:
    for number, trial in enumerate("ab", 1):
        watch.trial_started(trial, {DEPTH: number}, None)
    for step in range(10, 101, 10):
        watch.heard(training("a", step, stage="transformer"))
        time.sleep(0.2)
    watch.trial_ended("b", FINAL)
    time.sleep(1.2)
"""


def test_a_terminal_shows_a_view_that_renews_itself_and_keeps_the_events(tmp_path: Path) -> None:
    here, there = pty.openpty()
    received: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(here, 4096):
                received.append(chunk)
        except OSError:  # Linux ends a terminal so
            return

    reader = threading.Thread(target=read)
    reader.start()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    command = [sys.executable, "-c", ON_A_TERMINAL, str(tmp_path)]
    subprocess.run(command, stdout=there, stderr=there, env=environment, check=True, timeout=540)
    os.close(there)
    reader.join()
    os.close(here)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(received).decode())
    steps = set(re.findall(r"transformer │ (\d+)/100", shown))
    assert len(steps) > 2
    assert "pen-expert: 1 of 3 trials finished, 0 failed, 1 running, 1 left, 2 training seeds each; about" in shown
    assert "best so far: 70.0 (depth=2)" in shown
    assert "autoencoder 10/100" not in shown
    assert len(re.findall(r"\[pen-expert \d\d:\d\d:\d\d\] 1 of 3 trials done", shown)) == 1


def test_the_state_is_renewed_at_least_so_often_that_nobody_takes_it_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.2)
    monkeypatch.setattr(module, "TICK", 0.05)
    with Watch(waiting("pen-expert", 1, 1), tmp_path):
        first, deadline = now(tmp_path).updated, time.monotonic() + 20
        while now(tmp_path).updated == first and time.monotonic() < deadline:
            time.sleep(0.05)
        assert now(tmp_path).updated != first
