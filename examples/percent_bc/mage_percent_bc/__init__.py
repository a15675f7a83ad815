"""%BC: behaviour cloning of the best episodes only (Chen et al., Decision Transformer, 2021, section 5.1).

    L = ||pi(s_t) - a_t||^2 / A    over the steps whose return-to-go is among the highest x %

Shape suffixes: B batch, S observation size, A action size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from pydantic import Field
from torch import Tensor

from mage.config import AlgorithmConfig, StageConfig, TrainingConfig
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.interface import ONE, Algorithm, Info, Seen, Sizes, Stage, minimise
from mage.nn.blocks import MLP


class PercentBcTraining(TrainingConfig):
    """Its one stage."""

    cloning: StageConfig = Field(StageConfig(), description="regression on the chosen steps")


class PercentBcConfig(AlgorithmConfig):
    """The whole configuration of a run."""

    algorithm: str = "percent_bc"
    share: float = Field(0.1, gt=0, le=1, description="of the steps, those with the highest return-to-go")
    hidden_dim: int = Field(256, ge=1, description="width of the two hidden layers")
    training: PercentBcTraining = PercentBcTraining()


class PercentBc(Algorithm[PercentBcConfig]):
    """Takes the action that the best episodes take."""

    config_class = PercentBcConfig
    presets = {"cpu": {"*": {"training": {"cloning": {"steps": 6000, "batch_size": 256}}}}}  # noqa: RUF012
    space = {"share": [0.05, 0.1, 0.25, 0.5]}  # noqa: RUF012
    asks = None

    def __init__(self, config: PercentBcConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        self.actor = MLP(sizes.observation, config.hidden_dim, 2, sizes.action)

    def stages(self, data: Steps) -> Sequence[Stage]:
        """One stage, which draws from the chosen rows only."""
        count = max(1, round(self.config.share * len(data)))
        best_N = data.returns().topk(count).indices
        trains = {ONE: [self.actor]}
        learn = minimise(partial(self.loss, data, best_N))
        return [Stage("cloning", self.config.training.cloning, trains, learn, rows=count)]

    def loss(self, data: Steps, best_N: Tensor, rows_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
        """Returns (loss, named terms)."""
        chosen_B = best_N[rows_B]
        loss = (self.actor(data.observations(chosen_B)) - data.actions(chosen_B)).pow(2).mean()
        return loss, {"loss": loss}

    @torch.no_grad()
    def act(self, state: None, seen: Seen) -> tuple[Tensor, None]:
        """The cloned action; nothing is remembered."""
        return self.actor(self.see(seen.observation_BS)), None
