"""Times the collection of built-in datasets and prints a Markdown table; the datasets are thrown away.

python benchmarks/collection.py maze2d-umaze --steps 1000000 --workers 2
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import tempfile
import time

import minari

from mage import scenarios
from mage.data import ogbench_pointmaze
from mage.data.collect import collect, recordable


def main() -> None:
    """One row a scenario, each recorded from nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="+", choices=recordable(), metavar="SCENARIO")
    parser.add_argument("--steps", type=int, default=1_000_000, help="at least so many, in whole episodes")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    print("| scenario | episodes | steps | workers | seconds | CPU seconds | steps a second |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in arguments.scenarios:
        episodes = math.ceil(arguments.steps / episode_steps(name))
        steps, seconds, cpu_seconds = timed(name, episodes, arguments.workers)
        cells = [f"{seconds:.0f}", f"{cpu_seconds:.0f}", f"{steps / seconds:,.0f}"]
        print(f"| {name} | {episodes:,} | {steps:,} | {arguments.workers} | {' | '.join(cells)} |", flush=True)


def episode_steps(name: str) -> int:
    """The length of a recorded episode; in the maze game, the longest."""
    own = {ogbench_pointmaze.SCENARIO: ogbench_pointmaze.WALK_STEPS}
    return own.get(name, scenarios.get(name).max_episode_steps)


def timed(name: str, episodes: int, workers: int) -> tuple[int, float, float]:
    """The steps recorded, and the wall and CPU seconds that took, reference episodes and writing included."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        start, cpu_start = time.perf_counter(), cpu_seconds_used()
        dataset_id = collect(name, episodes, seed=0, workers=workers)
        seconds, cpu_seconds = time.perf_counter() - start, cpu_seconds_used() - cpu_start
        return int(minari.load_dataset(dataset_id).total_steps), seconds, cpu_seconds


def cpu_seconds_used() -> float:
    """Of this process and of the worker processes that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
