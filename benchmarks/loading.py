"""How long a dataset takes to load and how much memory that takes, each time in a fresh process; prints a table.

python benchmarks/loading.py local/door/cloned-v0 mage/maze2d/umaze-v0
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# What is timed -> whether files of the dataset and of the cache are in memory when it begins.
STATES = {
    "Minari files, no cache": True,
    "first start": True,
    "second start": True,
    "second start, cold disk": False,
}


def main() -> None:
    """Measures every dataset in every state and prints a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help="id of a Minari dataset on this machine")
    parser.add_argument("--repeats", type=int, default=3, help="fresh processes a row; medians are shown (default 3)")
    parser.add_argument("--state", choices=STATES, help=argparse.SUPPRESS)  # this process is one of those measured
    arguments = parser.parse_args()
    if arguments.state:
        print(json.dumps(load(arguments.datasets[0], arguments.state)))
        return
    print("| dataset | steps | start | s | CPU s | peak MB | own MB | imports: s | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for dataset in arguments.datasets:
        with tempfile.TemporaryDirectory() as cache:
            for state in STATES:
                rows = [measure(dataset, state, Path(cache)) for _ in range(arguments.repeats)]
                print(table_row(dataset, state, rows), flush=True)


def measure(dataset: str, state: str, cache: Path) -> dict[str, Any]:
    """What a fresh process says of loading the dataset."""
    if state == "first start":
        subprocess.run(["rm", "-rf", cache / "datasets"], check=True)
    if not STATES[state]:
        forget(cache)
    command = [sys.executable, __file__, dataset, "--state", state]
    result = subprocess.run(
        command, env=os.environ | {"MAGE_CACHE_DIR": str(cache)}, check=True, text=True, stdout=subprocess.PIPE
    )
    measured: dict[str, Any] = json.loads(result.stdout)
    return measured


def forget(folder: Path) -> None:
    """Drops the files below the folder from the system's page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())  # dirty pages stay
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def load(dataset: str, state: str) -> dict[str, Any]:
    """Imports what a training imports, then loads the dataset; seconds and MB of each."""
    started = time.perf_counter()
    import mage.training.trainer  # noqa: F401
    from mage.data.minari_source import read_dataset
    from mage.data.sources import combine, load_trajectories

    imported, imported_peak, imported_own = time.perf_counter(), peak_memory(), own_memory()
    cpu = time.process_time()
    if state == "Minari files, no cache":
        trajectories = combine([read_dataset(dataset)], None)
    else:
        trajectories = load_trajectories(None, dataset, download=False)
    return {
        "steps": trajectories.steps,
        "seconds": time.perf_counter() - imported,
        "cpu_seconds": time.process_time() - cpu,
        "peak": peak_memory(),
        "own": own_memory() - imported_own,
        "import_seconds": imported - started,
        "import_peak": imported_peak,
    }


def peak_memory() -> float:
    """MB that this process had resident at most, memory-mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def own_memory() -> float:
    """MB that are no file's, so that no other process can share them; now."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) * 1024 / 1e6


def table_row(dataset: str, state: str, rows: list[dict[str, Any]]) -> str:
    """Medians over the processes."""
    middle = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    times = f"{middle['seconds']:.2f} | {middle['cpu_seconds']:.2f}"
    memory = f"{middle['peak']:.0f} | {middle['own']:.0f}"
    imports = f"{middle['import_seconds']:.1f} | {middle['import_peak']:.0f}"
    return f"| {dataset} | {middle['steps']:,.0f} | {state} | {times} | {memory} | {imports} |"


if __name__ == "__main__":
    main()
