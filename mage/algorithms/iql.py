"""Implicit Q-learning (Kostrikov, Nair, Levine, ICLR 2022, arXiv 2110.06169).

    L_V  = |tau - 1(u < 0)| u^2,    u = min_i Q'_i(s, a) - V(s)
    L_Q  = (Q_i(s, a) - r - gamma (1 - terminal) V(s'))^2, the mean over i = 1, 2
    L_pi = -min(exp(beta u), 100) log pi(a | s)

V is an upper expectile of Q over the actions of the data, so no other action is ever judged; pi is behaviour cloning,
weighted by advantage. Q' follows Q. All three losses are those of the weights before the step, and none has a gradient
in another's network. The policy is a Gaussian that is not squashed; it acts by its mean.

The settings are those of the configurations of CORL (github.com/corl-team/CORL, configs/offline/iql), whose scores are
the published ones, where it has a family of scenarios; else of the authors (github.com/ikostrikov/implicit_q_learning).
Departure: observations are divided by max(deviation, 0.001), not by deviation + 0.001.

Shape suffixes: B batch, S observation size, A action size; 2 the two Q functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from mage.config import AlgorithmConfig, Component, Decay, PlainAdamConfig, StageConfig, TrainingConfig
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.data.transitions import Batch, RewardConfig, TransitionSampler
from mage.interface import Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage
from mage.nn.average import Average
from mage.nn.critics import TanhMeanGaussian, TwinQ, advantage_weight, relu_mlp
from mage.nn.implicit import implicit_losses


class IqlNetworkConfig(Component):
    """Networks, losses and the units of the data; names and defaults are those of the paper and of CORL."""

    hidden_dim: int = Field(256, ge=1, description="width of all networks (paper, appendix B)")
    hidden_layers: int = Field(2, ge=1, description="of all networks (paper, appendix B)")
    dropout: float = Field(0.0, ge=0, lt=1, description="after the policy's hidden layers")
    log_std_low: float = Field(
        -5.0, le=2, description="least log of the policy's deviation: -5 in the authors' code, -20 in CORL"
    )
    expectile: float = Field(0.7, gt=0, lt=1, description="tau: 0.5 is the mean over the data's actions")
    beta: float = Field(3.0, ge=0, description="of an advantage in the units of `reward`; 0 is behaviour cloning")
    largest_weight: float = Field(100.0, gt=0, description="of an action of the data")
    discount: float = Field(0.99, gt=0, le=1, description="gamma, a step, whatever the scenario's")
    target_rate: float = Field(0.005, gt=0, le=1, description="by which Q' follows Q, a step")
    normalise_observations: bool = Field(True, description="by the data's mean and deviation, or as recorded")
    terminal_at_goal: bool = Field(
        False, description="a step of reward 1 is terminal: D4RL's AntMaze says so, Minari's recordings go on"
    )
    reward: RewardConfig = RewardConfig()


class IqlActorConfig(PlainAdamConfig):
    """The policy's optimiser, whose rate falls to 0 in a cosine."""

    decay: Decay = Field("cosine_to_zero", description="of the learning rate (authors' code)")


class IqlStageConfig(PlainAdamConfig, StageConfig):
    """Its one stage. The settings of its optimiser are those of Q and V."""

    steps: int = Field(1_000_000, ge=0)
    batch_size: int = Field(256, ge=1, description="transitions a step over all workers together")
    actor: IqlActorConfig = Field(IqlActorConfig(), description="of the policy")


class IqlTrainingConfig(TrainingConfig):
    """Its one stage."""

    critic: IqlStageConfig = Field(IqlStageConfig(), description="Q, V and policy, at once")


class IqlConfig(AlgorithmConfig):
    """The whole configuration of a run of IQL."""

    algorithm: Literal["iql"] = "iql"
    iql: IqlNetworkConfig = IqlNetworkConfig()
    training: IqlTrainingConfig = IqlTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of its values, whatever the scenario's."""
        return self.iql.discount


class Losses(NamedTuple):
    """Of V, of Q and of the policy, and what is told beside them."""

    value: Tensor
    critic: Tensor
    actor: Tensor
    value_mean: Tensor
    weight_mean: Tensor


ANTMAZE = {
    "expectile": 0.9,
    "beta": 10.0,
    "terminal_at_goal": True,
    "reward": {"shift": -1.0},  # with 0 a step nothing is learned from before the goal is seen
}
SMALL_ADROIT = {"expectile": 0.8, "beta": 0.5, "dropout": 0.1, "reward": {"over_return_range": True, "scale": 100.0}}
SMALL_ANTMAZE = {"iql": ANTMAZE | {"beta": 1.0, "hidden_dim": 512}, "training": {"critic": {"steps": 20_000}}}
FAMILIES: dict[str, dict[str, Any]] = {
    "adroit": {"iql": {"expectile": 0.8, "beta": 3.0, "dropout": 0.1}},
    # the authors' kitchen_config.py, which saw observations as recorded; CORL has none
    "kitchen": {"iql": {"expectile": 0.7, "beta": 0.5, "dropout": 0.1, "normalise_observations": False}},
    "antmaze": {"iql": ANTMAZE},
    "maze2d": {"iql": {"expectile": 0.7, "beta": 3.0}},
    # nobody published these two; a maze whose goal pays, as Maze2D, and one that ends there, as AntMaze
    "maze_game": {"iql": {"expectile": 0.7, "beta": 3.0}},
    "ogbench": {"iql": ANTMAZE},
    # HalfCheetah's and Walker2d's; for Ant nobody published any
    "locomotion": {"iql": {"expectile": 0.7, "beta": 3.0}},
}


class ImplicitQLearning(Algorithm[Any]):
    """Takes the better ones of the data's actions."""

    config_class: ClassVar[type[AlgorithmConfig]] = IqlConfig
    presets: ClassVar[Presets] = {
        # five minutes of a CPU: fewer steps at thrice the rates. Q' follows ten times faster, or V still grows at the
        # end, and what the weights then prefer is noise: door-expert 106 (0.005: 91, behaviour cloning 105)
        "cpu": {
            "*": {
                "iql": {"target_rate": 0.05},
                "training": {"critic": {"steps": 12_000, "learning_rate": 1e-3, "actor": {"learning_rate": 1e-3}}},
            },
            **FAMILIES,
            # rewards as in the authors' code, which CORL leaves raw, and a sixth of beta: halfcheetah-medium 49.5; with
            # the authors' beta of 3 38, with CORL's settings 39, and 7 and 9 of 20 episodes below 40
            "locomotion": {"iql": {"beta": 0.5, "reward": {"over_return_range": True, "scale": 1000.0}}},
            # ten times an advantage of values so young is noise, which chooses what is learned from: 0 in AntMaze's
            # U-maze for 52. So are three of Adroit's rewards, of which an episode pays thousands: door-cloned 0.4 for 4
            "adroit": {"iql": SMALL_ADROIT},
            **dict.fromkeys(("antmaze", "ogbench"), SMALL_ANTMAZE),
        },
        "paper": {
            "*": {
                "iql": {"log_std_low": -20.0},
                "training": {"critic": {"steps": 1_000_000}, "log_every": 1000, "checkpoint_every": 50_000},
            },
            **FAMILIES,
        },
    }
    space: ClassVar[Space] = {"iql.expectile": [0.7, 0.8, 0.9], "iql.beta": [0.5, 3.0, 10.0], "iql.dropout": [0.0, 0.1]}

    def __init__(self, config: IqlConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        own = self.own = config.iql
        shape = own.hidden_dim, own.hidden_layers
        self.critic = TwinQ(*sizes, *shape)
        self.target = Average(self.critic, own.target_rate)
        self.value = relu_mlp(sizes.observation, *shape, outputs=1)
        self.actor = TanhMeanGaussian(*sizes, *shape, own.dropout, own.log_std_low)

    @property
    def asks(self) -> Literal["return"] | None:
        """Nothing: it does as well as it can."""
        return None

    def see(self, observation_BS: Tensor) -> Tensor:
        """Observations in units of the data's mean and deviation, or as they are."""
        return super().see(observation_BS) if self.own.normalise_observations else observation_BS

    def stages(self, data: Steps) -> Sequence[Stage]:
        """One: values and policy, on transitions."""
        own = self.own
        transitions = TransitionSampler(data, own.reward, own.terminal_at_goal, own.normalise_observations)
        learn, diagnose = partial(self.learn, transitions), partial(self.diagnose, transitions)
        return [
            Stage(
                "critic",
                self.config.training.critic,
                {"critic": [self.critic, self.value], "actor": [self.actor]},
                learn,
                diagnose,
                tells=("value", "action_error"),
                rows=len(transitions),
            )
        ]

    def learn(
        self, transitions: TransitionSampler, rows_B: Tensor, optimise: Optimisers, random: torch.Generator
    ) -> Info:
        """One step of everything, by the weights before it; then the target follows."""
        losses = self.losses(transitions.take(rows_B))
        optimise["critic"].minimise(losses.value + losses.critic)
        optimise["actor"].minimise(losses.actor)
        self.target.follow(self.critic)
        return {
            "loss": losses.value + losses.critic + losses.actor,
            "value_loss": losses.value,
            "critic_loss": losses.critic,
            "actor_loss": losses.actor,
            "value": losses.value_mean,
            "weight": losses.weight_mean,
        }

    def losses(self, batch: Batch) -> Losses:
        """All three, each with a gradient in its own network alone."""
        own = self.own
        of_values = implicit_losses(self.value, self.critic, self.target, batch, own.discount, own.expectile)
        weight_B = advantage_weight(of_values.advantage_B, own.beta, own.largest_weight)
        log_density_B = self.actor.log_density(batch.observation_BS, batch.action_BA)
        return Losses(
            value=of_values.value,
            critic=of_values.critic,
            actor=-(weight_B * log_density_B).mean(),
            value_mean=of_values.value_B.mean(),
            weight_mean=weight_B.mean(),
        )

    @torch.no_grad()
    def diagnose(self, transitions: TransitionSampler, rows_B: Tensor) -> Info:
        """How far the policy is from the data's actions, and how often the weight is cut off."""
        batch = transitions.take(rows_B)
        error_BA = self.actor(batch.observation_BS) - batch.action_BA
        judged_B = self.target(batch.observation_BS, batch.action_BA).amin(0)
        advantage_B = judged_B - self.value(batch.observation_BS).squeeze(-1)
        weight_B = advantage_weight(advantage_B, self.own.beta, self.own.largest_weight)
        cut = (weight_B >= self.own.largest_weight).float().mean()
        return {"action_error": error_BA.pow(2).mean(), "cut_weights": cut}

    @torch.no_grad()
    def act(self, state: None, seen: Seen) -> tuple[Tensor, None]:
        """The mean of the policy."""
        return self.actor(self.see(seen.observation_BS)), None


ALGORITHM = ImplicitQLearning
