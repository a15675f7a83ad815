"""What a sweep saves by sharing first stages and by stopping early, and whether two of them share a cluster fairly.

    python -m benchmarks.sweeping shared --out runs/sweeping/shared
    python -m benchmarks.sweeping early --trials 8 --out runs/sweeping/early
    python -m benchmarks.sweeping jobs --trials 12 --out runs/sweeping/jobs

`shared` and `early` make the same sweep twice on one Ray, with what they are about and without, and print minutes by
the clock, so nothing else should run. `jobs` needs a cluster that was begun by `ray start --head`, `ray[default]`, and
RAY_AUTH_MODE=token.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.table import environment_lines, markdown
from mage.results import load, load_trials, summary
from mage.search.settings import make_settings
from mage.search.sweep import run_sweep

NEVER_ALIKE = "training.autoencoder.weight_decay={}e-12"
"""Names another first stage, which trains for as long."""
NEVER_TWICE = "training.transformer.learning_rate={low: 1e-4, high: 1e-2, log: true}"
"""Of a space of few values the same one is proposed again, and a configuration's episodes are one file."""
DASHBOARD = "http://127.0.0.1:8265"


def main() -> None:
    """One of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", choices=["shared", "early", "jobs"])
    parser.add_argument("--scenario", default="maze2d-umaze", metavar="NAME")
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3, 4], help="of the transformer (shared)")
    parser.add_argument("--seeds", type=int, default=2, help="training seeds of each depth (shared)")
    parser.add_argument("--trials", type=int, default=8, help="of each sweep (early, jobs)")
    parser.add_argument("--episodes", type=int, metavar="N", help="by default the scenario's")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="changes of the preset")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    measured = {"shared": shared, "early": early, "jobs": jobs}[options.measure](options)
    print("\n".join([*environment_lines(), "", markdown(pd.DataFrame(measured))]))


def shared(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A sweep of depths in which trials of one seed share the first stage, and one in which each trains its own."""
    depths = {f"depth={depth}": (f"transformer.depth={depth}",) for depth in options.depths}
    apart = {name: (*own, NEVER_ALIKE.format(n)) for n, (name, own) in enumerate(depths.items(), 1)}
    rows = []
    for what, variants in (("shared", depths), ("each its own", apart)):
        row = timed(options, what.replace(" ", "-"), variants=variants, seeds=options.seeds)
        kept = len(list((options.out / what.replace(" ", "-")).glob("*/artefacts/autoencoder-*")))
        rows.append({"first stages": what, "kept": kept} | row)
    return with_ratio(rows)


def early(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The sweep of the preset's fields with an evaluation amid training that may end a trial, and without."""
    space = {
        "autoencoder.num_scales": [1, 2, 3, 4],
        "autoencoder.codebook_size": [64, 128, 256],
        "transformer.depth": [1, 2, 3],
    }
    rows = []
    for what, evaluations in (("on", 1), ("off", 0)):
        row = timed(options, what, space=space, trials=options.trials, intermediate_evaluations=evaluations)
        rows.append({"early stopping": what} | row)
    return with_ratio(rows)


def timed(options: argparse.Namespace, name: str, **settings: Any) -> dict[str, Any]:
    """A sweep to its end: its minutes, how its trials ended and the best score of those that were trained whole."""
    overrides = ["evaluation.inspection_episodes=0", *options.set]
    sweep = make_settings(scenarios=[options.scenario], overrides=overrides, episodes=options.episodes, **settings)
    began = time.monotonic()
    run_sweep(sweep, options.out / name)
    minutes = (time.monotonic() - began) / 60
    trials = load_trials(options.out / name)
    return {"trials": len(trials), "minutes": minutes, "trial minutes": trials["seconds"].sum() / 60} | ended(trials)


def ended(trials: pd.DataFrame) -> dict[str, Any]:
    """How trials ended, and the best of their scores."""
    finished = trials[trials["status"] == "finished"]
    return {
        "finished": len(finished),
        "stopped": int((trials["status"] == "stopped").sum()),
        "failed": int((trials["status"] == "failed").sum()),
        "best": finished["score"].max(),
        "mean": finished["score"].mean(),
    }


def with_ratio(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Beside each row's minutes what they are of the last row's."""
    return [row | {"of the last": row["minutes"] / rows[-1]["minutes"]} for row in rows]


def jobs(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Two sweeps at once by `ray job submit`, the second a little later: when each of their trials ended."""
    places = [options.out.absolute() / name for name in ("first", "second")]
    commands = [job(place, seed, options) for seed, place in enumerate(places)]
    began = time.time()
    options.out.mkdir(parents=True, exist_ok=True)
    processes = []
    for place, command in zip(places, commands, strict=True):
        with place.with_suffix(".log").open("w") as output:
            processes.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT))
        time.sleep(5)
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"a job failed (exit codes {codes}); what it said is in {options.out}/*.log")
    return [
        {"job": place.name, "exit code": code} | progress(place, began)
        for place, code in zip(places, codes, strict=True)
    ]


def job(place: Path, search_seed: int, options: argparse.Namespace) -> list[str]:
    """A command that sends a sweep to the cluster, and returns when it has ended."""
    sweep = [sys.executable, "-W", "ignore", "-m", "mage", "sweep", options.scenario, "--out", str(place)]
    sweep += ["--trials", str(options.trials), "--search-seed", str(search_seed), "--space", NEVER_TWICE]
    sweep += ["--episodes", str(options.episodes)] if options.episodes else []
    sweep += ["--set", *options.set] if options.set else []
    ray = str(Path(sys.executable).with_name("ray"))
    return [ray, "job", "submit", "--address", os.environ.get("RAY_API_SERVER_ADDRESS", DASHBOARD), "--", *sweep]


def progress(place: Path, began: float) -> dict[str, Any]:
    """Minutes until the first and the last trial of a sweep had ended, the longest pause, and what its tables hold."""
    scenario = next(path.parent for path in place.glob("*/episodes"))
    minutes = pd.Series(sorted((file.stat().st_mtime - began) / 60 for file in scenario.glob("episodes/*.parquet")))
    trials, scores = load_trials(place), summary(load(place))
    own = set(trials["config_hash"]) == set(scores["config_hash"])
    return {
        "first trial ended, min": minutes.min(),
        "half of them": minutes.median(),
        "last": minutes.max(),
        "longest pause": minutes.diff().max(),
        "tables agree": own,
    } | ended(trials)


if __name__ == "__main__":
    main()
