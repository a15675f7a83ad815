"""What Ray itself costs: a trial, a group of workers, an actor, a report; and the driver's memory over many trials.

    python -m benchmarks.scaling costs
    python -m benchmarks.scaling trials --trials 200 --out runs/scaling
    python -m benchmarks.scaling proposals --trials 1000

The training is next to nothing, so what is measured is all the rest; `proposals` trains nothing at all: scores are
drawn, and what is measured is Optuna's search with its journal.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from benchmarks.table import environment_lines, markdown
from mage import scenarios
from mage.config import AlgorithmConfig, load_config
from mage.data.sources import load_trajectories
from mage.search.settings import make_settings

SCENARIO = "maze2d-umaze"
NEXT_TO_NOTHING = (
    "algorithm=bc",
    "training.reference.steps=20",
    "training.reference.batch_size=8",
    "evaluation.batch_size=1",
    "evaluation.inspection_episodes=0",
)
REPORTS = 40
SAMPLE_SECONDS = 5.0


def main() -> None:
    """One of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", choices=["costs", "trials", "proposals"])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3, help="of each cost; the median is shown")
    parser.add_argument("--out", type=Path, default=Path("runs/scaling"), help="run directory of the trials")
    parser.add_argument("--resume", action="store_true", help="go on with the trials in --out")
    arguments = parser.parse_args()
    if arguments.measure == "costs":
        table = costs(arguments.repeats)
    elif arguments.measure == "trials":
        table = trials(arguments.trials, arguments.out, arguments.resume)
    else:
        table = proposals(arguments.trials)
    print("\n".join([*environment_lines(), "", markdown(table)]))


def costs(repeats: int) -> pd.DataFrame:
    """Seconds of everything that a sweep pays for whatever it trains; the median of `repeats`."""
    import ray

    from mage.training.ray_start import start_ray

    trajectories = load_trajectories(scenarios.get(SCENARIO))
    rows = {"Ray starts on this machine": [seconds(lambda: start_ray("local"))]}
    shared = ray.put(trajectories)
    once, often = (
        [trained_in(shared, steps, every) for _ in range(repeats)] for steps, every in ((20, 10_000), (20 + REPORTS, 1))
    )
    rows["a group of one worker, from nothing to its policy"] = once
    rows["the same with two workers"] = [trained_in(shared, 20, 10_000, workers=2) for _ in range(repeats)]
    reported = (statistics.median(often) - statistics.median(once)) / (19 + REPORTS)
    rows["a report with a checkpoint"] = [reported]
    rows["an evaluation actor, until it can play"] = [seconds(actor_is_ready) for _ in range(repeats)]
    medians = [{"what": what, "seconds": statistics.median(each)} for what, each in rows.items()]
    return pd.DataFrame(medians).round(2)


def trained_in(trajectories: object, steps: int, checkpoint_every: int, workers: int = 1) -> float:
    """Seconds of a training of so many steps, with its checkpoints."""
    from mage.training.ray_train import Placement, train_with_ray

    changes = (f"training.reference.steps={steps}", f"training.checkpoint_every={checkpoint_every}")
    config: AlgorithmConfig = load_config("cpu", (*NEXT_TO_NOTHING, *changes), scenarios.get(SCENARIO).domain)
    with tempfile.TemporaryDirectory() as storage:
        return seconds(lambda: train_with_ray(trajectories, config, [0], "run", storage, Placement(workers=workers)))


def actor_is_ready() -> None:
    """Starts an evaluation actor and ends it."""
    import ray

    from mage.evaluation.ray_actors import EvaluationActor

    actor = EvaluationActor.options(num_cpus=1).remote()  # type: ignore[attr-defined]
    ray.get(actor.ready.remote())
    ray.kill(actor)


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def trials(count: int, out: Path, resume: bool) -> pd.DataFrame:
    """A sweep of so many trials; what the driver and Ray's own processes hold as they pass."""
    from mage.search.sweep import run_sweep

    settings = make_settings(
        scenarios=[SCENARIO],
        space={"training.reference.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}},
        overrides=NEXT_TO_NOTHING,
        trials=count,
        episodes=1,
        intermediate_evaluations=0,
    )
    samples: list[dict[str, float]] = []
    done = threading.Event()
    sampler = threading.Thread(target=sample, args=(samples, out / SCENARIO / "episodes", done))
    sampler.start()
    try:
        run_sweep(settings, out, resume, "local")
    finally:
        done.set()
        sampler.join()
    frame = pd.DataFrame(samples)
    frame.to_parquet(out / "memory.parquet")
    marks = np.arange(count // 10, count + 1, count // 10)
    return frame.iloc[frame["trials done"].searchsorted(marks).clip(max=len(frame) - 1)].round(0)


def proposals(count: int) -> pd.DataFrame:
    """CPU milliseconds of a proposal and of hearing its score, and what the process holds, as the study grows."""
    from mage.search.journal import RunJournal
    from mage.search.proposals import make_search
    from mage.search.space import space_of, starting_point, to_tune
    from mage.search.trial import METRIC

    space = space_of("mage") | {"training.transformer.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}}
    rng, rows = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder:
        RunJournal.folder = Path(folder)
        search = make_search("proposals", starting_point(space, load_config("cpu")), seed=0)
        search.set_search_properties(METRIC, "max", to_tune(space))
        for number in range(count):
            trial, began = f"{number:08x}", time.process_time()
            proposed = search.suggest(trial)
            suggested = time.process_time()
            score = -abs(np.log10(proposed["training.transformer.learning_rate"]) + 3) + 0.1 * rng.standard_normal()
            search.on_trial_complete(trial, {METRIC: score})
            told = time.process_time()
            rows.append((number + 1, 1e3 * (suggested - began), 1e3 * (told - suggested), megabytes(psutil.Process())))
    frame = pd.DataFrame(rows, columns=["trials", "ms a proposal", "ms a score", "MB"])
    tenths = np.arange(len(frame)) * 10 // len(frame)
    return frame.groupby(tenths).agg({"trials": "max", "ms a proposal": "median", "ms a score": "median", "MB": "max"})


def sample(samples: list[dict[str, float]], episodes: Path, done: threading.Event) -> None:
    """Every few seconds: trials done, memory and CPU time of the driver, memory of Ray's servers, and processes."""
    driver, began = psutil.Process(), time.monotonic()
    while not done.wait(SAMPLE_SECONDS):
        children = driver.children(recursive=True)
        samples.append(
            {
                "minutes": (time.monotonic() - began) / 60,
                "trials done": sum(1 for _ in episodes.glob("*.parquet")),
                "driver MB": megabytes(driver),
                "driver CPU s": sum(driver.cpu_times()[:2]),
                "gcs_server MB": sum(megabytes(child) for child in children if name(child) == "gcs_server"),
                "raylet MB": sum(megabytes(child) for child in children if name(child) == "raylet"),
                "processes": len(children),
            }
        )


def megabytes(process: psutil.Process) -> float:
    """What a process holds for itself; 0 if it has ended."""
    try:
        return float(process.memory_full_info().uss) / 1e6
    except psutil.Error:
        return 0.0


def name(process: psutil.Process) -> str:
    """Of its program; empty if it has ended."""
    try:
        return process.name()
    except psutil.Error:
        return ""


if __name__ == "__main__":
    main()
