"""Trains and evaluates MAGE on one scenario of each family and prints its score beside the data's own, in Markdown.

    python -m benchmarks.families --dataset-namespace local --out runs/families

It goes on where it was: a run that is finished is not repeated.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd

import mage
from benchmarks.table import environment_lines, markdown
from mage import scenarios
from mage.data.sources import trajectories_of
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.results import load, summary

SCENARIOS = (
    "pen-expert",
    "kitchen-complete",
    "antmaze-umaze-play",
    "maze2d-umaze",
    "multi2d-umaze",
    "halfcheetah-medium",
    "walker2d-medium",
    "ant-medium",
    "maze-game",
)


def main() -> None:
    """Runs what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", default=SCENARIOS, choices=scenarios.names(), metavar="NAME")
    parser.add_argument("--dataset-namespace", metavar="NAME")
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    rows = [row(name, options) for name in options.scenarios]
    print("\n".join(environment_lines()) + "\n")
    print(markdown(pd.DataFrame(rows)))


def row(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One scenario: the scores of the policy and of the data, and the time that training and evaluation took."""
    folder, trajectories = options.out / name, trajectories_of(name, options.dataset_namespace)
    episodes, seconds = folder / "episodes.parquet", folder / "seconds.txt"
    if not episodes.is_file():
        start = time.monotonic()
        mage.train(
            name,
            dataset=trajectories.task.dataset_id,
            preset=options.preset,
            seed=options.seed,
            out=folder,
            resume=(folder / "config.json").is_file(),
        )
        seconds.write_text(f"{time.monotonic() - start:.0f}")
        mage.evaluate(folder)
    measured = summary(load(episodes)).iloc[0]
    return {
        "scenario": name,
        "dataset": trajectories.task.dataset_id,
        "mean of the data": data_score(trajectories),
        "score": measured["mean"],
        "success_rate": measured["success_rate"],
        "mean_return": measured["mean_return"],
        "episodes": measured["episodes"],
        "training seconds": float(seconds.read_text()),
        "config_hash": measured["config_hash"],
    }


def data_score(trajectories: Trajectories) -> float:
    """The mean of the recorded episodes on the 0-100 scale; of a task scored by success, its share of paid episodes."""
    task, returns = trajectories.task, trajectories.episode_returns
    if task.score == "success":
        return 100.0 * float((returns > 0).mean())
    if task.reference_scores is None:
        raise MageError(f"{task.dataset_id} has no reference scores, so its mean has no score")
    low, high = task.reference_scores
    return 100.0 * float(returns.mean() - low) / (high - low)


if __name__ == "__main__":
    main()
