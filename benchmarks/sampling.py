"""Plays the policies of a sweep with other ways to choose tokens than the one they were trained with (stage 2b).

python -m benchmarks.sampling runs/ablation --scenario door-cloned --field autoencoder.codebook_size \
    --set autoencoder.latent_stride=3 transformer.depth=2

Only the policies whose configuration has what --set says are played; --field names the column that tells them apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

import mage
from benchmarks.table import environment_lines, markdown
from mage.algorithms.mage.algorithm import Mage
from mage.config import field_names, get_field, make_config
from mage.interface import Policy

SAMPLINGS = ("greedy", "sample", "expected")


def main() -> None:
    """Plays what matches, a line a policy as it goes, then prints the means over training seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--scenario", required=True, metavar="NAME")
    parser.add_argument("--field", required=True, choices=field_names(), metavar="FIELD", help="of the configuration")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="what a policy must have")
    parser.add_argument("--sampling", nargs="+", default=SAMPLINGS, choices=SAMPLINGS)
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    wanted = [entry.partition("=")[::2] for entry in options.set]
    if unknown := [field for field, _ in wanted if field not in field_names()]:
        parser.error(f"--set: no field of the configuration is called {unknown[0]}")
    folder = options.run / options.scenario / "policies"
    policies = [mage.load_policy(path) for path in sorted(folder.glob("*/seed-*"))]
    policies = [policy for policy in policies if isinstance(policy.agent, Mage)]
    matching = [each for each in policies if all(str(get_field(each.config, name)) == text for name, text in wanted)]
    if not matching:
        parser.error(
            f"none of the {len(policies)} MAGE policies in {folder} has {' '.join(options.set) or 'been trained'}"
        )
    rows = [play(policy, how, options.field, options.episodes) for policy in matching for how in options.sampling]
    print("\n".join(environment_lines()) + "\n")
    print(markdown(over_seeds(pd.DataFrame(rows), options.field)))


def play(policy: Policy, sampling: str, field: str, episodes: int) -> dict[str, Any]:
    """What a policy scores with that way to choose tokens; told at once, since it takes most of a minute."""
    config = make_config(policy.config.model_dump(), [f"policy.sampling={sampling}"])
    agent = type(policy.agent)(config, policy.agent.sizes, policy.statistics)
    agent.load_state_dict(policy.agent.state_dict())
    policy = Policy(agent, policy.task, policy.target_return, policy.training_seed)
    played = mage.evaluate(policy, episodes)
    score, success = float(played["normalized_score"].mean()), 100 * float(played["success"].astype(float).mean())
    described = {field: get_field(policy.config, field), "sampling": sampling, "seed": policy.training_seed}
    print(f"{described}: score {score:.1f}, success {success:.0f} %", flush=True)
    return {**described, "score": score, "success": success}


def over_seeds(rows: pd.DataFrame, field: str) -> pd.DataFrame:
    """Mean and standard error over the training seeds, a row for each way of each configuration."""
    groups = rows.groupby([field, "sampling"])
    return groups.agg(
        seeds=("seed", "size"), score=("score", "mean"), standard_error=("score", "sem"), success=("success", "mean")
    ).reset_index()


if __name__ == "__main__":
    main()
