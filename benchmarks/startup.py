"""What passes before anything is done: importing the package, its help, the registry, opening a dataset again.

    python -m benchmarks.startup --out benchmarks/startup.md

Seconds are the processor's, of a fresh process, by `resource.getrusage` when it has ended: the least of several, which
take turns so that a busy moment hits all alike. The dataset, of a million steps, is recorded where it is not there: two
minutes. Its floor is a process that imports what a training imports, and opens nothing.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.table import environment_lines

DATASET, EPISODES = "mage/maze2d/umaze-1m-v0", 3334
IMPORTS = "import mage.training.trainer, mage.data.minari_source, mage.data.sources"
OPEN = f"""
from mage.config import load_config
from mage.data.sources import load_trajectories
from mage.training.trainer import Trainer
trainer = Trainer(load_trajectories(None, {DATASET!r}, download=False), load_config("cpu", (), "maze2d"), seed=0)
assert trainer.trajectories.steps > 1_000_000 and len(trainer.trajectories.returns_to_go)
"""
NOTHING, TRAINING = "python -c pass", "what a training imports"
COMMANDS = {
    NOTHING: ["-c", "pass"],
    "import mage": ["-c", "import mage"],
    "mage --help": ["-m", "mage", "--help"],
    "mage scenarios": ["-m", "mage", "scenarios"],
    TRAINING: ["-c", IMPORTS],
    "a training of 1,000,200 steps, opened again": ["-c", IMPORTS + OPEN],
}
"""What is started -> the arguments of Python."""

BOUNDS = {"import mage": 0.3, "mage --help": 0.5, "mage scenarios": 1.0}
"""Seconds that each may take."""

OPENING_BOUND = 2.0
"""Seconds that opening may add to the imports."""


def main() -> int:
    """Measures, prints the table and writes it; 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="fresh processes a row (default 7)")
    parser.add_argument("--out", type=Path, help="file of the table")
    arguments = parser.parse_args()
    record()
    with tempfile.TemporaryDirectory() as cache:
        rows = table(least_seconds(COMMANDS, arguments.repeats, {"MAGE_CACHE_DIR": cache}))
    lines = [*environment_lines(), f"- the least of {arguments.repeats} processes a row", "", markdown(rows), ""]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join([*kept_words(arguments.out), *lines]))
    return int(not rows["kept"].all())


def record() -> None:
    """Makes the dataset where it is not on this machine."""
    from mage.data import maze2d
    from mage.data.minari_writer import dataset_is_local

    if not dataset_is_local(DATASET):
        maze2d.collect("maze2d-umaze", episodes=EPISODES, dataset_id=DATASET, workers=1)


def least_seconds(
    commands: Mapping[str, Sequence[str]], repeats: int, environment: Mapping[str, str] = {}
) -> dict[str, float]:
    """Of the processor, that a fresh Python with those arguments takes; the first of each is not counted.

    It writes what Python compiles, and the cache of a dataset.
    """
    least = dict.fromkeys(commands, float("inf"))
    for turn in range(repeats + 1):
        for name, arguments in commands.items():
            taken = cpu_seconds(arguments, environment)
            least[name] = min(least[name], taken) if turn else least[name]
    return least


def cpu_seconds(arguments: Sequence[str], environment: Mapping[str, str] = {}) -> float:
    """That a Python with those arguments, and all that it starts, takes."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env={**own, **environment}, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table(seconds: Mapping[str, float]) -> pd.DataFrame:
    """A row a command, with its bound, and one for what opening adds."""
    opening = list(seconds.values())[-1] - seconds[TRAINING]
    taken, bounds = {**seconds, "opening it": opening}, BOUNDS | {"opening it": OPENING_BOUND}
    rows = [{"what": name, "CPU s": each, "bound": bounds.get(name)} for name, each in taken.items()]
    frame = pd.DataFrame(rows)
    frame["over `python -c pass`"] = frame["CPU s"] / seconds[NOTHING]
    return frame.assign(kept=frame["bound"].isna() | (frame["CPU s"] < frame["bound"]))


def markdown(rows: pd.DataFrame) -> str:
    """The table with two decimals."""
    lines = ["| what | CPU s | over `python -c pass` | bound |", "| --- | --- | --- | --- |"]
    for what, taken, bound, over, _ in rows.itertuples(index=False):
        shown = f"`{what}`" if what in BOUNDS or what == NOTHING else what
        lines.append(f"| {shown} | {taken:.2f} | {over:.1f} | {'-' if bound != bound else f'{bound:g}'} |")
    return "\n".join(lines)


def kept_words(out: Path) -> list[str]:
    """What a person has written above the figures of that file."""
    before = out.read_text().partition("- machine:")[0] if out.exists() else "# Starting\n\n"
    return [*before.rstrip("\n").splitlines(), ""]


if __name__ == "__main__":
    sys.exit(main())
