"""Trains every algorithm on six sets with its `cpu` preset, plays each policy, and prints what came of it in Markdown.

    python -m benchmarks.rivals --dataset-namespace local --out runs/rivals

A training and its evaluation are the two commands of `mage` that a user would type, in processes of their own: their
CPU seconds and peak memory are what the system counted for them. What is measured already, in the folder or among the
raw rows of `--csv FILE`, is not measured again, so that one table can be filled over many runs and machines, cheapest
algorithms first. Its episodes are kept beside it (`mage paper show --results`). `--costs` keeps what `mage algorithms
NAME` says of costs: of seed 0, from trainings in the folder that nothing interrupted, as of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

import mage
from benchmarks.table import cpu_name, environment_lines, markdown
from mage import scenarios
from mage.results import load, summary, write_parquet
from mage.results.published import algorithms_by_method, published
from mage.results.store import KEY_COLUMNS

ALGORITHMS = (
    "bc",
    "return_bc",
    "rebrac",
    "iql",
    "dt",
    "mage",
    "tap",
    "adt",
    "mppi",
    "diffusion_ql",
    "hiql",
    "tt",
    "cql",
    "carp",
    "diffuser",
    "rgg",
    "decision_diffuser",
    "hierarchical_diffuser",
    "hdmi_style",
)
SCENARIOS = (
    "pen-expert",
    "maze2d-umaze",
    "halfcheetah-medium",
    "door-cloned",
    "kitchen-complete",
    "antmaze-umaze-play",
)

CELL = ["seed", "algorithm", "scenario"]
COST = ["algorithm", "scenario", "preset"]
SIGNALLED = 128
"""Exit codes above it are those of signals."""
COSTS = Path(mage.__file__).parent / "results" / "measured_costs.csv"


def main() -> None:
    """Measures what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS, metavar="NAME")
    parser.add_argument("--scenarios", nargs="+", default=SCENARIOS, metavar="NAME")
    parser.add_argument("--dataset-namespace", metavar="NAME")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="raw rows: what it has is kept, what is new is added")
    parser.add_argument("--costs", action="store_true", help="keep what was measured for `mage algorithms`")
    parser.add_argument("--table-only", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    kept = pd.read_csv(options.csv) if options.csv and options.csv.is_file() else pd.DataFrame(columns=CELL)
    known = set(kept[CELL].itertuples(index=False, name=None))
    if not options.table_only:
        for cell in product(range(options.seeds), options.algorithms, options.scenarios):
            if cell not in known:
                measure(*cell, options)
    measured = [json.loads(file.read_text()) for file in sorted(options.out.glob("*/*/*/measured.json"))]
    if kept.empty and not measured:
        parser.error(f"nothing is measured in {options.out}: run it without --table-only")
    if options.costs and not measured:
        parser.error(f"nothing is measured in {options.out} that --costs could keep")
    rows = pd.concat([kept, pd.DataFrame(measured)]).drop_duplicates(CELL, keep="last").sort_values(CELL)
    rows["said"] = rows["said"].where(rows["mean"].isna())  # else it is where the episodes are
    if options.csv:
        # whole numbers stay so beside a cell that failed and has none
        rows.convert_dtypes().to_csv(options.csv, index=False, float_format="%.6g")
        keep_episodes(options.out, options.csv.with_suffix(".parquet"))
    if options.costs:
        keep_costs(pd.DataFrame(measured), COSTS)
    print("\n".join(environment_lines()) + "\n")
    print(markdown(table(rows)))


def keep_episodes(out: Path, file: Path) -> None:
    """Adds the episodes that were played to those in a file, which `mage paper show --results FILE` reads."""
    known = [load(place) for place in (file, out) if place.exists() and list(out.glob("*/*/*/run/episodes.parquet"))]
    if known:
        episodes = pd.concat(known, ignore_index=True).drop_duplicates(list(KEY_COLUMNS), keep="last")
        write_parquet(episodes.sort_values(list(KEY_COLUMNS), ignore_index=True), file)


def measure(seed: int, algorithm: str, scenario: str, options: argparse.Namespace) -> None:
    """Trains and plays one policy, and writes what that took and gave to `measured.json`, once."""
    folder = options.out / algorithm / scenario / f"seed-{seed}"
    if (folder / "measured.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / "run"
    built_in = bool(scenarios.get(scenario).builtin_dataset_id)
    namespace = ["--dataset-namespace", options.dataset_namespace] if options.dataset_namespace and not built_in else []
    train = ["train", scenario, *namespace, "--algorithm", algorithm, "--seed", str(seed), "--out", str(run)]
    row: dict[str, Any] = {"algorithm": algorithm, "scenario": scenario, "seed": seed}
    is_resumed = (run / "config.json").is_file()
    trained = call(train + ["--resume"] * is_resumed, folder / "train.log")
    row |= {f"training_{name}": value for name, value in trained.items()} | {"resumed": is_resumed}
    if trained["exit_code"] == 0:
        played = call(["evaluate", str(run), "--episodes", str(options.episodes)], folder / "evaluate.log")
        row |= {f"evaluation_{name}": value for name, value in played.items()}
        if played["exit_code"] == 0:
            scores = summary(load(run / "episodes.parquet")).iloc[0]
            row |= {name: scores[name] for name in ("episodes", "mean", "success_rate", "mean_return", "config_hash")}
        policy = mage.load_policy(run)
        row["parameters"] = sum(value.numel() for value in policy.agent.parameters())
        row["steps"] = sum(getattr(policy.config.training, name).steps for name in policy.config.stages)
    row["said"] = last_line(folder / ("evaluate.log" if "evaluation_exit_code" in row else "train.log"))
    (folder / "measured.json").write_text(json.dumps(row, indent=1, default=float) + "\n")
    print(f"{algorithm} {scenario} seed {seed}: {row.get('mean', row['said'])}", file=sys.stderr, flush=True)


def call(arguments: list[str], log: Path) -> dict[str, float]:
    """A command of `mage`, its output in a file; how it ended, its CPU and wall seconds and its peak memory in GB."""
    start = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "-m", "mage", *arguments], stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    exit_code = os.waitstatus_to_exitcode(status)
    if exit_code < 0 or exit_code > SIGNALLED:
        sys.exit(f"mage {' '.join(arguments)} was ended from outside; the same command goes on from there")
    return {
        "exit_code": exit_code,
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "wall_seconds": round(time.monotonic() - start, 1),
        "peak_memory_gb": round(usage.ru_maxrss / 2**20, 2),
    }


def last_line(log: Path) -> str:
    """What a command said last."""
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    return lines[-1] if lines else ""


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row an algorithm and scenario: means over its seeds, their spread, costs a seed, and the published score."""
    lines = []
    for (scenario, algorithm), seeds in rows.groupby(["scenario", "algorithm"], sort=False):
        scored = seeds["mean"].dropna()
        lines.append(
            {
                "scenario": scenario,
                "algorithm": algorithm,
                "seeds": len(scored),
                "score": scored.mean(),
                "lowest": scored.min(),
                "highest": scored.max(),
                "published": published_score(str(scenario), str(algorithm)),
                "steps a CPU s": (seeds["steps"] / seeds["training_cpu_seconds"]).mean(),
                "training CPU s": seeds["training_cpu_seconds"].mean(),
                "playing CPU s": seeds["evaluation_cpu_seconds"].mean(),
                "peak GB": seeds["training_peak_memory_gb"].max(),
                "parameters": seeds["parameters"].max(),
                "": "" if len(scored) else seeds["said"].iloc[-1],
            }
        )
    return pd.DataFrame(lines).sort_values(["scenario", "score"], ascending=[True, False])


def keep_costs(measured: pd.DataFrame, file: Path) -> None:
    """Adds what was measured on this machine to the costs in a file, in the place of what it has of the same."""
    both = pd.concat([pd.read_csv(file), costs(measured)])
    both.drop_duplicates(COST, keep="last").sort_values(COST).to_csv(file, index=False)


def costs(rows: pd.DataFrame) -> pd.DataFrame:
    """What `mage.results.costs` has: a row an algorithm and scenario, whatever it scored."""
    whole = rows[(rows["seed"] == 0) & (rows["evaluation_exit_code"] == 0) & rows["resumed"].eq(False)]
    return pd.DataFrame(
        {
            "algorithm": whole["algorithm"],
            "scenario": whole["scenario"],
            "preset": "cpu",
            "parameters": whole["parameters"].astype(int),
            "training_cpu_seconds": whole["training_cpu_seconds"].round().astype(int),
            "steps_per_cpu_second": (whole["steps"] / whole["training_cpu_seconds"]).round(1),
            "cpu_seconds_per_episode": (whole["evaluation_cpu_seconds"] / whole["episodes"]).round(2),
            "peak_memory_gb": whole["training_peak_memory_gb"],
            "machine": cpu_name(),
            "version": mage.__version__,
        }
    )


def published_score(scenario: str, algorithm: str) -> float | None:
    """The mean that the paper prints for an algorithm on a scenario of another recording, if it does."""
    cells = published(scenario)
    own = cells[cells["method"].map(algorithms_by_method()) == algorithm]
    return None if own.empty else float(own["mean"].iloc[0])


if __name__ == "__main__":
    main()
