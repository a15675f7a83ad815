"""Decision Transformer (Chen et al., 2021): a causal transformer over (R_t, s_t, a_t), which predicts a_t.

    L = sum_t mask_t ||pi(R_{<=t}, s_{<=t}, a_{<t}) - a_t||^2 / (A sum_t mask_t)

As in the original: three tokens a step with a shared embedding of the timestep, the action read off the state's token,
undiscounted returns, and a target that is decremented by what has been received.

With `condition.kind: advantage` (ours) the token R_t of every step is the advantage u_t of that step instead
(`mage.nn.advantage`), and when it acts all of them are the one that is asked for. So the sequence says how good each
step was for its state, as in ACT (Gao et al., 2024), whose transformer sees advantages; V-ADT (`adt`) sees values.

Shape suffixes: B batch, H steps of context, T = 3 H tokens, S observation size, A action size, Y = 1 + S values of a
condition (R_t, s_t) or (u_t, s_t), D network width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mage.config import AlgorithmConfig, Component, StageConfig, check_heads
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.distributed import mean_of_workers
from mage.interface import ONE, Info, Presets, Seen, Sizes, Stage, minimise
from mage.interface.conditioned import (
    PRESETS_OF_SPARSE_GOALS,
    ConditionedAlgorithm,
    ConditionedConfig,
    ConditionedTrainingConfig,
    Conditions,
)
from mage.nn.blocks import Block

INITIAL_TIMESTEP_STD = 0.02


class DecisionTransformerNetworkConfig(Component):
    """Decision Transformer (Chen et al., 2021), sized like the stage-2 transformer it is compared with."""

    context: int = Field(20, ge=1, description="steps it looks back on")
    depth: int = Field(3, ge=1, description="transformer blocks")
    embed_dim: int = Field(128, ge=4)
    num_heads: int = Field(4, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    discount: float = Field(1.0, gt=0, le=1, description="of its returns-to-go, whatever the scenario's")
    max_episode_steps: int = Field(1000, ge=1, description="timesteps with an embedding of their own")

    @model_validator(mode="after")
    def _check(self) -> DecisionTransformerNetworkConfig:
        check_heads(self.embed_dim, self.num_heads)
        return self


class DecisionTransformerTrainingConfig(ConditionedTrainingConfig):
    """Its stages, in order."""

    reference: StageConfig = Field(StageConfig(), description="its one stage, but for that of an advantage")


class DecisionTransformerConfig(ConditionedConfig):
    """The whole configuration of a run of Decision Transformer."""

    algorithm: str = "dt"
    decision_transformer: DecisionTransformerNetworkConfig = DecisionTransformerNetworkConfig()
    training: DecisionTransformerTrainingConfig = DecisionTransformerTrainingConfig()

    own_target_rule: ClassVar[Literal["constant", "decremented"]] = "decremented"

    @property
    def discount(self) -> float | None:
        """Of its returns-to-go, whatever the scenario's; of advantages, the scenario's: with 1, V has no bound."""
        return None if self.by_advantage else self.decision_transformer.discount

    @model_validator(mode="after")
    def _check_discount(self) -> DecisionTransformerConfig:
        if self.condition.discount is not None:
            raise ValueError("condition.discount is of others; of dt it is decision_transformer.discount")
        return self


class DecisionTransformer(nn.Module):
    """Actions of every step of a window, each from what lies before it."""

    mask_TT: Tensor

    def __init__(self, config: DecisionTransformerNetworkConfig, observation_size: int, action_size: int) -> None:
        super().__init__()
        width = config.embed_dim
        self.config = config
        self.embed_return = nn.Linear(1, width)
        self.embed_observation = nn.Linear(observation_size, width)
        self.embed_action = nn.Linear(action_size, width)
        self.embed_timestep = nn.Embedding(config.max_episode_steps, width)
        # with PyTorch's deviation of 1 it drowns what is seen until it is unlearned, which short training does not
        nn.init.normal_(self.embed_timestep.weight, std=INITIAL_TIMESTEP_STD)
        self.norm_in = nn.LayerNorm(width)
        self.blocks = nn.ModuleList([Block(width, config.num_heads, config.dropout) for _ in range(config.depth)])
        self.norm_out = nn.LayerNorm(width)
        self.head = nn.Linear(width, action_size)
        tokens = 3 * config.context
        self.register_buffer("mask_TT", torch.ones(tokens, tokens).tril().bool(), persistent=False)

    def forward(self, condition_BHY: Tensor, action_BHA: Tensor, timestep_BH: Tensor) -> Tensor:
        """(B, H, 1 + S), (B, H, A), (B, H) -> (B, H, A); H at most the context. The last action is not looked at."""
        batch, steps = timestep_BH.shape
        time_BHD = self.embed_timestep(timestep_BH.clamp_max(self.config.max_episode_steps - 1))
        triples = [
            self.embed_return(condition_BHY[..., :1]),
            self.embed_observation(condition_BHY[..., 1:]),
            self.embed_action(action_BHA),
        ]
        hidden_BTD = torch.stack([token_BHD + time_BHD for token_BHD in triples], 2).reshape(batch, 3 * steps, -1)
        hidden_BTD = self.norm_in(hidden_BTD)
        for block in self.blocks:
            hidden_BTD = block(hidden_BTD, self.mask_TT[: 3 * steps, : 3 * steps])
        action_BHA_predicted: Tensor = self.head(self.norm_out(hidden_BTD[:, 1::3]))
        return action_BHA_predicted


class Context(NamedTuple):
    """The last steps of the episodes under way: (R_t, s_t), normalised, and the actions that followed."""

    conditions: tuple[Tensor, ...] = ()
    actions: tuple[Tensor, ...] = ()


class DecisionTransformerAlgorithm(ConditionedAlgorithm[Any]):
    """Continues the episode so far as the data continues episodes of which so much return was still to come."""

    config_class: ClassVar[type[AlgorithmConfig]] = DecisionTransformerConfig
    presets: ClassVar[Presets] = {
        "cpu": {
            **PRESETS_OF_SPARSE_GOALS,
            "*": {
                "decision_transformer": {"embed_dim": 64, "depth": 2},
                # of 20 steps each: many small batches
                "training": {"reference": {"steps": 8000, "batch_size": 16, "learning_rate": 1e-3}},
            },
        },
        # Chen et al.'s own for Gym; the paper takes its scores from elsewhere
        "paper": {
            **PRESETS_OF_SPARSE_GOALS,
            "*": {
                "decision_transformer": {"context": 20, "depth": 3, "embed_dim": 128, "num_heads": 1, "dropout": 0.1},
                "training": {
                    "reference": {
                        "steps": 100000,
                        "batch_size": 64,
                        "learning_rate": 1e-4,
                        "warmup_steps": 10000,
                        "weight_decay": 1e-4,
                        "gradient_clip": 0.25,
                    },
                    "checkpoint_every": 5000,
                },
            },
        },
    }

    def __init__(self, config: DecisionTransformerConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        self.transformer = DecisionTransformer(config.decision_transformer, sizes.observation, sizes.action)

    @property
    def context(self) -> int:
        """Steps that it looks back on: with all of them, acting takes longest."""
        length: int = self.config.decision_transformer.context
        return length

    def stages(self, data: Steps) -> Sequence[Stage]:
        """Regression on the actions of windows of `context` steps, one starting at every step."""
        conditions = self.conditions(data)
        learn = minimise(partial(self.loss, conditions))
        return [
            *self.advantage_stages(conditions),
            Stage("reference", self.config.training.reference, {ONE: [self.transformer]}, learn),
        ]

    def loss(self, conditions: Conditions, rows_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
        """Returns (loss, info)."""
        data = conditions.data
        rows_BH, mask_BH = data.window_rows(rows_B, self.context)
        action_BHA = data.actions(rows_BH)
        predicted_BHA = self.transformer(conditions.take(rows_BH), action_BHA, data.timesteps(rows_BH))
        error_BH = (predicted_BHA - action_BHA).pow(2).mean(-1)
        # by the steps in the shard of an average worker: then the mean over workers is the mean over the batch
        loss = (error_BH * mask_BH).sum() / mean_of_workers(mask_BH.sum())
        return loss, {"loss": loss}

    def begin(self, environments: int) -> Context:
        """Nothing has been seen yet."""
        return Context()

    @torch.no_grad()
    def act(self, state: Context, seen: Seen) -> tuple[Tensor, Context]:
        """The action of the last step of the context."""
        known = (*state.actions, seen.action_BA) if seen.step else ()
        conditions = (*state.conditions, self.condition(seen.observation_BS, seen.asked_B))[-self.context :]
        actions = (*known, torch.zeros_like(seen.action_BA))[-self.context :]
        timestep_H = torch.arange(seen.step + 1 - len(actions), seen.step + 1, device=self.device)
        predicted_BHA = self.transformer(
            torch.stack(conditions, 1), torch.stack(actions, 1), timestep_H.expand(len(seen.action_BA), -1)
        )
        return predicted_BHA[:, -1], Context(conditions, known[-self.context :])


ALGORITHM = DecisionTransformerAlgorithm
