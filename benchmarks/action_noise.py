"""What is left of a policy's score when its hand shakes: normal noise on every action; prints a table.

    mage train kitchen-complete --algorithm bc --seed 0 --out runs/bc
    OMP_NUM_THREADS=1 python -m benchmarks.action_noise runs/bc --noise 0 0.02 0.05 0.1 --episodes 50

Where little noise ruins even cloning, the data shows no way back from where an action was slightly off, and a low score
of what draws its actions, or errs a little from state to state, need say nothing else of it. Noise is in the units of
actions, which mostly reach from -1 to 1, and is drawn by each episode's own generator.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from benchmarks.altered_policy import AlteredPolicy, scored
from benchmarks.table import markdown
from mage.interface import Policy
from mage.interface.policy import load_policy


def shaking(policy: Policy, deviation: float) -> AlteredPolicy:
    """A policy with noise of that deviation on its actions."""

    def shake(action_BA: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        noise_BA = torch.stack([torch.randn(action_BA.shape[1:], generator=own) for own in generators])
        return action_BA + deviation * noise_BA

    return AlteredPolicy(policy, do=shake)


def main() -> None:
    """A row each policy and deviation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="of `mage train`")
    parser.add_argument("--noise", nargs="+", type=float, default=[0.0, 0.02, 0.05, 0.1], help="deviations")
    parser.add_argument("--episodes", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for policy in [load_policy(folder) for folder in options.runs]:
        for deviation in options.noise:
            own = {"scenario": policy.task.scenario, "algorithm": policy.algorithm, "seed": policy.training_seed}
            rows.append(own | {"noise": deviation} | scored(shaking(policy, deviation), options.episodes))
    frame = pd.DataFrame(rows)
    frame["noise"] = frame["noise"].astype(str)
    print(markdown(frame))


if __name__ == "__main__":
    main()
