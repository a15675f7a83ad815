"""Plays the policies of a sweep with other ways to choose tokens than the one they were trained with (stage 2b).

python -m benchmarks.sampling runs/ablation --scenario door-cloned --field autoencoder.codebook_size \
    --set autoencoder.latent_stride=3 transformer.depth=2

Only the policies whose configuration has what --set says are played; --field names the column that tells them apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import mage
from benchmarks.table import environment_lines, markdown
from mage.config import get_field, make_config

SAMPLINGS = ("greedy", "sample", "expected")


def main() -> None:
    """Plays what matches, a line a policy as it goes, then prints the means over training seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--scenario", required=True, metavar="NAME")
    parser.add_argument("--field", required=True, help="of the configuration")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="what a policy must have")
    parser.add_argument("--sampling", nargs="+", default=SAMPLINGS, choices=SAMPLINGS)
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    wanted = [entry.split("=", 1) for entry in options.set]
    rows = []
    for folder in sorted((options.run / options.scenario / "policies").glob("*/seed-*")):
        policy = mage.load_policy(folder)
        trained = policy.config
        if any(str(get_field(trained, field)) != value for field, value in wanted):
            continue
        for sampling in options.sampling:
            policy.config = make_config(trained.model_dump(), [f"policy.sampling={sampling}"])
            played = mage.evaluate(policy, options.episodes)
            rows.append(
                {
                    options.field: get_field(trained, options.field),
                    "sampling": sampling,
                    "seed": policy.training_seed,
                    "score": played["normalized_score"].mean(),
                    "success": 100 * played["success"].astype(float).mean(),
                }
            )
            print(rows[-1], flush=True)
    print("\n".join(environment_lines()) + "\n")
    print(markdown(over_seeds(pd.DataFrame(rows), options.field)))


def over_seeds(rows: pd.DataFrame, field: str) -> pd.DataFrame:
    """Mean and standard error over the training seeds, a row for each way of each configuration."""
    groups = rows.groupby([field, "sampling"])
    return groups.agg(
        seeds=("seed", "size"), score=("score", "mean"), standard_error=("score", "sem"), success=("success", "mean")
    ).reset_index()


if __name__ == "__main__":
    main()
