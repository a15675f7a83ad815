"""What MAGE costs on a GPU, in eight minutes: ceilings, training steps, acting, rounding, Ray, a real training.

    python -m benchmarks.gpu --out gpu.json                # all parts, in order of worth; prints and writes as it goes
    python -m benchmarks.gpu --parts steps acting
    python -m benchmarks.gpu --small --out small.json      # tiny sizes, also on a CPU: tries the code
    python -m benchmarks.gpu --table benchmarks/gpu.json   # the tables of benchmarks/gpu.md

A part that fails is noted and the next one begins. Parts that are in --out already are kept, unless asked for by name.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks import stacked
from benchmarks.gpu import acting, ceilings, runs, steps
from benchmarks.gpu.measuring import Bench
from benchmarks.gpu.table import tables

PACKAGES = ("torch", "triton", "numpy", "ray", "pandas", "minari", "gymnasium-robotics", "mujoco", "optuna")
PARTS: dict[str, Callable[[Bench], Any]] = {
    "ceilings": ceilings.ceilings,
    "steps": steps.steps,
    "acting": acting.acting,
    "ray": runs.with_ray,
    "learning": steps.learning,
    "compiled": steps.compiled,
    "seeds": steps.many_seeds,
    "stacked": lambda bench: stacked.compare(bench.device, bench.size(5, 2), seconds=bench.size(2, 1)),
    "training": lambda bench: runs.training(bench, steps.step_milliseconds(bench)),
}
LEAST_SECONDS = {"ray": 45.0, "compiled": 45.0, "seeds": 45.0, "stacked": 45.0, "training": 90.0}
"""Of the budget that must be left for a part to begin; by default 15."""


def main() -> None:
    """Measures, or prints the tables of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), metavar="FILE", help="default gpu.json")
    parser.add_argument("--parts", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the code")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--budget-seconds", type=float, default=480.0, metavar="S", help="default 480")
    parser.add_argument("--scenario", default="maze2d-umaze", metavar="NAME", help="for learning and training")
    parser.add_argument("--dataset-namespace", metavar="NAME", help="of its dataset, such as local")
    parser.add_argument(
        "--table", nargs="+", type=Path, metavar="FILE", help="print the tables of these files, later ones first choice"
    )
    options = parser.parse_args()
    if options.table:
        print(tables({name: part for file in options.table for name, part in json.loads(file.read_text()).items()}))
        return
    if options.device == "cpu" and not options.small:
        parser.error("torch finds no GPU here; --small tries the code on a CPU")
    ends_at = time.monotonic() + options.budget_seconds
    device = torch.device(options.device)
    bench = Bench(device, options.small, ends_at, options.scenario, options.dataset_namespace)
    measure(bench, options.parts, options.out)


def measure(bench: Bench, wanted: list[str] | None, out: Path) -> None:
    """Goes through the parts; writes the file after each."""
    done: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    done["environment"] = environment(bench)
    print(json.dumps(done["environment"], indent=1), flush=True)
    for name in wanted or [part for part in PARTS if part not in done]:
        began = time.monotonic()
        if not bench.small and bench.seconds_left < LEAST_SECONDS.get(name, 15.0):
            print(f"== {name}: left out, {bench.seconds_left:.0f} s are left", flush=True)
            continue
        print(f"== {name}, {bench.seconds_left:.0f} s left", flush=True)
        try:
            done[name] = {"rows": PARTS[name](bench)}
        except Exception as error:  # whatever it is, the other parts are still worth their minutes
            traceback.print_exc()
            done[name] = {"rows": [], "error": f"{type(error).__name__}: {error}"}
        done[name]["seconds"] = time.monotonic() - began
        print(f"== {name}: {done[name]['seconds']:.1f} s", flush=True)
        unfinished = out.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(done, indent=1))
        unfinished.replace(out)
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()
    print(tables(done, with_kernels=False), flush=True)


def environment(bench: Bench) -> dict[str, Any]:
    """What the figures are measured on, and by which command."""
    found: dict[str, Any] = {
        "date": str(date.today()),
        "command": " ".join(["python -m benchmarks.gpu", *(each.rpartition("/")[2] for each in sys.argv[1:])]),
        "small": bench.small,
        "device": str(bench.device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "Python": platform.python_version(),
        "versions": {name: known for name in PACKAGES if (known := version_of(name))},
    }
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(bench.device)
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        found["GPU"] = {
            "name": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "GiB": properties.total_memory / 2**30,
            "CUDA": torch.version.cuda,
            "driver": subprocess.run(query, capture_output=True, text=True).stdout.strip(),
        }
    return found


def version_of(package: str) -> str | None:
    """Of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
