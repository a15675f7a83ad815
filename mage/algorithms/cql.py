"""Conservative Q-learning (Kumar, Zhou, Tucker, Levine, NeurIPS 2020, arXiv 2006.04779): CQL(H), importance-sampled.

    L_Q     = sum over i = 1, 2 of (Q_i(s, a) - y)^2 + c (soft_i - Q_i(s, a))
    y       = r + gamma (1 - terminal) min_i Q'_i(s', a'),    a' ~ pi(s')
    soft_i  = log sum over 3N actions b of exp(Q_i(s, b) - log density(b)),    b ~ uniform, pi(s), pi(s'), N of each
    L_pi    = alpha log pi(b | s) - min_i Q_i(s, b),    b ~ pi(s)
    L_alpha = -log alpha (log pi(b | s) + h A)

c is `conservatism`; with a `gap` it is that times a multiplier, which grows while soft - Q exceeds the gap (Lagrange).
h is `entropy`, that a dimension of the action is to have. The actions of pi(s'), too, are judged at s, on purpose. The
sum is not divided by 3N, so soft - Q holds a constant log 3N + A log 2, which matters to the gap alone. Q' follows Q.
All losses are those of the weights before the step. The policy is tanh of a Gaussian; it acts by tanh of the mean.

The settings are those of CORL (github.com/corl-team/CORL, algorithms/offline/cql.py and configs/offline/cql), whose
scores are the published ones. Departures: both critics have all their hidden layers (CORL's second one keeps 3);
observations are divided by max(deviation, 0.001), not by deviation + 0.001; no steps of behaviour cloning first, of
which CORL has 0. CORL's CQL fails on Adroit, and its authors' code does not say what worked there.

Shape suffixes: B batch, N actions of one observation, S observation size, A action size; 2 the two Q functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from mage.config import ADDED, AlgorithmConfig, Component, PlainAdamConfig, StageConfig, TrainingConfig, merge
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.data.transitions import Batch, RewardConfig, TransitionSampler
from mage.interface import Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage
from mage.nn.average import Average
from mage.nn.critics import TanhGaussian, TwinQ, squashed

LARGEST_MULTIPLIER = 1e6


class CqlNetworkConfig(Component):
    """Networks, losses and the units of the data; defaults are CORL's for HalfCheetah and Walker2d."""

    hidden_dim: int = Field(256, ge=1, description="width of all networks")
    actor_layers: int = Field(3, ge=1, description="hidden layers of the policy")
    critic_layers: int = Field(3, ge=1, description="hidden layers of each Q")
    conservatism: float = Field(10.0, ge=0, description="weight of soft - Q; 0 is soft actor-critic")
    gap: float | None = Field(
        None, description="that soft - Q is held at by a multiplier (Lagrange); by default none is"
    )
    sampled_actions: int = Field(10, ge=1, description="N: uniform, of pi(s) and of pi(s'), N of each")
    entropy: Annotated[float, ADDED] = Field(
        -1.0, description="that the policy is held to, in nats a dimension of the action; data with less needs less"
    )
    max_target_backup: bool = Field(False, description="y by the best of N actions of pi(s'), or by a single one")
    least_difference: float | None = Field(
        None, description="soft - Q counts as no less than this; by default as it is"
    )
    discount: float = Field(0.99, gt=0, le=1, description="gamma, a step, whatever the scenario's")
    target_rate: float = Field(0.005, gt=0, le=1, description="by which Q' follows Q, a step")
    normalise_observations: bool = Field(True, description="by the data's mean and deviation, or as recorded")
    terminal_at_goal: bool = Field(
        False, description="a step of reward 1 is terminal: D4RL's AntMaze says so, Minari's recordings go on"
    )
    reward: RewardConfig = RewardConfig()


class CqlActorConfig(PlainAdamConfig):
    """The optimiser of the policy and its entropy weight."""

    learning_rate: float = Field(3e-5, gt=0, description="CORL: 3e-5 or 1e-4; the authors suggest 1e-4 or 3e-4")


class CqlStageConfig(PlainAdamConfig, StageConfig):
    """Its one stage. The settings of its optimiser are those of both Q and of the multiplier."""

    steps: int = Field(1_000_000, ge=0)
    batch_size: int = Field(256, ge=1, description="transitions a step over all workers together")
    actor: CqlActorConfig = Field(CqlActorConfig(), description="of the policy and its entropy weight")


class CqlTrainingConfig(TrainingConfig):
    """Its one stage."""

    critic: CqlStageConfig = Field(CqlStageConfig(), description="both Q and the policy, at once")


class CqlConfig(AlgorithmConfig):
    """The whole configuration of a run of CQL."""

    algorithm: Literal["cql"] = "cql"
    cql: CqlNetworkConfig = CqlNetworkConfig()
    training: CqlTrainingConfig = CqlTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of its values, whatever the scenario's."""
        return self.cql.discount


class Losses(NamedTuple):
    """Of both Q (squared errors, and what makes them conservative), of the policy, and what is told beside them."""

    error: Tensor
    penalty: Tensor
    multiplier: Tensor
    actor: Tensor
    entropy_weight: Tensor
    difference: Tensor
    value: Tensor


ANTMAZE = {
    "conservatism": 5.0,
    "gap": 0.8,
    "max_target_backup": True,
    "least_difference": -200.0,
    "critic_layers": 5,
    "normalise_observations": False,
    "terminal_at_goal": True,
    "reward": {"scale": 10.0, "shift": -5.0},
}
FAMILIES: dict[str, dict[str, Any]] = {
    "adroit": {"cql": {"conservatism": 1.0}},
    # not published: Adroit's, held at a gap, as is said of the runs behind the scores (PaddlePaddle/PARL, issue 744)
    "kitchen": {"cql": {"conservatism": 1.0, "gap": 5.0}},
    "antmaze": {"cql": ANTMAZE},
    "maze2d": {"cql": {"conservatism": 10.0, "gap": 5.0}},
    # nobody published these two; a maze whose goal pays, as Maze2D, and one that ends there, as AntMaze
    "maze_game": {"cql": {"conservatism": 10.0, "gap": 5.0}},
    "ogbench": {"cql": ANTMAZE},
    # HalfCheetah's and Walker2d's; for Ant nobody published any: its rewards are of Walker2d's size
    "locomotion": {"cql": {"conservatism": 10.0}},
}
SMALL_LOCOMOTION: dict[str, Any] = {
    "cql": {"entropy": -2.0, "reward": {"scale": 0.02}},
    "training": {"critic": {"steps": 15_000, "decay": "cosine", "actor": {"decay": "cosine"}}},
}
"""In minutes errors of large values drown what conservatism says of actions; and our sets are of policies with less
noise than the usual entropy leaves."""
ACTOR_RATES = {"adroit": 1e-4, "kitchen": 1e-4, "antmaze": 1e-4, "ogbench": 1e-4}
"""Of the policy's optimiser, where it is not 3e-5."""


def published(family: str) -> dict[str, Any]:
    """The fields of a family in the preset `paper`."""
    rate = ACTOR_RATES.get(family, 3e-5)
    return {**FAMILIES[family], "training": {"critic": {"actor": {"learning_rate": rate}}}}


def small(family: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a family in the preset `cpu`."""
    fewer = merge(fields, {"cql": {"critic_layers": 2}})
    return merge(fewer, SMALL_LOCOMOTION) if family == "locomotion" else fewer


class ConservativeQLearning(Algorithm[Any]):
    """Takes the action that Q thinks best, where Q thinks little of what the data does not do."""

    config_class: ClassVar[type[AlgorithmConfig]] = CqlConfig
    presets: ClassVar[Presets] = {
        # minutes: fewer samples and layers, and a policy that gets somewhere in so few steps
        "cpu": {
            "*": {
                "cql": {"actor_layers": 2, "critic_layers": 2, "sampled_actions": 2},
                "training": {"critic": {"steps": 20_000, "actor": {"learning_rate": 3e-4}}},
            },
            **{name: small(name, family) for name, family in FAMILIES.items()},
        },
        "paper": {
            "*": {"training": {"critic": {"steps": 1_000_000}, "log_every": 1000, "checkpoint_every": 50_000}},
            **{name: published(name) for name in FAMILIES},
        },
    }
    space: ClassVar[Space] = {
        "cql.conservatism": [1.0, 5.0, 10.0],
        "training.critic.actor.learning_rate": [3e-5, 1e-4, 3e-4],
    }

    def __init__(self, config: CqlConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        own = self.own = config.cql
        self.critic = TwinQ(*sizes, own.hidden_dim, own.critic_layers, weights="orthogonal")
        self.target = Average(self.critic, own.target_rate)
        self.actor = TanhGaussian(*sizes, own.hidden_dim, own.actor_layers)
        self.log_entropy_weight = nn.Parameter(torch.tensor(0.0))
        self.log_multiplier = nn.Parameter(torch.tensor(1.0)) if own.gap is not None else None

    @property
    def asks(self) -> Literal["return"] | None:
        """Nothing: it does as well as it can."""
        return None

    def see(self, observation_BS: Tensor) -> Tensor:
        """Observations in units of the data's mean and deviation, or as they are."""
        return super().see(observation_BS) if self.own.normalise_observations else observation_BS

    def stages(self, data: Steps) -> Sequence[Stage]:
        """One: both Q and the policy, on transitions."""
        own = self.own
        transitions = TransitionSampler(data, own.reward, own.terminal_at_goal, own.normalise_observations)
        held = [] if self.log_multiplier is None else [self.log_multiplier]
        learn, diagnose = partial(self.learn, transitions), partial(self.diagnose, transitions)
        return [
            Stage(
                "critic",
                self.config.training.critic,
                # Adam treats every number for itself: one optimiser of two things is two optimisers of one rate
                {"critic": [self.critic, *held], "actor": [self.actor, self.log_entropy_weight]},
                learn,
                diagnose,
                tells=("value", "difference", "action_error"),
                rows=len(transitions),
            )
        ]

    def learn(
        self, transitions: TransitionSampler, rows_B: Tensor, optimise: Optimisers, random: torch.Generator
    ) -> Info:
        """One step of everything, by the weights before it; then the target follows."""
        losses = self.losses(transitions.take(rows_B), random)
        # the actor first: its loss still needs the weights of the critics, theirs none of the actor's
        optimise["actor"].minimise(losses.actor + losses.entropy_weight)
        optimise["critic"].minimise(losses.error + losses.penalty + losses.multiplier)
        self.target.follow(self.critic)
        return {
            "loss": losses.error + losses.penalty,
            "critic_loss": losses.error,
            "penalty": losses.penalty,
            "actor_loss": losses.actor,
            "difference": losses.difference,
            "value": losses.value,
            "entropy_weight": self.log_entropy_weight.exp(),
        }

    def losses(self, batch: Batch, random: torch.Generator) -> Losses:
        """All of them, each with a gradient in what it is to move alone."""
        observation_BS, here = batch.observation_BS, self.actor(batch.observation_BS)
        with torch.no_grad():
            there = self.actor(batch.next_observation_BS)
            wanted_B = self.wanted(batch, there, random)
        action_1BA, log_density_1B = draw(here, 1, random)
        entropy_weight = self.log_entropy_weight.exp().detach()
        judged_1B = self.critic(observation_BS, action_1BA).amin(0)
        value_2B = self.critic(observation_BS, batch.action_BA)
        difference_2B = self.soft_maximum(observation_BS, here, there, random) - value_2B
        if self.own.least_difference is not None:
            difference_2B = difference_2B.clamp_min(self.own.least_difference)
        penalty, multiplier = self.weigh(difference_2B.mean(1))
        surplus = (log_density_1B.detach() + self.own.entropy * self.sizes.action).mean()
        return Losses(
            error=(value_2B - wanted_B).pow(2).mean(1).sum(),
            penalty=penalty,
            multiplier=multiplier,
            actor=(entropy_weight * log_density_1B - judged_1B).mean(),
            entropy_weight=-self.log_entropy_weight * surplus,
            difference=difference_2B.mean(),
            value=value_2B.mean(),
        )

    def wanted(self, batch: Batch, there: Gaussian, random: torch.Generator) -> Tensor:
        """y, (B,): what follows is judged by an action of the policy, or by the best of N."""
        actions_NBA, _ = draw(there, self.own.sampled_actions if self.own.max_target_backup else 1, random)
        future_B = self.target(batch.next_observation_BS, actions_NBA).amin(0).amax(0)
        return batch.reward_B + self.own.discount * (1 - batch.terminal_B) * future_B

    def soft_maximum(self, observation_BS: Tensor, here: Gaussian, there: Gaussian, random: torch.Generator) -> Tensor:
        """log of the sum of exp(Q(s, b)) / density(b) over 3N actions b, (2, B); no gradient reaches the policy."""
        samples = self.own.sampled_actions
        with torch.no_grad():
            own_NBA, own_NB = draw(here, samples, random)
            next_NBA, next_NB = draw(there, samples, random)
            uniform_NBA = 2 * torch.rand(own_NBA.shape, generator=random, device=random.device).to(own_NBA.device) - 1
            uniform_NB = torch.full_like(own_NB, self.sizes.action * math.log(0.5))
        values_2NB = self.critic(observation_BS, torch.cat([uniform_NBA, own_NBA, next_NBA]))
        return (values_2NB - torch.cat([uniform_NB, own_NB, next_NB])).logsumexp(1)

    def weigh(self, difference_2: Tensor) -> tuple[Tensor, Tensor]:
        """The penalty of both Q, and the loss of the multiplier, where there is one."""
        own = self.own
        if own.gap is None or self.log_multiplier is None:
            return own.conservatism * difference_2.sum(), torch.zeros_like(difference_2[0])
        excess_2 = own.conservatism * (difference_2 - own.gap)
        multiplier = self.log_multiplier.exp().clamp(max=LARGEST_MULTIPLIER)
        return multiplier.detach() * excess_2.sum(), -multiplier * excess_2.detach().mean()

    @torch.no_grad()
    def diagnose(self, transitions: TransitionSampler, rows_B: Tensor) -> Info:
        """How often Q prefers the data's action to the policy's, and how far these are from each other."""
        batch = transitions.take(rows_B)
        action_BA = self.actor(batch.observation_BS)[0].tanh()
        own_B = self.critic(batch.observation_BS, action_BA).amin(0)
        theirs_B = self.critic(batch.observation_BS, batch.action_BA).amin(0)
        return {
            "action_error": (action_BA - batch.action_BA).pow(2).mean(),
            "prefers_data_actions": (theirs_B > own_B).float().mean(),
        }

    @torch.no_grad()
    def act(self, state: None, seen: Seen) -> tuple[Tensor, None]:
        """The squashed mean of the policy."""
        mean_BA, _ = self.actor(self.see(seen.observation_BS))
        return mean_BA.tanh(), None


Gaussian = tuple[Tensor, Tensor]
"""Mean and log of the deviation, before the squashing, (B, A) each."""


def draw(policy: Gaussian, samples: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Actions of a policy (N, B, A) and their log-densities (N, B)."""
    noise_NBA = torch.randn((samples, *policy[0].shape), generator=random, device=random.device)
    return squashed(*policy, noise_NBA.to(policy[0].device))


ALGORITHM = ConservativeQLearning
