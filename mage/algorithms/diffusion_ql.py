"""Diffusion-QL (Wang, Hunt, Zhou, ICLR 2023, arXiv 2208.06193): a diffusion policy that clones, and climbs a learned Q.

    L_Q  = sum over i = 1, 2 of (Q_i(s, a) - y)^2
    y    = r + gamma (1 - terminal) min_i max_b Q'_i(s', b),    of one b ~ pi'(s'), or of ten with `max_backup`
    L_pi = |eps - eps^(a_t, t, s)|^2 - eta Q_i(s, b) / mean |Q_j(s, b)|,    b ~ pi(s),    i, j = 1, 2 or 2, 1 by a coin

The first term is behaviour cloning: a_t is an action of the data under noise eps of a level t that is drawn, and its
square is a mean over batch and dimensions. The second goes back through all levels of the chain that makes b; its
divisor has no gradient. Q' follows Q. pi' is an average of the policy that stands still for its first thousand steps.

It acts by one of 50 actions of the policy, drawn with probability softmax of min_i Q'_i. The settings are those of the
authors (github.com/Zhendong-Wang/Diffusion-Policies-for-Offline-RL, main.py). Their decay of the learning rate takes 40
of its 2000 steps, so rates are constant in `paper`. They report the best evaluation of a run; here the last policy is
what is evaluated. Departure: the average first moves with the 1005th step, theirs with the 1001st.

Shape suffixes: B batch, N actions of one observation, S observation size, A action size; 2 the two Q functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mage.config import AlgorithmConfig, Component, PlainAdamConfig, StageConfig, TrainingConfig, merge
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.data.transitions import Batch, RewardConfig, TransitionSampler
from mage.interface import Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage
from mage.nn.average import Average
from mage.nn.critics import TwinQ
from mage.nn.diffusion import Diffusion, own_noise, vp_betas
from mage.nn.temporal_unet import TimeEmbedding

LEVEL_WIDTH = 16


class DiffusionQlNetworkConfig(Component):
    """Networks, losses and the units of the data; defaults are those of the authors for HalfCheetah and Walker2d."""

    hidden_dim: int = Field(256, ge=1, description="width of all networks")
    hidden_layers: int = Field(3, ge=1, description="of all networks")
    denoising_steps: int = Field(5, ge=1, description="levels of the chain; more were no better (authors' issue 12)")
    eta: float = Field(1.0, ge=0, description="weight of Q over its mean; 0 is behaviour cloning")
    max_backup: bool = Field(False, description="y by the best of ten actions, or by a single one")
    discount: float = Field(0.99, gt=0, le=1, description="gamma, a step, whatever the scenario's")
    target_rate: float = Field(0.005, gt=0, le=1, description="by which Q' follows Q, a step")
    average_rate: float = Field(0.005, gt=0, le=1, description="by which pi' follows the policy")
    average_start: int = Field(1000, ge=0, description="steps that pi' stands still")
    average_every: int = Field(5, ge=1, description="steps between two moves of pi'")
    candidates: int = Field(50, ge=1, description="actions of which one is chosen")
    choice: Literal["softmax", "best"] = Field(
        "softmax", description="drawn by min Q' in units of the reward that is learned, or the best one, which is ours"
    )
    normalise_observations: bool = Field(False, description="by the data's mean and deviation, or as recorded")
    terminal_at_goal: bool = Field(
        False, description="a step of reward 1 is terminal: D4RL's AntMaze says so, Minari's recordings go on"
    )
    reward: RewardConfig = RewardConfig()


BACKUP_ACTIONS = 10


class DiffusionQlStageConfig(PlainAdamConfig, StageConfig):
    """Its one stage. The settings of its optimiser are those of both Q."""

    steps: int = Field(1_000_000, ge=0)
    batch_size: int = Field(256, ge=1, description="transitions a step over all workers together")
    actor: PlainAdamConfig = Field(PlainAdamConfig(), description="of the policy")


class DiffusionQlTrainingConfig(TrainingConfig):
    """Its one stage."""

    critic: DiffusionQlStageConfig = Field(DiffusionQlStageConfig(), description="both Q and the policy, at once")


class DiffusionQlConfig(AlgorithmConfig):
    """The whole configuration of a run of Diffusion-QL."""

    algorithm: Literal["diffusion_ql"] = "diffusion_ql"
    diffusion_ql: DiffusionQlNetworkConfig = DiffusionQlNetworkConfig()
    training: DiffusionQlTrainingConfig = DiffusionQlTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of its values, whatever the scenario's."""
        return self.diffusion_ql.discount


def settings(eta: float, clip: float, policy_rate: float = 3e-4, max_backup: bool = False) -> dict[str, Any]:
    """What differs from scenario to scenario; gradients of policy and of Q are clipped alike, each on its own."""
    actor = {"learning_rate": policy_rate, "gradient_clip": clip}
    return {
        "diffusion_ql": {"eta": eta, "max_backup": max_backup},
        "training": {"critic": {"gradient_clip": clip, "actor": actor}},
    }


HANDS = ("pen", "door", "hammer", "relocate")
SCENARIOS: dict[str, dict[str, Any]] = {
    "pen-human": settings(0.15, 7.0, 3e-5),
    "pen-cloned": settings(0.1, 8.0, 3e-5),
    # not published, like all of door, hammer and relocate: half of pen-cloned's eta where all data is good
    **{f"{hand}-expert": settings(0.05, 8.0, 3e-5) for hand in HANDS},
    "kitchen-complete": settings(0.005, 9.0),
    "kitchen-partial": settings(0.005, 10.0),
    "kitchen-mixed": settings(0.005, 10.0),
    "antmaze-umaze-play": settings(0.5, 2.0),  # D4RL's antmaze-umaze
    "antmaze-umaze-diverse": settings(2.0, 3.0, max_backup=True),
    "antmaze-medium-play": settings(2.0, 2.0, 1e-3, max_backup=True),
    "antmaze-medium-diverse": settings(3.0, 1.0, max_backup=True),
    "antmaze-large-play": settings(4.5, 10.0, max_backup=True),
    "antmaze-large-diverse": settings(3.5, 7.0, max_backup=True),
    "halfcheetah-medium": settings(1.0, 9.0),
    "halfcheetah-medium-replay": settings(1.0, 2.0),
    "halfcheetah-medium-expert": settings(1.0, 7.0),
    "walker2d-medium": settings(1.0, 1.0),
    "walker2d-medium-replay": settings(1.0, 4.0),
    "walker2d-medium-expert": settings(1.0, 5.0),
}
STEPS = {"locomotion": 2_000_000, "kitchen-complete": 250_000}
"""In the preset `paper`, where they are not a million."""

ANTMAZE = {"terminal_at_goal": True, "reward": {"scale": 4.0, "shift": -2.0}}
MAZE = settings(2.0, 5.0, max_backup=True)
FAMILIES: dict[str, dict[str, Any]] = {
    # pen-cloned's, for the scenarios of which nobody published any
    "adroit": {**SCENARIOS["pen-cloned"], "diffusion_ql": {"eta": 0.1, "reward": {"standardised": True}}},
    "kitchen": SCENARIOS["kitchen-partial"],
    "antmaze": {"diffusion_ql": ANTMAZE},
    # nobody published these three: AntMaze's, with rewards as recorded where the goal pays for ever
    "maze2d": MAZE,
    "maze_game": MAZE,
    "ogbench": {**MAZE, "diffusion_ql": {**MAZE["diffusion_ql"], **ANTMAZE}},
    # of Ant nobody published any: that of walker2d-medium-expert
    "locomotion": SCENARIOS["walker2d-medium-expert"],
}


def published(place: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a family or a scenario in the preset `paper`."""
    if place not in STEPS:
        return fields
    return {**fields, "training": {"critic": {**fields["training"]["critic"], "steps": STEPS[place]}}}


YOUNG: dict[str, Any] = {"learning_rate": 1e-3, "decay": "cosine"}
"""Of both optimisers in the preset `cpu`: published rates are those of a million steps. With constant ones and half the
width door-expert had 57, for 96: what it drew was too noisy to act on."""


def small(place: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a family or a scenario in the preset `cpu`."""
    own: dict[str, Any] = {"actor": {"learning_rate": YOUNG["learning_rate"]}}
    if place == "adroit" or place.startswith(HANDS):
        own["steps"] = 25_000
    if fields.get("diffusion_ql", {}).get("max_backup"):  # ten next actions for one: a step takes twice as long
        own["steps"] = 12_000
    return merge(fields, {"training": {"critic": own}})


class DiffusionPolicy(nn.Module):
    """Actions in [-1, 1] out of noise: what it learns is the noise in an action, of which the action is made."""

    def __init__(self, sizes: Sizes, hidden_dim: int, hidden_layers: int, levels: int) -> None:
        super().__init__()
        self.process = Diffusion(levels, vp_betas)
        self.embed_level = TimeEmbedding(LEVEL_WIDTH, factor=2)
        widths = [sizes.action + LEVEL_WIDTH + sizes.observation, *[hidden_dim] * hidden_layers]
        hidden = [layer for i in range(hidden_layers) for layer in (nn.Linear(widths[i], widths[i + 1]), nn.Mish())]
        self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], sizes.action))

    def forward(self, noisy_BA: Tensor, level_B: Tensor, observation_BS: Tensor) -> Tensor:
        """The noise in actions of those levels, (B, A)."""
        return self.layers(torch.cat([noisy_BA, self.embed_level(level_B), observation_BS], 1))

    def draw(self, observation_BS: Tensor, noise: Callable[[], Tensor]) -> Tensor:
        """An action for each observation, (B, A); `noise` draws (B, A) anew at each call."""

        def clean(noisy_BA: Tensor, level_B: Tensor) -> Tensor:
            return self.process.clean(noisy_BA, self(noisy_BA, level_B, observation_BS), level_B)

        return self.process.sample(clean, noise, bounded=True)

    def cloning_loss(self, observation_BS: Tensor, action_BA: Tensor, random: torch.Generator) -> Tensor:
        """How far it is from the noise that was put into the actions of the data, ()."""
        device, levels = random.device, self.process.levels
        level_B = torch.randint(levels, (len(action_BA),), generator=random, device=device).to(action_BA.device)
        noise_BA = torch.randn(action_BA.shape, generator=random, device=device).to(action_BA.device)
        noisy_BA = self.process.add_noise(action_BA, noise_BA, level_B)
        return F.mse_loss(self(noisy_BA, level_B, observation_BS), noise_BA)


class DiffusionQLearning(Algorithm[Any]):
    """Draws actions as the data has them, better ones rather than worse."""

    config_class: ClassVar[type[AlgorithmConfig]] = DiffusionQlConfig
    presets: ClassVar[Presets] = {
        "cpu": {
            # averages that follow ten times faster, for a fiftieth of the steps
            "*": {
                "diffusion_ql": {
                    "normalise_observations": True,
                    "candidates": 10,
                    "target_rate": 0.05,
                    "average_rate": 0.05,
                },
                "training": {"critic": {"steps": 20_000, "batch_size": 128, **YOUNG, "actor": YOUNG}},
            },
            **{name: small(name, fields) for name, fields in (FAMILIES | SCENARIOS).items()},
        },
        "paper": {
            "*": {"training": {"critic": {"steps": 1_000_000}, "log_every": 1000, "checkpoint_every": 50_000}},
            **{name: published(name, fields) for name, fields in (FAMILIES | SCENARIOS).items()},
        },
    }
    space: ClassVar[Space] = {"diffusion_ql.eta": [0.005, 0.05, 0.15, 0.5, 1.0, 2.0]}

    def __init__(self, config: DiffusionQlConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        own = self.own = config.diffusion_ql
        self.critic = TwinQ(*sizes, own.hidden_dim, own.hidden_layers, activation=F.mish)
        self.target = Average(self.critic, own.target_rate)
        self.actor = DiffusionPolicy(sizes, own.hidden_dim, own.hidden_layers, own.denoising_steps)
        self.actor_average = Average(self.actor, own.average_rate, own.average_start, own.average_every, waits=True)

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
        return [
            Stage(
                "critic",
                self.config.training.critic,
                {"critic": [self.critic], "actor": [self.actor]},
                partial(self.learn, transitions),
                tells=("value", "cloning_loss"),
                rows=len(transitions),
            )
        ]

    def learn(
        self, transitions: TransitionSampler, rows_B: Tensor, optimise: Optimisers, random: torch.Generator
    ) -> Info:
        """A step of both Q, one of the policy by them, then averages and targets follow."""
        batch = transitions.take(rows_B)
        critic_loss, critic_info = self.critic_loss(batch, random)
        optimise["critic"].minimise(critic_loss)
        actor_loss, actor_info = self.actor_loss(batch, random)
        optimise["actor"].minimise(actor_loss)
        self.actor_average.follow(self.actor)
        self.target.follow(self.critic)
        return {"loss": critic_loss + actor_loss, **critic_info, **actor_info}

    def critic_loss(self, batch: Batch, random: torch.Generator) -> tuple[Tensor, Info]:
        """L_Q."""
        next_BS, actions = batch.next_observation_BS, BACKUP_ACTIONS if self.own.max_backup else 1
        with torch.no_grad():
            action_NA = self.drawn(self.actor_average.module, next_BS.repeat(actions, 1), random)
            future_B = self.target(next_BS, action_NA.unflatten(0, (actions, -1))).amax(1).amin(0)
            wanted_B = batch.reward_B + self.own.discount * (1 - batch.terminal_B) * future_B
        value_2B = self.critic(batch.observation_BS, batch.action_BA)
        loss = (value_2B - wanted_B).pow(2).mean(1).sum()
        return loss, {"critic_loss": loss, "value": value_2B.mean()}

    def actor_loss(self, batch: Batch, random: torch.Generator) -> tuple[Tensor, Info]:
        """L_pi."""
        cloning = self.actor.cloning_loss(batch.observation_BS, batch.action_BA, random)
        action_BA = self.drawn(self.actor, batch.observation_BS, random)
        climbing = self.climbing_loss(self.critic(batch.observation_BS, action_BA), random)
        loss = cloning + self.own.eta * climbing
        return loss, {"actor_loss": loss, "cloning_loss": cloning, "climbing_loss": climbing}

    @staticmethod
    def climbing_loss(value_2B: Tensor, random: torch.Generator) -> Tensor:
        """- Q of one of the two, by a coin, in units of the other's size, ()."""
        worth_2, size_2 = value_2B.mean(1), value_2B.detach().abs().mean(1)
        first, second = -worth_2 / size_2.flip(0)
        coin = torch.rand((), generator=random, device=random.device).to(value_2B.device) < 0.5
        return torch.where(coin, first, second)

    def drawn(self, policy: Any, observation_BS: Tensor, random: torch.Generator) -> Tensor:
        """Actions of a policy, (B, A), by the randomness of a step."""
        noise = partial(own_noise, [random], len(observation_BS), (self.sizes.action,), observation_BS.device)
        return policy.draw(observation_BS, noise)

    @torch.no_grad()
    def act(self, state: None, seen: Seen) -> tuple[Tensor, None]:
        """One of several actions of the policy; of an environment's own generator all noise, and the draw."""
        candidates, generators = self.own.candidates, seen.own_generators()
        observation_NS = self.see(seen.observation_BS).repeat_interleave(candidates, 0)
        noise = partial(own_noise, generators, candidates, (self.sizes.action,), self.device)
        action_NA = self.actor.draw(observation_NS, noise)
        value_BN = self.target(observation_NS, action_NA).amin(0).view(-1, candidates)
        if self.own.choice == "softmax":
            chance_BN = torch.stack([torch.rand(candidates, generator=own, device=own.device) for own in generators])
            # the largest of values with Gumbel noise is a draw from their softmax
            value_BN = value_BN - torch.log(-torch.log(chance_BN.to(self.device)))
        rows_B = torch.arange(len(value_BN), device=self.device)
        return action_NA.unflatten(0, value_BN.shape)[rows_B, value_BN.argmax(1)], None


ALGORITHM = DiffusionQLearning
