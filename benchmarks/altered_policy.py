"""A trained policy that sees, or acts, otherwise than it was trained to; for what of its score that leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mage.evaluation.episodes import evaluate_policies
from mage.interface import Policy
from mage.interface.policy import Acting

See = Callable[[Tensor], Tensor]
"""What it is shown of observations (B, S)."""
Do = Callable[[Tensor, Sequence[torch.Generator]], Tensor]
"""What becomes of its actions (B, A), with the generator of each environment."""


class AlteredActing(Acting):
    """Episodes under way; the policy knows what it did, within bounds."""

    def __init__(self, policy: Policy, environments: int, see: See, do: Do) -> None:
        super().__init__(policy, environments)
        self.see, self.do = see, do

    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray | float | None = None,
        rewards: np.ndarray | None = None,
        generators: Sequence[torch.Generator] | None = None,
    ) -> np.ndarray:
        """Actions (B, A), of the arguments of `Policy.act`; with a generator an environment."""
        assert generators is not None
        seen = self.see(torch.from_numpy(np.asarray(observations, np.float32))).numpy()
        action_BA = torch.from_numpy(super().act(seen, return_to_go, rewards, generators))
        self._action_BA = self.policy.clip(self.do(action_BA, generators))
        return self._action_BA.copy()


class AlteredPolicy(Policy):
    """The networks of a policy behind other eyes and hands.

    Args:
        policy: as it was trained.
        see: its eyes; by default what they are.
        do: its hands; by default what they are.
    """

    def __init__(self, policy: Policy, see: See | None = None, do: Do | None = None) -> None:
        super().__init__(policy.agent, policy.task, policy.target_return, policy.training_seed, policy.ceiling)
        self.see: See = see or (lambda observation_BS: observation_BS)
        self.do: Do = do or (lambda action_BA, _: action_BA)

    def begin(self, environments: int) -> AlteredActing:
        """Begins so many episodes."""
        return AlteredActing(self, environments, self.see, self.do)


def scored(policy: Policy, episodes: int) -> dict[str, float]:
    """The score over so many episodes, the same ones for every policy of a scenario, and its standard error."""
    score: pd.Series = evaluate_policies([policy], episodes)["normalized_score"]
    return {"score": score.mean(), "+-": score.sem(), "lowest": score.min(), "highest": score.max()}
