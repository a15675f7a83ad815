"""The configuration of TAP: trajectories as codes, search, and training.

Defaults are those of github.com/ZhengyaoJiang/latentplan (config/vqvae.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mage.config import QUIET, AlgorithmConfig, Component, TrainingConfig, check_heads
from mage.nn.min_gpt import MinGptStageConfig


class TapNetworkConfig(Component):
    """Trajectories, their codes, and the networks."""

    window: int = Field(24, ge=1, description="steps of a trajectory, T")
    stride: int = Field(3, ge=1, description="steps that a code stands for, L; with 1 the authors score far less")
    codes: int = Field(512, ge=2, description="K")
    code_dim: int = Field(512, ge=1, description="width of a code")
    codebook_decay: float = Field(0.99, gt=0, lt=1, description="of the moving averages that carry the codes")
    depth: int = Field(4, ge=1, description="blocks each of encoder, decoder and prior")
    embed_dim: int = Field(512, ge=4, description="width of all; the authors' 128 is a head's")
    num_heads: int = Field(4, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    action_weight: float = Field(5.0, gt=0, description="of actions in the loss; of all else it is 1")
    discount: float = Field(0.99, gt=0, le=1, description="gamma of the values and of the search")
    normalise: bool = Field(
        True, description="observations, actions, rewards and values by the data's mean and deviation, or as recorded"
    )
    terminal_reward: float | None = Field(
        None,
        description="in place of the reward that a failure has brought: -100 in locomotion, where ends are failures",
    )
    observed: int | None = Field(
        None,
        ge=1,
        description="only the first so many values of an observation are seen: 27 of Ant's, without contact forces",
    )
    max_episode_steps: int = Field(1000, ge=1, description="what follows so long an episode counts for nothing")

    @model_validator(mode="after")
    def _check(self) -> TapNetworkConfig:
        check_heads(self.embed_dim, self.num_heads)
        if self.window % self.stride:
            raise ValueError(f"window {self.window} is not a multiple of stride {self.stride}")
        return self


class TapSearchConfig(Component):
    """The beam search over codes."""

    horizon: int = Field(15, ge=1, description="steps of a plan; a multiple of tap.stride, and no more than tap.window")
    beam: int = Field(64, ge=1, description="paths that are kept a code, W")
    expand: int = Field(4, ge=1, description="codes that are drawn for each, E")
    likelihood_weight: float = Field(
        500.0, ge=0, description="beta, of a nat that a path is too unlikely; in the units of the return"
    )
    least_probability: float = Field(
        0.05, gt=0, le=1, description="theta: a path of M codes is too unlikely below theta^M"
    )
    cache: Annotated[bool, QUIET] = Field(
        True,
        description="remember keys and values; without, every code is a pass over the path so far, as in the authors' "
        "code. The plans are the same",
    )


class TapTrainingConfig(TrainingConfig):
    """The stages of TAP, in order."""

    autoencoder: MinGptStageConfig = Field(MinGptStageConfig(), description="trajectories to codes and back")
    prior: MinGptStageConfig = Field(MinGptStageConfig(), description="which codes follow a state")


class TapConfig(AlgorithmConfig):
    """The whole configuration of a run of TAP."""

    algorithm: Literal["tap"] = "tap"
    tap: TapNetworkConfig = TapNetworkConfig()
    search: TapSearchConfig = TapSearchConfig()
    training: TapTrainingConfig = TapTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of its values, whatever the scenario's."""
        return self.tap.discount

    def shared_key(self) -> dict[str, Any]:
        """What determines the autoencoder besides data and seed: not how it is searched."""
        data = self.determining()
        return {"tap": data["tap"], "training": data["training"]["autoencoder"]}

    @model_validator(mode="after")
    def _check(self) -> TapConfig:
        horizon, tap = self.search.horizon, self.tap
        if horizon % tap.stride or horizon > tap.window:
            raise ValueError(
                f"search.horizon {horizon} has to be a multiple of tap.stride {tap.stride}, and at most tap.window "
                f"{tap.window}"
            )
        return self
