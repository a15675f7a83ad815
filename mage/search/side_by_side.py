"""Scenarios of a sweep side by side, where the trials of one leave room in the cluster.

Each has a driver of its own, a process that joins the same Ray: within one, Tune knows what it runs by its name, and
what one scenario is given another would get. Each driver is told, in a line on its standard input, how many trials it
may have in flight, and ends when that input does, with whoever tells it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from mage import registry
from mage.errors import MageError
from mage.results.status import read_status
from mage.search.plan import Plan

POLL_SECONDS, COUNT_SECONDS = 0.5, 5.0
LAST_SECONDS = 30.0  # for drivers to end in order
ERROR = "error: "


def fair_shares(room: int, left: Sequence[int]) -> list[int]:
    """How many trials each scenario may have in flight: one after the other gets one more, none more than it has left.

    Each has at least one, however little room there is: Tune waits for ever for a trial that it may not start.
    """
    shares = [1 for _ in left]
    while sum(shares) < room and any(own < most for own, most in zip(shares, left, strict=True)):
        for scenario, most in enumerate(left):
            shares[scenario] += shares[scenario] < most and sum(shares) < room
    return shares


def run_side_by_side(
    plans: Sequence[Plan], out: Path, room: Callable[[], int], address: str, go_on: str, track: Sequence[str]
) -> None:
    """Runs each scenario in a driver of its own, the next one as soon as those that run leave room for a trial of it.

    Args:
        plans: of the scenarios, in the order in which they begin.
        out: run directory, with its `sweep.json`.
        room: how many trials the cluster takes now.
        address: of the Ray cluster.
        go_on: what the user can do when Ray ends.
        track: trackers.

    Raises:
        MageError: of the first scenario whose driver has failed; the others have been run.
    """
    waiting, running, failed = list(plans), list[Driver](), list[str]()
    counted = float("-inf")
    try:
        while waiting or running:
            for driver in [each for each in running if each.process.poll() is not None]:
                running.remove(driver)
                failed += driver.failure()
                counted = float("-inf")
            if time.monotonic() - counted >= COUNT_SECONDS:
                counted, free = time.monotonic(), room()
                while waiting and (not running or sum(each.left() for each in running) < free):
                    running.append(Driver(waiting.pop(0), out, address, go_on, track))
                for driver, share in zip(running, fair_shares(free, [each.left() for each in running]), strict=True):
                    driver.tell(share)
            time.sleep(POLL_SECONDS)
    finally:
        for driver in running:
            driver.process.terminate()
        for driver in running:
            driver.end()
    if failed:
        raise MageError(failed[0])


class Driver:
    """The process of one scenario; what it prints is printed here."""

    def __init__(self, plan: Plan, out: Path, address: str, go_on: str, track: Sequence[str]) -> None:
        self.plan, self.folder, self._error, self._told = plan, out / plan.scenario, "", 0
        folders = {registry.folder_of(config.algorithm) for config in (plan.config, *(plan.variants or {}).values())}
        places = os.pathsep.join([*filter(None, folders), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "mage.search.driver", str(out), plan.scenario, address, go_on, *track],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # of Ctrl-C it hears once, from here
            env=os.environ | {"PYTHONPATH": places},
        )
        self._thread = threading.Thread(target=self._print, name=plan.scenario, daemon=True)
        self._thread.start()

    def left(self) -> int:
        """Trials that have not ended."""
        status = read_status(self.folder)
        ended = sum(status.counts[kind] for kind in ("finished", "stopped", "failed")) if status else 0
        return max(0, self.plan.trials - ended)

    def tell(self, share: int) -> None:
        """How many trials it may have in flight."""
        if share != self._told and self.process.stdin:
            with suppress(OSError):  # it has just ended
                self.process.stdin.write(f"{share}\n")
                self.process.stdin.flush()
                self._told = share

    def failure(self) -> list[str]:
        """Why it has ended, if not well."""
        self._thread.join(LAST_SECONDS)
        code = self.process.returncode
        return [self._error or f"the driver of {self.plan.scenario} has ended with {code}"] if code else []

    def end(self) -> None:
        """Waits for its end."""
        try:
            self.process.wait(LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _print(self) -> None:
        for line in self.process.stdout or ():
            if line.startswith(ERROR):
                self._error = line.removeprefix(ERROR).strip()
            else:
                print(line, end="", flush=True)
