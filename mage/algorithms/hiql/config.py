"""The configuration of HIQL, its presets, and what a sweep varies where nothing is said."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mage.config import AlgorithmConfig, Component, PlainAdamConfig, StageConfig, TrainingConfig
from mage.data.goals import GoalConfig, GoalShares
from mage.data.shown_goals import SHOWN_GOALS
from mage.interface import Presets, Space


class HiqlNetworkConfig(Component):
    """Networks, losses and goals; defaults are those of OGBench's own implementation."""

    hidden_dim: int = Field(512, ge=1, description="width of phi and of the heads of the value")
    hidden_layers: int = Field(3, ge=1, description="of phi and of the heads of the value")
    representation_dim: int = Field(10, ge=1, description="of phi, whose length is the root of it")
    policy_dim: int = Field(512, ge=1, description="width of both policies")
    policy_layers: int = Field(3, ge=1, description="of both policies")
    policy_activation: Literal["gelu", "relu"] = Field("gelu", description="relu in the authors' code for D4RL")
    learned_std: bool = Field(False, description="of both policies, as in the authors' code for D4RL; else it is 1")
    subgoal_steps: int = Field(25, ge=1, description="k: how far ahead sub-goals lie")
    expectile: float = Field(0.7, gt=0, lt=1, description="tau")
    beta_high: float = Field(3.0, ge=0, description="of the high policy's advantage; 0 is behaviour cloning")
    beta_low: float = Field(3.0, ge=0, description="of the low policy's advantage; 0 is behaviour cloning")
    largest_weight: float = Field(100.0, gt=0, description="of an action or a sub-goal of the data")
    discount: float = Field(0.99, gt=0, lt=1, description="gamma, a step, whatever the scenario's")
    target_rate: float = Field(0.005, gt=0, le=1, description="by which V' follows V, a step")
    goals: GoalShares = Field(GoalShares(), description="of the value")
    any_goals: float = Field(0.0, ge=0, le=1, description="share of the high policy's goals that are any states")
    goal: Literal["shown", "rewarded"] = Field(
        "shown",
        description="where the goal is read when it acts: in the goal's columns of the observation, else as in the "
        "data's first; or, where no observation shows it, it is the first state of the data that was rewarded with 1",
    )


class HiqlStageConfig(PlainAdamConfig, StageConfig):
    """Its one stage, of one optimiser."""

    steps: int = Field(1_000_000, ge=0)
    batch_size: int = Field(1024, ge=1, description="steps of walks over all workers together")


class HiqlTrainingConfig(TrainingConfig):
    """Its one stage."""

    hierarchy: HiqlStageConfig = Field(HiqlStageConfig(), description="value and both policies, at once")


class HiqlConfig(AlgorithmConfig):
    """The whole configuration of a run of HIQL."""

    algorithm: Literal["hiql"] = "hiql"
    hiql: HiqlNetworkConfig = HiqlNetworkConfig()
    goal: GoalConfig = GoalConfig()
    training: HiqlTrainingConfig = HiqlTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of its values, whatever the scenario's."""
        return self.hiql.discount


D4RL = {"beta_high": 1.0, "beta_low": 1.0, "any_goals": 0.3}
D4RL_POLICY = {"policy_dim": 256, "policy_layers": 2, "policy_activation": "relu", "learned_std": True}

FAMILIES: dict[str, dict[str, Any]] = {
    "antmaze": {"goal": SHOWN_GOALS["antmaze"], "hiql": D4RL},
    "kitchen": {"goal": SHOWN_GOALS["kitchen"], "hiql": D4RL},
    # nobody published it: OGBench's point maze, with any goals, since the data are short tours
    "maze2d": {"goal": SHOWN_GOALS["maze2d"], "hiql": {"any_goals": 0.3}},
    # of the giant mazes' single tasks; for those of the others set hiql.discount=0.99 or hiql.subgoal_steps=100
    "ogbench": {"hiql": {"goal": "rewarded", "discount": 0.995}},
}
SCENARIOS: dict[str, dict[str, Any]] = {
    "kitchen-mixed": {"goal": SHOWN_GOALS["kitchen-mixed"]},
    "pointmaze-giant-goals-v0": {"goal": SHOWN_GOALS["pointmaze-giant-goals-v0"], "hiql": {"goal": "shown"}},
    "antmaze-giant-goals-v0": {"goal": SHOWN_GOALS["antmaze-giant-goals-v0"], "hiql": {"goal": "shown"}},
    "antmaze-teleport-goals-v0": {
        "goal": SHOWN_GOALS["antmaze-teleport-goals-v0"],
        "hiql": {"goal": "shown", "discount": 0.99},
    },
    "humanoidmaze-giant-goals-v0": {
        "goal": SHOWN_GOALS["humanoidmaze-giant-goals-v0"],
        "hiql": {"goal": "shown", "subgoal_steps": 100},
    },
}

PRESETS: Presets = {
    # a fiftieth of the steps: values of goals far away grow a step's worth each time that the targets have followed, so
    # these follow faster
    "cpu": {
        "*": {
            "hiql": {"hidden_dim": 128, "policy_dim": 128, "target_rate": 0.02},
            "training": {"hierarchy": {"steps": 20_000, "batch_size": 256, "learning_rate": 1e-3}},
        },
        **FAMILIES,
        **SCENARIOS,
    },
    "paper": {
        "*": {"training": {"log_every": 1000, "checkpoint_every": 50_000}},
        **FAMILIES,
        "antmaze": FAMILIES["antmaze"] | {"hiql": D4RL | D4RL_POLICY},
        "kitchen": FAMILIES["kitchen"] | {"hiql": D4RL | D4RL_POLICY, "training": {"hierarchy": {"steps": 500_000}}},
        **SCENARIOS,
    },
}
SPACE: Space = {
    "hiql.beta_high": [1.0, 3.0, 10.0],
    "hiql.beta_low": [1.0, 3.0, 10.0],
    "hiql.subgoal_steps": [15, 25, 50],
}
