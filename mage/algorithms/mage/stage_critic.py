"""The critic that chooses among candidates: conservative Q-learning (Kumar et al., 2020; Table 6, A+CQL).

    L_Q = (Q(s, a) - r - gamma (1 - terminal) min_i Q_i^target(s', a'))^2
        + alpha (logsumexp_a Q(s, a) - Q(s, a_data)),    a' ~ actor(s'), a ~ uniform and actor(s)
    L_actor = E[log pi(a | s) / A - min_i Q_i(s, a)]

The paper says that values guide the choice of actions and no more; this is our reading.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from mage.algorithms.mage.config import MageConfig
from mage.algorithms.mage.critic import Critic
from mage.data.steps import Steps
from mage.interface import ONE, Info, Optimisers, Stage


class CriticLearning:
    """The stage of the critic and of its actor, on the steps of a dataset."""

    def __init__(self, critic: Critic, config: MageConfig, data: Steps) -> None:
        self.critic, self.run, self.config, self.data = critic, config, config.value, data

    def stage(self) -> Stage:
        """As the trainer runs it."""
        trains = {ONE: [self.critic]}
        return Stage("value", self.run.training.value, trains, self.step, self.diagnose, acts=False)

    def step(self, rows_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
        """The targets follow, then critic and actor take a step."""
        self.critic.follow()
        loss, info = self.loss(rows_B, random)
        optimise[ONE].minimise(loss)
        return info

    def loss(self, rows_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
        """Returns (loss, info); info holds every term, by name."""
        steps, critic = self.data.transitions(rows_B), self.critic
        noise = torch.randn((2, *steps.action_BA.shape), generator=random, device=random.device)
        noise_2BA = noise.to(rows_B.device)
        with torch.no_grad():
            next_action_BA, _ = critic.propose(steps.next_observation_BS, noise_2BA[0])
            future_B = critic.both(steps.next_observation_BS, next_action_BA, target=True).min(0).values
            target_B = steps.reward_B + self.data.discount * (1 - steps.terminal_B) * future_B
        value_2B = critic.both(steps.observation_BS, steps.action_BA)
        temporal_difference = (value_2B - target_B).pow(2).mean()
        action_BA, log_density_B = critic.propose(steps.observation_BS, noise_2BA[1])
        conservatism = (self._soft_maximum(steps.observation_BS, action_BA.detach(), random) - value_2B).mean()
        frozen = {name: tensor.detach() for name, tensor in critic.values.named_parameters(prefix="values")}
        judged_B = functional_call(critic, frozen, (steps.observation_BS, action_BA))
        actor = (log_density_B / action_BA.shape[-1] - judged_B).mean()
        loss = temporal_difference + self.config.conservatism * conservatism + actor
        info = {
            "loss": loss,
            "temporal_difference": temporal_difference,
            "conservatism": conservatism,
            "value": value_2B.mean(),
            "actor_loss": actor,
        }
        return loss, info

    @torch.no_grad()
    def diagnose(self, rows_B: Tensor) -> Info:
        """By how much the critic prefers the data's actions to those of other steps."""
        steps = self.data.transitions(rows_B)
        others_BA = steps.action_BA.roll(1, 0)
        preferred_B = self.critic(steps.observation_BS, steps.action_BA) > self.critic(steps.observation_BS, others_BA)
        return {"prefers_data_actions": preferred_B.float().mean()}

    def _soft_maximum(self, observation_BS: Tensor, action_BA: Tensor, random: torch.Generator) -> Tensor:
        """logsumexp over uniform actions and the actor's own, (2, B)."""
        shape = (self.config.sampled_actions, *action_BA.shape)
        uniform = torch.rand(shape, generator=random, device=random.device).to(action_BA.device)
        actions_NBA = torch.cat([2 * uniform - 1, action_BA.unsqueeze(0)])
        values_2NB = self.critic.both(observation_BS.expand(len(actions_NBA), -1, -1), actions_NBA)
        return values_2NB.logsumexp(1)
