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

import numpy as np
import pandas as pd
import torch

from benchmarks.table import markdown
from mage.evaluation.episodes import evaluate_policies
from mage.interface import Policy
from mage.interface.policy import Acting, load_policy


class ShakingActing(Acting):
    """Episodes under way, whose actions are off by normal noise, within bounds; the policy knows what it did."""

    def __init__(self, policy: Policy, environments: int, deviation: float) -> None:
        super().__init__(policy, environments)
        self.deviation = deviation

    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray | float | None = None,
        rewards: np.ndarray | None = None,
        generators: Sequence[torch.Generator] | None = None,
    ) -> np.ndarray:
        """Actions (B, A), of the arguments of `Policy.act`; with a generator an environment."""
        action_BA = torch.from_numpy(super().act(observations, return_to_go, rewards, generators))
        assert generators is not None
        noise_BA = torch.stack([torch.randn(action_BA.shape[1:], generator=own) for own in generators])
        self._action_BA = self.policy.clip(action_BA + self.deviation * noise_BA)
        return self._action_BA.copy()


class ShakingPolicy(Policy):
    """The networks of a policy, with noise of some deviation on their actions."""

    def __init__(self, policy: Policy, deviation: float) -> None:
        super().__init__(policy.agent, policy.task, policy.target_return, policy.training_seed, policy.ceiling)
        self.deviation = deviation

    def begin(self, environments: int) -> ShakingActing:
        """Begins so many episodes."""
        return ShakingActing(self, environments, self.deviation)


def measure(policy: Policy, deviation: float, episodes: int) -> dict[str, object]:
    """A row: the score over so many episodes, the same ones for every deviation."""
    score = evaluate_policies([ShakingPolicy(policy, deviation)], episodes)["normalized_score"]
    error = score.std() / len(score) ** 0.5
    return {"noise": deviation, "score": score.mean(), "+-": error, "lowest": score.min(), "highest": score.max()}


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
            rows.append(own | measure(policy, deviation, options.episodes))
    frame = pd.DataFrame(rows)
    frame["noise"] = frame["noise"].astype(str)
    print(markdown(frame))


if __name__ == "__main__":
    main()
