"""The root of a run's configuration, which every algorithm extends by what is its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, SupportsIndex

from pydantic import model_validator

from mage import registry
from mage.config.fields import Component, EvaluationConfig, TrainingConfig


class AlgorithmConfig(Component):
    """The whole configuration of a run; its hash names it in every result.

    A subclass gives `algorithm` its name, `training` its stages, and adds its own sections and fields.
    """

    algorithm: str
    training: TrainingConfig
    evaluation: EvaluationConfig = EvaluationConfig()

    own_target_rule: ClassVar[Literal["constant", "decremented"]] = "constant"
    """What becomes of the target return from step to step, unless `evaluation.target_return_rule` says otherwise."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        return registry.told_where(super().__reduce_ex__(protocol), self.algorithm)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that this training has, in order; one of 0 steps is left out."""
        return tuple(name for name in type(self.training).stage_names() if self.has_stage(name))

    def has_stage(self, name: str) -> bool:
        """Whether it is trained: it has steps."""
        return bool(getattr(self.training, name).steps)

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return sum(getattr(self.training, name).steps for name in self.stages)

    @property
    def method(self) -> str:
        """What it is called in results: its algorithm, and whatever makes that another method."""
        return self.algorithm

    @property
    def discount(self) -> float | None:
        """Of the returns-to-go that it learns from and is asked for; None: the scenario's."""
        return None

    @property
    def target_return_rule(self) -> str:
        """What is asked of the policy from step to step."""
        return self.evaluation.target_return_rule or self.own_target_rule

    def shared_key(self) -> Mapping[str, Any] | None:
        """What determines its first stage, besides data and seed, where runs that agree in it train it once."""
        return None

    def hash(self) -> str:
        """Twelve hex digits of what determines the result; where and how loudly it ran is left out."""
        data = self.determining()
        for name in type(self.training).stage_names():
            if name not in self.stages:
                del data["training"][name]
        return digest(data)

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        for name in type(self.training).stage_names():
            section = getattr(self.training, name)
            if not section.steps and type(section)().steps:
                raise ValueError(f"training.{name}.steps must be at least 1")
        return self


def digest(data: Mapping[str, Any]) -> str:
    """Twelve hex digits of some JSON data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
