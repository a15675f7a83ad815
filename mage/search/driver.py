"""The process of one scenario of a sweep whose scenarios run side by side: `mage.search.side_by_side` starts it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from mage.command import errors_end_it
from mage.search.plan import make_plan
from mage.search.settings import read_settings
from mage.search.sweep import prepare_tune, sweep_scenario
from mage.training.ray_death import ends_with_ray
from mage.training.ray_start import start_ray


class Share:
    """How many trials may be in flight, by the newest line on standard input; this process ends with that input."""

    def __init__(self) -> None:
        self._share = int(sys.stdin.readline() or 1)
        threading.Thread(target=self._follow, name="share", daemon=True).start()

    def __call__(self) -> int:
        return self._share

    def _follow(self) -> None:
        for line in sys.stdin:
            self._share = int(line)
        os.kill(os.getpid(), signal.SIGKILL)  # whoever started it was killed; as it, at once


def main() -> None:
    """Runs the scenario; the arguments are those of `Driver`."""
    out, scenario, address, go_on, *track = sys.argv[1:]
    with errors_end_it():
        share = Share()
        settings = read_settings(Path(out))
        prepare_tune()
        start_ray(address)
        with ends_with_ray(go_on):
            sweep_scenario(make_plan(scenario, settings), settings, Path(out), track, share)


if __name__ == "__main__":
    main()
