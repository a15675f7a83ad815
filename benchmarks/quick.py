"""The quick table: what this library adds to what it cannot do without, and whether it has come to add more.

    make bench                                                        # measures, and compares with benchmarks/quick.md
    OMP_NUM_THREADS=1 python -m benchmarks.quick --out benchmarks/quick.md    # measures anew what to compare with

A figure is a ratio: time of the processor for a piece of our work over that for its floor, side by side in one run, so
that a slower or busier machine has about the same: they take turns, each counts by its fastest tenth. A figure
that has grown by more than 15 % is measured again, for longer, and lost where it has grown again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from benchmarks import acting
from benchmarks.gpu.measuring import DOMAIN, stage_of, synthetic
from benchmarks.gpu.steps import flop_of
from benchmarks.startup import COMMANDS, NOTHING, cpu_seconds, kept_words
from benchmarks.table import environment_lines
from mage.config import load_config
from mage.data import maze2d
from mage.data.cache import cached
from mage.data.minari_source import Dataset
from mage.data.trajectories import Task, Trajectories
from mage.evaluation.rollout import Rollout
from mage.training.trainer import Trainer

COMMITTED = Path(__file__).with_name("quick.md")
ALLOWED = 1.15
"""How many times its committed ratio a figure may have."""

WARM_UP, LEAST_TURNS, FASTEST = 3, 7, 0.1
SQUARE = 256
EPISODE_STEPS = 50

Work = Callable[[], object]
Pair = tuple[Work, Work]
"""Our work, and its floor."""


def main() -> int:
    """Measures all figures; writes them, or compares them and returns 1 where one is lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="about so long a figure (default 8)")
    parser.add_argument("--out", type=Path, help="file of the table; nothing is compared then")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    measured = measure(FIGURES, arguments.seconds)
    if arguments.out:
        lines = [*kept_words(arguments.out), *environment_lines(), "", markdown(measured), ""]
        arguments.out.write_text("\n".join(lines))
        return 0
    committed = read_table(COMMITTED.read_text())
    doubtful = [name for name in FIGURES if losses(committed, measured, [name])]
    again = measure({name: FIGURES[name] for name in doubtful}, 2 * arguments.seconds)
    lost = losses(committed, {name: min(ratio, again.get(name, ratio)) for name, ratio in measured.items()})
    print("\n".join(lost) or f"no figure has grown by more than {ALLOWED - 1:.0%}")
    return int(bool(lost))


def measure(figures: Mapping[str, Callable[[float], float]], seconds: float) -> dict[str, float]:
    """Each figure's ratio, printed as it comes."""
    found = {}
    for name, figure in figures.items():
        found[name] = figure(seconds)
        print(f"{name}: {found[name]:.2f}", flush=True)
    return found


def losses(
    committed: Mapping[str, float], measured: Mapping[str, float], names: Sequence[str] | None = None
) -> list[str]:
    """A line for each figure, of all or those named, that has grown by more than is allowed, or is missing in one."""
    lines = []
    for name in names or sorted({*committed, *measured}):
        before, now = committed.get(name), measured.get(name)
        if before is None:
            lines.append(f"{name}: {now:.2f} times its floor, and the committed table has no such figure")
        elif now is None:
            lines.append(f"{name}: not measured; {before:.2f} times its floor in the committed table")
        elif now > ALLOWED * before:
            lines.append(f"{name}: {now:.2f} times its floor, {now / before - 1:.0%} more than {before:.2f} before")
    return lines


def markdown(measured: Mapping[str, float]) -> str:
    """A row a figure."""
    lines = ["| figure | times its floor |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {name} | {ratio:.2f} |" for name, ratio in measured.items())])


def read_table(text: str) -> dict[str, float]:
    """The figures of what `markdown` wrote, in a text with other words."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {name: float(ratio) for name, ratio in rows if ratio[0].isdigit()}


def over(pair: Pair, seconds: float) -> float:
    """How many times the floor's time our work takes, by turns of one call each."""
    for work in pair * WARM_UP:
        work()
    return ratio(tuple(partial(timed, work) for work in pair), seconds)


def ratio(takes: tuple[Callable[[], float], ...], seconds: float) -> float:
    """Of what the two take, by the fastest tenth of their turns: what others do meanwhile only ever adds."""
    turns: list[list[float]] = []
    ends = time.monotonic() + seconds
    while len(turns) < LEAST_TURNS or time.monotonic() < ends:
        turns.append([take() for take in takes])
    ours, floor = np.quantile(turns, FASTEST, axis=0)
    return float(ours / floor)


def timed(work: Work) -> float:
    """Seconds of the processor that it takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def acts(batch: int, seconds: float) -> float:
    """A step of acting of MAGE over one of a Decision Transformer of equal size."""
    policies = acting.policies_of("cpu")
    return over((acting.acting(policies["mage"], batch), acting.acting(policies["dt"], batch)), seconds)


def trains(algorithm: str, stage: str, seconds: float) -> float:
    """A training step over bare products of square matrices with as many floating-point operations."""
    config = load_config("cpu", (), DOMAIN, algorithm=algorithm)
    engine = stage_of(Trainer(synthetic(50), config, seed=0), stage, "fp32")
    products = flop_of(engine) / (2 * SQUARE**3)
    left, right = torch.randn(2, SQUARE, SQUARE)
    out = torch.empty(SQUARE, SQUARE)
    # a floor of one product, scaled: a step may have fewer operations than a whole number of them
    return over((engine.train_step, partial(torch.mm, left, right, out=out)), seconds) / products


def evaluates(seconds: float, environments: int = 20) -> float:
    """Episodes of behaviour cloning in a maze over the environments' own steps with the same actions."""
    policy = Trainer(in_the_maze(synthetic(50)), load_config("cpu", (), "maze2d", algorithm="bc"), seed=0).policy()
    rollout = Rollout(policy.task, environments)
    rows = rollout.run(policy, range(environments), record=True)

    def bare() -> None:
        for environment, row in zip(rollout.environments, rows, strict=True):
            environment.reset(seed=row["environment_seed"])
            for action in row["actions"]:
                environment.step(action)

    return over((lambda: rollout.run(policy, range(environments)), bare), seconds)


def in_the_maze(trajectories: Trajectories) -> Trajectories:
    """The same numbers, as many of them as the U-maze has, for an environment to act in."""
    spec = maze2d.environment_spec("maze2d-umaze", EPISODE_STEPS).to_json()
    changes = {"environment_spec": spec, "observation_keys": ("observation", "desired_goal")}
    task = Task.model_validate(
        trajectories.task.model_dump() | changes | {"action_low": (-1.0,) * 2, "action_high": (1.0,) * 2}
    )
    observations, actions = trajectories.observations[:, :6].copy(), trajectories.actions[:, :2].copy()
    return replace(trajectories, observations=observations, actions=actions, task=task)


def opens(seconds: float) -> float:
    """Opening a dataset of 40 MB from the cache, over SHA-256 of its bytes."""
    with tempfile.TemporaryDirectory() as folder, in_environment(MAGE_CACHE_DIR=folder):
        (own := Path(folder) / "own").mkdir()
        arrays = {"observations": np.random.default_rng(0).standard_normal((1_000_000, 10), np.float32)}
        dataset = Dataset(
            dataset_id="quick/opened-v0",
            arrays=arrays,
            fingerprint="",
            environment_spec="",
            reference_scores=None,
            observation_keys=(),
            action_low=(),
            action_high=(),
        )
        again = partial(cached, "quick/opened-v0", own, 1, lambda: dataset)
        again()
        (file,) = Path(folder).rglob("observations.npy")

        def digest() -> None:
            with file.open("rb") as stream:
                hashlib.file_digest(stream, "sha256").hexdigest()

        return over((again, digest), seconds)


@contextmanager
def in_environment(**variables: str) -> Iterator[None]:
    """These variables of the environment, inside."""
    with patch.dict(os.environ, variables):
        yield


def starts(command: str, seconds: float) -> float:
    """A process that runs a command over one of Python that does nothing."""
    cpu_seconds(COMMANDS[command])  # Python writes what it compiles
    return ratio((partial(cpu_seconds, COMMANDS[command]), partial(cpu_seconds, COMMANDS[NOTHING])), seconds)


FIGURES: dict[str, Callable[[float], float]] = {
    "acting, MAGE over DT, 1 environment": partial(acts, 1),
    "acting, MAGE over DT, 20 environments": partial(acts, 20),
    "a step of MAGE's stage 1 over bare products": partial(trains, "mage", "autoencoder"),
    "a step of MAGE's stage 2 over bare products": partial(trains, "mage", "transformer"),
    "a step of DT over bare products": partial(trains, "dt", "reference"),
    "evaluation over bare steps of its environments": evaluates,
    "opening a dataset again over SHA-256 of its bytes": opens,
    **{f"{name} over {NOTHING}": partial(starts, name) for name in ("import mage", "mage --help", "mage scenarios")},
}
"""What is measured -> how, in about so many seconds."""


if __name__ == "__main__":
    sys.exit(main())
