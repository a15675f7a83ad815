"""Whole commands on the GPU: data, a Ray Train worker, a sweep that shares the GPU, a training at the paper's size."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.gpu.measuring import Bench, Row
from benchmarks.gpu.steps import real_data
from mage.errors import MageError

MAZE = "maze2d-umaze"
MAGE = (sys.executable, "-c", "from mage.cli import main; main()")
SHOWN_LINES, SAMPLE_SECONDS = 14, 0.5
START_AND_EVALUATION_SECONDS = 60.0
EMPTY: Mapping[str, str] = {}
TF32 = {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}
SMALL_RUN = (
    "autoencoder.embed_dim=16",
    "autoencoder.codebook_size=16",
    "transformer.embed_dim=16",
    "training.autoencoder.batch_size=16",
    "training.transformer.batch_size=16",
    "evaluation.batch_size=5",
)


class Watched(threading.Thread):
    """Samples how busy the GPU is and how much of its memory is taken, until `finish`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, float]] = []
        self.done = threading.Event()

    def run(self) -> None:
        query = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
        while shutil.which(query[0]) and not self.done.wait(SAMPLE_SECONDS):
            line = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
            if line:
                busy, used = line[0].split(",")
                self.samples.append((float(busy), float(used)))

    def finish(self) -> Row:
        """The mean and the most of what was seen."""
        self.done.set()
        self.join()
        if not self.samples:
            return {}
        busy, used = zip(*self.samples, strict=True)
        return {"GPU busy %": sum(busy) / len(busy), "GPU MiB": max(used)}


def command(bench: Bench, what: str, *arguments: str, folder: Path, environment: Mapping[str, str] = EMPTY) -> Row:
    """Runs `mage` with these arguments until the budget is spent; a row with time, exit status and last lines."""
    watched = Watched()
    watched.start()
    began, log = time.monotonic(), folder / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*MAGE, *arguments], stdout=file, stderr=subprocess.STDOUT, cwd=folder, env=os.environ | environment
        )
        try:
            status: int | str = process.wait(max(bench.seconds_left, 5.0))
        except subprocess.TimeoutExpired:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            status = "out of time"
    row: Row = {
        "what": what,
        "command": f"mage {' '.join(arguments)}",
        "status": status,
        "seconds": time.monotonic() - began,
        "output": log.read_text().splitlines()[-SHOWN_LINES:],
        **watched.finish(),
    }
    print(f"{what}: status {status}, {row['seconds']:.1f} s\n  " + "\n  ".join(row["output"]), flush=True)
    return row


def changes(**fields: Any) -> list[str]:
    """`--set` for each field, a double underscore for its dot."""
    return [part for name, value in fields.items() for part in ("--set", f"{name.replace('__', '.')}={value}")]


def with_ray(bench: Bench) -> list[Row]:
    """Data recorded here, a training on one Ray Train worker, and two trials that share the GPU, over NCCL."""
    count = bench.size(300, 10)
    fields = {f"training__{stage}__steps": count for stage in ("autoencoder", "transformer", "inverse_dynamics")}
    few = [*changes(**fields, evaluation__inspection_episodes=0), *small_run(bench)]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not has_data(bench, MAZE):
            episodes, workers = str(bench.size(200, 10)), str(bench.size(16, 2))
            what = "record data"
            asked = ("data", "collect", MAZE, "--episodes", episodes, "--workers", workers)
            rows.append(command(bench, what, *asked, folder=folder))
        train = ("train", MAZE, "--workers", "1", "--out", "train", *few)
        rows.append(command(bench, "train on a Ray worker", *train, folder=folder))
        on_gpu = bench.device.type == "cuda"
        sharing: tuple[str, ...] = ("--gpus-per-worker", "0.5", "--backend", "nccl") if on_gpu else ()
        sharing += ("--cpus-per-worker", "1", "--address", "local")
        space = ("--space", "transformer.depth=[1,2]", "--trials", "2", "--episodes", str(bench.size(25, 5)))
        sweep = ("sweep", MAZE, *space, *sharing, "--out", "sweep", *few)
        rows.append(command(bench, "two trials share the GPU", *sweep, folder=folder))
    return rows


def small_run(bench: Bench) -> list[str]:
    """Changes that make any run tiny."""
    return [part for change in SMALL_RUN for part in ("--set", change)] if bench.small else []


def has_data(bench: Bench, scenario: str) -> bool:
    """Whether the scenario's dataset is on this machine."""
    from mage import scenarios
    from mage.data.sources import load_trajectories

    try:
        load_trajectories(scenarios.get(scenario), None, None, download=False)
    except MageError:
        return False
    return True


def training(bench: Bench, milliseconds_a_step: dict[str, float]) -> list[Row]:
    """As many steps at the paper's size as the budget allows, in TF32, then the scenario's evaluation.

    Args:
        bench: with the scenario.
        milliseconds_a_step: of each stage.
    """
    if real_data(bench).task.dataset_id == "synthetic":
        return []
    room = 0.9 * (bench.seconds_left - START_AND_EVALUATION_SECONDS)
    count = max(bench.size(200, 10), int(1000 * room / sum(milliseconds_a_step.values())))
    count = bench.size(min(count, 50_000), 10)
    fields = {f"training__{stage}__steps": count for stage in milliseconds_a_step}
    fields |= {f"training__{stage}__warmup_steps": min(1000, count // 10) for stage in milliseconds_a_step}
    where = [bench.scenario, *(["--dataset-namespace", bench.namespace] if bench.namespace else [])]
    asked = ["train", *where, "--preset", "paper", "--out", "run", *changes(**fields, training__log_every=count // 10)]
    asked += changes(evaluation__inspection_episodes=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked += small_run(bench)
        trained = command(bench, "train at the paper's size, TF32", *asked, folder=folder, environment=TF32)
        if trained["status"] != 0:
            return [trained]
        trained["curves"] = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
        episodes = str(bench.size(100, 5))
        played = command(bench, "evaluate it", "evaluate", "run", "--episodes", episodes, folder=folder)
        if played["status"] == 0:
            played["score"] = score(folder / "run/episodes.parquet")
        return [trained, played]


def score(episodes: Path) -> dict[str, float]:
    """Mean score and success of the episodes, %."""
    frame = pd.read_parquet(episodes)
    success = frame["success"].dropna().astype(float)
    return {
        "score": float(frame["normalized_score"].mean()),
        "success %": 100 * float(success.mean()) if len(success) else float("nan"),
        "episodes": float(len(frame)),
    }
