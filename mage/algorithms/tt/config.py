"""The configuration of Trajectory Transformer: tokens and network, search, and training.

Defaults are those of github.com/jannerm/trajectory-transformer (config/offline.py) where it says anything.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mage.config import QUIET, AlgorithmConfig, Component, TrainingConfig, check_heads
from mage.nn.discretiser import Bins
from mage.nn.min_gpt import MinGptStageConfig


class TrajectoryTransformerConfig(Component):
    """Tokens, and the network that continues them."""

    bins: int = Field(100, ge=2, description="N, tokens of every dimension, beside the one for what follows an end")
    binning: Bins = Field(
        "quantiles",
        description="of equal counts, the authors' default, or of equal widths, the paper's other kind. A dimension "
        "whose quantiles repeat, such as a sparse reward, has equal widths anyway (ours: else 0 and 1 are one token)",
    )
    window: int = Field(10, ge=2, description="steps that the network is trained on at once")
    observed: int | None = Field(
        None,
        ge=1,
        description="only the first so many values of an observation are seen: 27 of Ant's, without contact forces",
    )
    depth: int = Field(4, ge=1, description="transformer blocks")
    embed_dim: int = Field(128, ge=4, description="width; the authors' 32 is a head's")
    num_heads: int = Field(4, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1, description="of embeddings, attention and what blocks add")
    discount: float = Field(0.99, gt=0, le=1, description="gamma of the values and of the search")
    terminal_reward: float | None = Field(
        None,
        description="in place of the reward that a failure has brought: -100 in locomotion, where ends are failures",
    )
    action_weight: float = Field(5.0, gt=0, description="of actions in the loss; of all else it is 1")
    max_episode_steps: int = Field(
        1000, ge=1, description="what follows so long an episode is not learned to be its end"
    )

    @model_validator(mode="after")
    def _check(self) -> TrajectoryTransformerConfig:
        check_heads(self.embed_dim, self.num_heads)
        return self


class SearchConfig(Component):
    """The beam search."""

    horizon: int = Field(15, ge=1, description="steps of a plan, H")
    beam: int = Field(32, ge=1, description="paths that are kept a step, W")
    expand: int = Field(2, ge=1, description="of each of which so many are made, E")
    cut: float | None = Field(
        0.6, gt=0, lt=1, description="share of the mass of an action token that its least likely values lose"
    )
    top_k: int | None = Field(None, ge=1, description="or how many of the likeliest values are kept; null: all")
    context: int = Field(
        5, ge=1, description="steps that the search looks back on, with the one at hand and those planned"
    )
    cache: Annotated[bool, QUIET] = Field(
        True,
        description="remember keys and values; without, every token passes the whole context again, as in the "
        "authors' code. The tokens are the same",
    )


class TtStageConfig(MinGptStageConfig):
    """Its one stage."""

    learning_rate: float = Field(6e-4, gt=0)
    rate_by: Literal["tokens", "steps"] = Field(
        "tokens",
        description="the rate rises over the tokens of the first epoch, falls in a cosine to a tenth at the 20th, and "
        "rises again, as in the authors' code; or goes as everywhere here (warmup_steps, decay)",
    )
    hold_floor: bool = Field(
        False, description="the rate stays at a tenth, as in github.com/Howuhh/faster-trajectory-transformer"
    )


class TtTrainingConfig(TrainingConfig):
    """Its one stage."""

    transformer: TtStageConfig = Field(TtStageConfig(), description="its one stage")


class TtConfig(AlgorithmConfig):
    """The whole configuration of a run of Trajectory Transformer."""

    algorithm: Literal["tt"] = "tt"
    trajectory_transformer: TrajectoryTransformerConfig = TrajectoryTransformerConfig()
    search: SearchConfig = SearchConfig()
    training: TtTrainingConfig = TtTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of its values, whatever the scenario's."""
        return self.trajectory_transformer.discount

    @model_validator(mode="after")
    def _check(self) -> TtConfig:
        context, window = self.search.context, self.trajectory_transformer.window
        if context > window:
            raise ValueError(
                f"search.context {context} is more than the {window} steps of trajectory_transformer.window"
            )
        return self
