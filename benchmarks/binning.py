"""What values that are tokens, as the Trajectory Transformer's are, leave of another policy's score; prints a table.

    mage train halfcheetah-medium --algorithm rebrac --seed 0 --out runs/rebrac
    OMP_NUM_THREADS=1 python -m benchmarks.binning runs/rebrac --bins 50 100 --binning quantiles widths --episodes 50

A policy that acts well is shown the middles of the bins that its observations lie in, or does the middles of those of
its actions. What it then loses, a transformer over such tokens will hardly have.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.altered_policy import AlteredPolicy, scored
from benchmarks.table import markdown
from mage.data.sources import trajectories_of
from mage.interface import Policy
from mage.interface.policy import load_policy
from mage.nn.discretiser import Bins, Discretiser


def fitted(values_MD: np.ndarray, bins: int, kind: Bins) -> Discretiser:
    """So many bins of every dimension of these values."""
    discretiser = Discretiser(values_MD.shape[1], bins)
    discretiser.fit(values_MD, kind)
    return discretiser


def binned(policy: Policy, seen: Discretiser | None = None, done: Discretiser | None = None) -> AlteredPolicy:
    """A policy that sees the middles of such bins, does the middles of such bins, or both."""
    return AlteredPolicy(
        policy,
        see=seen and (lambda observation_BS: seen.decode(seen.encode(observation_BS))),
        do=done and (lambda action_BA, _: done.decode(done.encode(action_BA))),
    )


def main() -> None:
    """A row for the policy as it is, and for each kind and number of bins, of actions and of observations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="of `mage train`; the bins are those of its data")
    parser.add_argument("--dataset-namespace", metavar="NAME")
    parser.add_argument("--bins", nargs="+", type=int, default=[50, 100], help="of every dimension")
    parser.add_argument("--binning", nargs="+", default=["quantiles", "widths"], choices=["quantiles", "widths"])
    parser.add_argument("--episodes", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    policy = load_policy(options.run)
    data = trajectories_of(policy.task.scenario, options.dataset_namespace)
    rows = [{"tokens of": "nothing", "bins": "-"} | scored(policy, options.episodes)]
    for kind in options.binning:
        for bins in options.bins:
            seen, done = (fitted(values, bins, kind) for values in (data.observations, data.actions))
            for name, parts in {"actions": (None, done), "observations": (seen, None), "both": (seen, done)}.items():
                score = scored(binned(policy, *parts), options.episodes)
                rows.append({"tokens of": name, "bins": f"{bins} {kind}"} | score)
    print(markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
