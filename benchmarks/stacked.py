"""What it saves to train several seeds as one: steps of each stage of MAGE's `cpu` preset, one by one and stacked.

    python -m benchmarks.stacked                       # on the GPU, if there is one
    python -m benchmarks.stacked --seeds 5 --device cpu
    python -m benchmarks.stacked --device cpu --batch-size 1    # what is left of it where arithmetic costs nothing

The data are synthetic, of the pen's sizes. Before the steps are timed, all seeds train for some steps in both ways, and
the largest relative difference of a loss is told. On a CPU it times what the process computes, not what it waits for.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch

from benchmarks.gpu.measuring import stage_of, synchronize, synthetic
from mage.config import load_config
from mage.training.engine import Engine
from mage.training.stacked import Stack
from mage.training.trainer import Trainer

STAGES = ("autoencoder", "transformer", "inverse_dynamics")
COMPARED_STEPS = 20


def main() -> None:
    """Measures, and prints a line of JSON a stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="default 5")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="default 1")
    parser.add_argument("--batch-size", type=int, metavar="N", help="by default the preset's")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="a measurement; default 2")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(json.dumps({"device": named(device), "threads": options.threads, "cores": os.cpu_count()}))
    print(json.dumps({"torch": torch.__version__, "safetensors": version("safetensors"), "seeds": options.seeds}))
    for row in compare(device, options.seeds, options.batch_size, options.seconds):
        print(json.dumps(row), flush=True)


def compare(
    device: torch.device, seeds: int, batch_size: int | None = None, seconds: float = 2.0
) -> list[dict[str, Any]]:
    """A row a stage: milliseconds of a step of all seeds in both ways, their ratio, and how far losses are apart."""
    sizes = [f"training.{name}.batch_size={batch_size}" for name in STAGES] if batch_size else []
    config = load_config("cpu", [*sizes, f"training.log_every={COMPARED_STEPS}"], "adroit")
    data = synthetic(50)
    one_by_one, together = ([Trainer(data, config, seed, device=device) for seed in range(seeds)] for _ in range(2))
    rows = []
    for name in STAGES:
        for one, other in zip(one_by_one, together, strict=True):  # in the time of a measurement they go different ways
            other.agent.load_state_dict(one.agent.state_dict())
        alone, stacked = ([stage_of(trainer, name, "fp32") for trainer in each] for each in (one_by_one, together))
        for engine in alone:
            engine.train_until(COMPARED_STEPS)
        began, stack = time.perf_counter(), Stack(stacked)
        stack.train_until(COMPARED_STEPS)
        preparing = time.perf_counter() - began
        apart = max(difference(one, other) for one, other in zip(alone, stacked, strict=True))
        single = milliseconds(lambda alone=alone: step_each(alone), device, seconds)  # type: ignore[misc]
        at_once = milliseconds(lambda stack=stack: step_stack(stack), device, seconds)  # type: ignore[misc]
        stack.part()
        rows.append(
            {
                "stage": name,
                "batch_size": alone[0].config.batch_size,
                "one by one ms": round(single, 2),
                "stacked ms": round(at_once, 2),
                "ratio": round(single / at_once, 2),
                "loss apart by": float(f"{apart:.1g}"),
                f"seconds of the first {COMPARED_STEPS} steps": round(preparing, 1),
            }
        )
    return rows


def step_each(engines: list[Engine]) -> None:
    """A step of every seed, one after another."""
    for engine in engines:
        engine.train_step()


def step_stack(stack: Stack) -> None:
    """The same as one."""
    stack.train_step()


def difference(one: Engine, other: Engine) -> float:
    """Of the mean losses of the last row of two loss curves, relative."""
    ours, theirs = float(one.history[-1]["loss"]), float(other.history[-1]["loss"])
    return abs(ours - theirs) / abs(ours)


def milliseconds(work: Callable[[], None], device: torch.device, seconds: float) -> float:
    """The least, over four measurements that take so many seconds together, of the time that a call takes."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    found = []
    for _ in range(4):
        synchronize(device)
        began, calls = clock(), 0
        while clock() - began < seconds / 4:
            work()
            calls += 1
        synchronize(device)
        found.append(1000 * (clock() - began) / calls)
    return min(found)


def named(device: torch.device) -> str:
    """What it is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


if __name__ == "__main__":
    main()
