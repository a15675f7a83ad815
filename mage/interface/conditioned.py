"""Algorithms that are given a condition beside the state and asked for one: returns-to-go, or advantages.

An algorithm whose configuration is a `ConditionedConfig` and whose class is a `ConditionedAlgorithm` has both. It reads
(c, s) of the data from `conditions(data)` and puts `advantage_stages` before its own; all else is done here.

Shape suffixes: N steps of the data, B batch, S observation size, Y = 1 + S values of a condition (c, s).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Self, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mage.config import AlgorithmConfig, StageConfig, TrainingConfig
from mage.data.condition import ConditionConfig
from mage.data.n_step import NStepReturns
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.interface.algorithm import Algorithm, Sizes
from mage.interface.stage import ONE, Info, Optimisers, Stage
from mage.nn.advantage import DEFAULT_QUANTILE, Advantage

STAGE = "advantage"
SPARSE_GOALS = {"condition": {"reward": {"shift": -1.0}, "terminal_at_goal": True}}
PRESETS_OF_SPARSE_GOALS: dict[str, Any] = {"antmaze": SPARSE_GOALS, "ogbench": SPARSE_GOALS}
"""By family: where only the goal is rewarded, nothing is learned of 0 a step before it is seen."""


class AdvantageStageConfig(StageConfig):
    """How V is learned, where `condition.kind` is advantage."""

    steps: int = Field(2000, ge=0)
    batch_size: int = Field(512, ge=1, description="steps of the data a step over all workers together")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)


class ConditionedTrainingConfig(TrainingConfig):
    """The stage before all others. A subclass adds its own."""

    advantage: AdvantageStageConfig = Field(
        AdvantageStageConfig(), description="V, where condition.kind is advantage; else there is no such stage"
    )


class ConditionedConfig(AlgorithmConfig):
    """The configuration of an algorithm with a choice of its condition. Of returns, only their discount counts."""

    condition: ConditionConfig = ConditionConfig()
    training: ConditionedTrainingConfig

    @property
    def by_advantage(self) -> bool:
        """Whether the condition is an advantage."""
        return self.condition.kind == "advantage"

    def has_stage(self, name: str) -> bool:
        """V is learned where it is needed."""
        return super().has_stage(name) and (name != STAGE or self.by_advantage)

    @property
    def discount(self) -> float | None:
        """Of the returns-to-go that are the condition."""
        return self.condition.discount

    @property
    def method(self) -> str:
        """In results it is another method with advantages."""
        return f"{self.algorithm} (advantage)" if self.by_advantage else self.algorithm

    @property
    def target_return_rule(self) -> str:
        """An advantage is constant."""
        return "constant" if self.by_advantage else super().target_return_rule

    def determining(self) -> dict[str, Any]:
        """Of the condition of returns their discount, where it is not the scenario's."""
        data = super().determining()
        if not self.by_advantage:
            condition = data.pop("condition")
            if self.condition.discount is not None:
                data["condition"] = {"discount": condition["discount"]}
        return data

    def advantage_key(self) -> dict[str, Any] | None:
        """What determines V besides data and seed; None where there is none."""
        if not self.by_advantage:
            return None
        data = self.determining()
        return {"condition": data["condition"], "training": data["training"][STAGE]}

    def shared_key(self) -> Mapping[str, Any] | None:
        """V is shared."""
        return self.advantage_key()

    @model_validator(mode="after")
    def _check_condition(self) -> Self:
        rule = self.evaluation.target_return_rule
        if self.by_advantage and rule in ("decremented", "feasible"):
            raise ValueError(
                f"evaluation.target_return_rule {rule} is of returns; with condition.kind advantage the target is a "
                "constant quantile of advantages: leave it out"
            )
        if self.by_advantage and self.condition.discount is not None:
            raise ValueError(
                "condition.discount is of returns-to-go; with condition.kind advantage V discounts as the scenario "
                "does: leave it out"
            )
        return self


C = TypeVar("C", bound=ConditionedConfig)


class Conditions:
    """(c, s) of the steps of a dataset, normalised: c is the return-to-go, or u where there is a value to judge by.

    Advantages are computed once, at the first use, which has to wait until V is learned.
    """

    def __init__(self, data: Steps, advantage: Advantage | None) -> None:
        self.data, self.advantage = data, advantage

    def take(self, rows: Tensor) -> Tensor:
        """Of those rows, (..., Y)."""
        if self.advantage is None:
            return self.data.conditions(rows)
        return torch.cat([self._labels[rows].unsqueeze(-1), self.data.observations(rows)], -1)

    @cached_property
    def returns(self) -> NStepReturns:
        """What lies ahead of every step."""
        assert self.advantage is not None
        own = self.advantage.config
        return NStepReturns(self.data, own.horizon, own.reward, own.terminal_at_goal)

    @cached_property
    def _labels(self) -> Tensor:
        assert self.advantage is not None
        return self.advantage.labels(self.returns)


class ConditionedAlgorithm(Algorithm[C]):
    """What such algorithms share.

    Attributes:
        advantage: V and what is known of the data's advantages; None with returns.
    """

    def __init__(self, config: C, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        # before all else, so that the same seed begins with the same V in every algorithm
        self.advantage = Advantage(config.condition, sizes.observation) if config.by_advantage else None

    @property
    def asks(self) -> Literal["return", "advantage"] | None:
        """Its condition."""
        return "return" if self.advantage is None else "advantage"

    def target_advantage(self, quantile: float | None = None) -> float:
        """That quantile of the data's advantages, by default 0.95."""
        assert self.advantage is not None
        return self.advantage.quantile(DEFAULT_QUANTILE if quantile is None else quantile)

    def condition(self, observation_BS: Tensor, asked_B: Tensor) -> Tensor:
        """(c_t, s_t), normalised, (B, 1 + S). An advantage is asked for as it is."""
        if self.advantage is None:
            return super().condition(observation_BS, asked_B)
        return torch.cat([asked_B.unsqueeze(1), self.see(observation_BS)], 1)

    def conditions(self, data: Steps) -> Conditions:
        """(c, s) of the data's steps."""
        return Conditions(data, self.advantage)

    def conditions_of(self, data: Steps) -> Callable[[Tensor], Tensor]:
        """Rows of the data -> (c, s)."""
        return self.conditions(data).take

    def advantage_stages(self, conditions: Conditions) -> Sequence[Stage]:
        """The stage that learns V, where there is one: first of all, and shared by runs that agree in it."""
        advantage = self.advantage
        if advantage is None:
            return []
        returns = conditions.returns
        advantage.begin(returns)

        def step(numbers_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
            loss = advantage.loss(returns, returns.known[numbers_B])
            optimise[ONE].minimise(loss)
            advantage.target.follow(advantage.value)
            return {"loss": loss}

        @torch.no_grad()
        def diagnose(numbers_B: Tensor) -> Info:
            return {"value": advantage(conditions.data.observations(returns.known[numbers_B])).mean()}

        def end() -> tuple[Mapping[str, float | str], str]:
            advantage.end(returns)
            target = advantage.quantile(DEFAULT_QUANTILE)
            found = {"deviation": float(advantage.deviation), "target": target}
            return {"stage": "advantages", **found}, (
                f"advantages: deviation {found['deviation']:.3g} over the data, {100 * DEFAULT_QUANTILE:.0f} % of them "
                f"below {target:.3g} deviations"
            )

        return [
            Stage(
                STAGE,
                self.config.training.advantage,
                {ONE: [advantage]},
                step,
                diagnose,
                tells=("value",),
                end=end,
                rows=len(returns.known),
                shared_by=self.config.advantage_key(),
                acts=False,
            )
        ]
