"""What configurations are made of: components, optimisers, stages, evaluation, and how a field counts in the hash.

A field is marked in its annotation: `Annotated[int, QUIET]` says where or how loudly something runs and is no part of a
result's name; `Annotated[bool, ADDED]` came later than results that exist, so it counts only where it differs from its
default, which must be what was done before there was a choice.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from mage.config.values import read_value


class Mark(Enum):
    """How a field counts in the hash of a configuration."""

    QUIET = "no part of the hash"
    ADDED = "part of the hash where it differs from its default"


QUIET, ADDED = Mark.QUIET, Mark.ADDED

Decay = Literal["cosine", "cosine_to_zero", "linear", "constant"]


class Component(BaseModel):
    """What all parts of a configuration share."""

    # infinity is no JSON: it would come back from a saved configuration as null
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        return read_value(value, cls.model_fields[str(info.field_name)].annotation)

    def determining(self) -> dict[str, Any]:
        """What of it determines a result, as JSON: all fields but those that their mark leaves out."""
        data = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if QUIET in field.metadata or (ADDED in field.metadata and value == field.get_default()):
                del data[name]
            elif isinstance(value, Component):
                data[name] = value.determining()
        return data


def check_heads(embed_dim: int, num_heads: int) -> None:
    """ValueError where attention heads do not share the width evenly."""
    if embed_dim % num_heads:
        raise ValueError(f"embed_dim {embed_dim} is not a multiple of num_heads {num_heads}")


class OptimiserConfig(Component):
    """How some parameters are optimised: AdamW, linear warm-up, then a decay (to a tenth) or a constant rate."""

    learning_rate: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(100, ge=0)
    weight_decay: float = Field(1e-4, ge=0)
    gradient_clip: float = Field(1.0, gt=0, description="largest gradient norm")
    decay: Annotated[Decay, ADDED] = Field("cosine", description="of the learning rate after the warm-up")


class PlainAdamConfig(OptimiserConfig):
    """Adam as papers on values have it: a constant rate, no weight decay, and a clipping that never acts."""

    learning_rate: float = Field(3e-4, gt=0, description="of Adam; constant unless `decay` says otherwise")
    warmup_steps: int = Field(0, ge=0, description="over which the rate rises")
    weight_decay: float = Field(0.0, ge=0, description="pulls values to 0, which may be far from it")
    gradient_clip: float = Field(1e9, gt=0, description="largest gradient norm; so large a one is none")
    decay: Decay = Field("constant", description="of the learning rate")


class StageConfig(OptimiserConfig):
    """How one stage is trained; an optimiser of its own for some of its networks is a field of a subclass."""

    steps: int = Field(1000, ge=0)
    batch_size: int = Field(64, ge=1, description="windows a step over all workers together")


class OptionalStageConfig(StageConfig):
    """A stage that is left out unless it is given steps."""

    steps: int = Field(0, ge=0)


class TrainingConfig(Component):
    """How often training speaks and saves, and where it runs. A subclass adds its stages, in the order of training."""

    log_every: Annotated[int, QUIET] = Field(100, ge=1, description="steps")
    checkpoint_every: Annotated[int, QUIET] = Field(500, ge=1, description="steps over all stages")
    device: Annotated[Literal["auto", "cpu", "cuda"], QUIET] = "auto"
    threads: Annotated[int, QUIET] = Field(
        1, ge=1, description="CPU threads of a process; more than free cores makes torch crawl"
    )
    stacked: Annotated[bool, QUIET] = Field(
        False,
        description="train all seeds of a configuration at once, each step as one on weights laid side by side; for "
        "small models on a GPU",
    )

    @classmethod
    def stage_names(cls) -> tuple[str, ...]:
        """Its stages, in the order of training."""
        kinds = {name: field.annotation for name, field in cls.model_fields.items()}
        return tuple(name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, StageConfig))


class EvaluationConfig(Component):
    """Rollouts in the dataset's own evaluation environment."""

    episodes: int | None = Field(None, ge=1, description="per training seed; by default the scenario's (100)")
    target_return_quantile: float | None = Field(
        None,
        ge=0,
        le=1,
        description="target R_0 = this quantile of the training returns-to-go (1: their maximum); by default the "
        "scenario's; of advantages, where these are the condition, by default 0.95",
    )
    target_return_rule: Literal["constant", "decremented", "feasible"] | None = Field(
        None,
        description="the same target at every step; or R <- (R - r) / discount from a quantile of the whole episodes' "
        "returns; or (ours) at every step no more than the 95 % quantile of R given s_t, which is learned, and of the "
        "returns their maximum unless the quantile is given; by default the algorithm's own rule",
    )
    batch_size: int = Field(25, ge=1, description="environments stepped by one forward pass")
    intermediate_episodes: int = Field(
        10, ge=1, description="episodes of an evaluation during training, for schedulers"
    )
    inspection_episodes: Annotated[int, QUIET] = Field(
        10, ge=0, description="episodes a target of the scan of score against target return; 0 leaves rollouts out"
    )
    recording: Annotated[bool, QUIET] = Field(
        True, description="keep the actions of the episodes beside their scores, for `mage results verify`"
    )
    seed: int = Field(0, ge=0, description="episode i is seeded from (seed, i), whatever the training seed")
