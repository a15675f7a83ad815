"""The Autotuned Decision Transformer (Ma, Hao, Liang, Xiao, ICML 2024, arXiv 2311.00267), V-ADT and G-ADT.

V-ADT is prompted by values. First implicit Q-learning learns them from transitions (`mage.nn.implicit`). Then a causal
transformer over (p_k, s_k), a_k predicts a_k, by regression that is weighted by advantage:

    L = sum_k mask_k w_k ||pi(p_{<=k}, s_{<=k}, a_{<k}) - a_k||^2 / (A sum_k mask_k)
    w_k = min(exp(beta (Q(s_k, a_k) - V(s_k))), 100),    Q = min(Q_1, Q_2)

In training the prompt is p_k = Q(s_k, a_k), so that it tells of the action; when it acts it is V(s_k), about the most
that the data's actions are worth there, anew at every step. Nothing is asked of it and nothing is counted down.
Recorded returns-to-go are not used. As in the authors' code: two tokens a step with a shared embedding of the timestep,
the action read off the first of them through a tanh, normal(0, 0.02) weights.

G-ADT (`adt.prompt=subgoal`) is prompted by sub-goals: in training by the state that was W steps ahead, when it acts by
the present one and what a policy of displacements adds to it (`subgoals.py`); w_k is then of the advantage towards that
sub-goal. It sees states as recorded, without the goal.

Departures: the loss is divided by the steps that are no padding, as in the Decision Transformer here, not by all;
V-ADT's values and transformer see observations in the same units, max(deviation, 0.001).

Shape suffixes: B batch, H steps of context, T = 2 H tokens, S observation size (G-ADT: the state's), A action size, Y
values of a condition (p, s), 1 + S or (G-ADT) 2 S, D network width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mage.algorithms.adt.config import AdtConfig, PromptedTransformerConfig
from mage.algorithms.adt.presets import PRESETS, SPACE
from mage.algorithms.adt.subgoals import Prompts, Subgoals
from mage.config import AlgorithmConfig
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.data.transitions import TransitionSampler
from mage.distributed import mean_of_workers
from mage.interface import ONE, Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage, minimise
from mage.nn.average import Average
from mage.nn.blocks import Block
from mage.nn.critics import TwinQ, advantage_weight, relu_mlp
from mage.nn.implicit import implicit_losses

WEIGHT_STD = 0.02


class PromptedTransformer(nn.Module):
    """Actions of every step of a window, each from what lies before it and the prompt of now."""

    mask_TT: Tensor

    def __init__(self, config: PromptedTransformerConfig, condition_size: int, action_size: int) -> None:
        super().__init__()
        width = config.embed_dim
        self.config = config
        self.embed_condition = nn.Linear(condition_size, width)
        self.embed_action = nn.Linear(action_size, width)
        self.embed_timestep = nn.Embedding(config.max_episode_steps, width)
        self.norm_in = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList([Block(width, config.num_heads, config.dropout) for _ in range(config.depth)])
        self.norm_out = nn.LayerNorm(width)
        self.head = nn.Linear(width, action_size)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=WEIGHT_STD)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        tokens = 2 * config.context
        self.register_buffer("mask_TT", torch.ones(tokens, tokens).tril().bool(), persistent=False)

    def forward(self, condition_BHY: Tensor, action_BHA: Tensor, timestep_BH: Tensor) -> Tensor:
        """(B, H, Y), (B, H, A), (B, H) -> (B, H, A); H at most the context. The last action is not looked at."""
        batch, steps = timestep_BH.shape
        time_BHD = self.embed_timestep(timestep_BH.clamp_max(self.config.max_episode_steps - 1))
        pairs = [self.embed_condition(condition_BHY) + time_BHD, self.embed_action(action_BHA) + time_BHD]
        hidden_BTD = self.dropout(self.norm_in(torch.stack(pairs, 2).reshape(batch, 2 * steps, -1)))
        for block in self.blocks:
            hidden_BTD = block(hidden_BTD, self.mask_TT[: 2 * steps, : 2 * steps])
        return torch.tanh(self.head(self.norm_out(hidden_BTD[:, 0::2])))


class Context(NamedTuple):
    """The last steps of the episodes under way: (p_k, s_k) and the actions that followed."""

    conditions: tuple[Tensor, ...] = ()
    actions: tuple[Tensor, ...] = ()


class Adt(Algorithm[Any]):
    """Continues the episode as the data's better actions do, prompted by what the best are worth, or by sub-goals."""

    config_class: ClassVar[type[AlgorithmConfig]] = AdtConfig
    presets: ClassVar[Presets] = PRESETS
    space: ClassVar[Space] = SPACE

    def __init__(self, config: AdtConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        own = self.own = config.values
        self.subgoals: Subgoals | None = None
        if config.adt.prompt == "subgoal":
            self.subgoals = Subgoals(config, sizes.observation)
            condition = 2 * len(self.subgoals.view.kept)
        else:
            self.critic = TwinQ(*sizes, own.hidden_dim, own.hidden_layers)
            self.target = Average(self.critic, own.target_rate)
            self.value = relu_mlp(sizes.observation, own.hidden_dim, own.hidden_layers, outputs=1)
            condition = 1 + sizes.observation
        self.transformer = PromptedTransformer(config.adt, condition, sizes.action)

    @property
    def asks(self) -> None:
        """Nothing: it prompts itself."""
        return None

    @property
    def context(self) -> int:
        """Steps that it looks back on: with all of them, acting takes longest."""
        length: int = self.config.adt.context
        return length

    def stages(self, data: Steps) -> Sequence[Stage]:
        """What prompts; then the transformer, on windows, one starting at every step."""
        return [
            self._values_stage(data) if self.subgoals is None else self._subgoals_stage(self.subgoals, data),
            Stage(
                "policy",
                self.config.training.policy,
                {ONE: [self.transformer]},
                minimise(partial(self.loss, data)),
                tells=("action_error",),
            ),
        ]

    def _values_stage(self, data: Steps) -> Stage:
        """On transitions."""
        transitions = TransitionSampler(data, self.own.reward, self.own.terminal_at_goal)
        return Stage(
            "values",
            self.config.training.values,
            {ONE: [self.critic, self.value]},
            partial(self.learn_values, transitions),
            tells=("value",),
            rows=len(transitions),
            leaves=[self.target],
            acts=False,
        )

    def _subgoals_stage(self, subgoals: Subgoals, data: Steps) -> Stage:
        """On the steps of walks that lead to another."""
        goals = subgoals.sampler(data)
        return Stage(
            "values",
            self.config.training.values,
            {ONE: [subgoals.value, subgoals.high]},
            partial(subgoals.learn, goals),
            partial(subgoals.diagnose, goals),
            tells=("value", "subgoal_error"),
            rows=len(goals.starts),
            leaves=[subgoals.target],
            acts=False,
        )

    def learn_values(
        self, transitions: TransitionSampler, numbers_B: Tensor, optimise: Optimisers, random: torch.Generator
    ) -> Info:
        """One step of Q and V, by the weights before it; then the target follows."""
        batch, own = transitions.take(numbers_B), self.own
        losses = implicit_losses(self.value, self.critic, self.target, batch, own.discount, own.expectile)
        total = losses.value + losses.critic
        optimise[ONE].minimise(total)
        self.target.follow(self.critic)
        return {
            "loss": total,
            "value_loss": losses.value,
            "critic_loss": losses.critic,
            "value": losses.value_B.mean(),
        }

    @torch.no_grad()
    def windows(self, data: Steps, rows_BH: Tensor, mask_BH: Tensor) -> Prompts:
        """In V-ADT's training the prompt is Q, and actions weigh by Q - V."""
        observation_BHS, action_BHA = data.observations(rows_BH), data.actions(rows_BH)
        worth_BH = self.critic(observation_BHS, action_BHA).amin(0)
        advantage_BH = worth_BH - self.value(observation_BHS).squeeze(-1)
        weight_BH = advantage_weight(advantage_BH, self.own.beta, self.own.largest_weight)
        return Prompts(self.prompted(worth_BH, observation_BHS), weight_BH, mask_BH)

    def loss(self, data: Steps, rows_B: Tensor, random: torch.Generator) -> tuple[Tensor, Info]:
        """Returns (loss, info)."""
        windows = self.windows if self.subgoals is None else self.subgoals.windows
        rows_BH, mask_BH = data.window_rows(rows_B, self.context)
        condition_BHY, weight_BH, mask_BH = windows(data, rows_BH, mask_BH)
        action_BHA = data.actions(rows_BH)
        predicted_BHA = self.transformer(condition_BHY, action_BHA, data.timesteps(rows_BH))
        error_BH = (predicted_BHA - action_BHA).pow(2).mean(-1) * mask_BH
        # by the steps in the shard of an average worker: then the mean over workers is the mean over the batch
        steps = mean_of_workers(mask_BH.sum()).clamp_min(1.0)
        loss = (weight_BH * error_BH).sum() / steps
        return loss, {
            "loss": loss,
            "action_error": error_BH.sum() / steps,
            "weight": (weight_BH * mask_BH).sum() / steps,
        }

    def prompted(self, worth: Tensor, observation_S: Tensor) -> Tensor:
        """(p, s), (.., 1 + S), of values (..) and normalised observations (.., S)."""
        return torch.cat([self.config.adt.prompt_scale * worth.unsqueeze(-1), observation_S], -1)

    def condition_now(self, observation_BO: Tensor) -> Tensor:
        """When it acts, of what is seen: (V, s), or a sub-goal and the state, (B, Y)."""
        if self.subgoals is not None:
            return self.subgoals.condition(observation_BO)
        observation_BS = self.see(observation_BO)
        return self.prompted(self.value(observation_BS).squeeze(-1), observation_BS)

    def begin(self, environments: int) -> Context:
        """Nothing has been seen yet."""
        return Context()

    @torch.no_grad()
    def act(self, state: Context, seen: Seen) -> tuple[Tensor, Context]:
        """The action of the last step of the context, prompted anew at every step."""
        known = (*state.actions, seen.action_BA) if seen.step else ()
        condition_BY = self.condition_now(seen.observation_BS)
        conditions = (*state.conditions, condition_BY)[-self.context :]
        actions = (*known, torch.zeros_like(seen.action_BA))[-self.context :]
        timestep_H = torch.arange(seen.step + 1 - len(actions), seen.step + 1, device=self.device)
        predicted_BHA = self.transformer(
            torch.stack(conditions, 1), torch.stack(actions, 1), timestep_H.expand(len(seen.action_BA), -1)
        )
        return predicted_BHA[:, -1], Context(conditions, known[-self.context :])
