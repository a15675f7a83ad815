"""Trajectory Transformer (Janner, Li, Levine, NeurIPS 2021, arXiv 2106.02039).

    L = mean w_i CE(x_i | x_<i)     over the tokens of windows of steps [s, a, r, V]; w is 5 for actions, 1 for the rest
    V_t = r_{t+1} + gamma V_{t+1}   0 at the end of a recording, so that a step is worth r_t + gamma V_t

It acts by a beam search for the path of the highest predicted reward and value (`search.py`), anew at every step. As in
github.com/jannerm/trajectory-transformer, whose settings are the defaults. Departures: dimensions whose quantiles
repeat have bins of equal widths; a path goes on where an end is drawn in place of an action or a state; the learning
rate follows the tokens of the batch at hand, where theirs is a batch late.

Shape suffixes: B batch or environments, H steps of a window, D = S + A + 2 tokens of a step, T = H D tokens, S values
of an observation that are seen, O all of them, A action size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mage.algorithms.tt.config import TtConfig
from mage.algorithms.tt.network import TokenTransformer
from mage.algorithms.tt.presets import PRESETS, SPACE
from mage.algorithms.tt.search import Worth, search
from mage.config import AlgorithmConfig
from mage.data.next_values import rewards_and_next_values
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.distributed import all_reduce
from mage.errors import MageError
from mage.interface import ONE, Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage
from mage.nn.discretiser import Discretiser
from mage.nn.min_gpt import group

LOWEST_RATE, EPOCHS_OF_DECAY = 0.1, 20


class TrajectoryTransformer(Algorithm[TtConfig]):
    """Plans by continuing the episode so far, many times."""

    config_class: ClassVar[type[AlgorithmConfig]] = TtConfig
    presets: ClassVar[Presets] = PRESETS
    space: ClassVar[Space] = SPACE

    tokens_learned: Tensor

    def __init__(self, config: TtConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        own = self.own = config.trajectory_transformer
        self.seen = min(sizes.observation, own.observed or sizes.observation)
        self.dimensions = self.seen + sizes.action + 2
        self.discretiser = Discretiser(self.dimensions, own.bins)
        self.transformer = TokenTransformer(own, self.dimensions)
        # over all workers; the learning rate follows it
        self.register_buffer("tokens_learned", torch.zeros((), dtype=torch.long))

    @property
    def asks(self) -> None:
        """Nothing: it plans for the most that it can."""
        return None

    @property
    def context(self) -> int:
        """Steps that it looks back on: with all of them, acting takes longest."""
        return self.config.search.context

    def stages(self, data: Steps) -> Sequence[Stage]:
        """One: the next token of windows, of which one starts at every step but an episode's last."""
        windows = TokenWindows(data, self.config, self.discretiser, self.seen)
        learn = partial(self.learn, windows)
        config = self.config.training.transformer
        return [
            Stage("transformer", config, {ONE: [self.transformer]}, learn, tells=("action_loss",), rows=len(windows))
        ]

    def learn(self, windows: TokenWindows, numbers_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
        """One step, at the rate that the tokens learned so far have come to."""
        token_BT, counts_BT = windows.take(numbers_B)
        loss, info = self.loss(token_BT, counts_BT)
        config, adam = self.config.training.transformer, optimise[ONE].adam
        group(adam, self.transformer.decayed, config)
        learned = (token_BT[:, 1:] != self.own.bins).sum()
        all_reduce(learned)
        self.tokens_learned += learned
        if config.rate_by == "tokens":
            epoch = int(self.tokens_learned) / (len(windows) * (token_BT.shape[1] - 1))
            for part in adam.param_groups:
                part["lr"] = config.learning_rate * rate_factor(epoch, config.hold_floor)
        optimise[ONE].minimise(loss)
        return info

    def loss(self, token_BT: Tensor, counts_BT: Tensor) -> tuple[Tensor, Info]:
        """Returns (loss, info) of windows of tokens, and of which of them are learned from."""
        logits_BTC, target_BT = self.transformer(token_BT[:, :-1]), token_BT[:, 1:]
        surprise_BT = F.cross_entropy(logits_BTC.flatten(0, 1), target_BT.flatten(), reduction="none")
        surprise_BT = surprise_BT.view_as(target_BT) * counts_BT[:, :-1]
        dimension_T = torch.arange(1, token_BT.shape[1], device=token_BT.device) % self.dimensions
        is_action_T = (dimension_T >= self.seen) & (dimension_T < self.dimensions - 2)
        weight_T = torch.where(is_action_T, self.own.action_weight, 1.0)
        loss = (surprise_BT * weight_T).mean()
        return loss, {"loss": loss, "action_loss": surprise_BT[:, is_action_T].mean()}

    def begin(self, environments: int) -> Tensor:
        """No steps have been taken: tokens (B, 0)."""
        return torch.zeros(environments, 0, dtype=torch.long, device=self.device)

    @torch.no_grad()
    def act(self, state: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
        """The first action of the best path. The state is what the network sees: whole steps, and the observation."""
        token_BT = state
        if token_BT.shape[1]:
            taken_BD = torch.cat([seen.action_BA, seen.reward_B.unsqueeze(1)], 1)
            # a value is not known yet, and none is looked at
            value_B1 = token_BT.new_full((len(token_BT), 1), self.own.bins - 1)
            token_BT = torch.cat([token_BT, self.discretiser.encode(taken_BD, self.seen), value_B1], 1)
            token_BT = token_BT[:, max(0, token_BT.shape[1] - (self.context - 1) * self.dimensions) :]
        now_BS = self.discretiser.encode(seen.observation_BS[:, : self.seen].contiguous())
        token_BT = torch.cat([token_BT, now_BS], 1)
        found = search(
            self.transformer,
            token_BT,
            self.sizes.action,
            self.worth,
            self.config.search,
            seen.own_generators(),
        )
        return self.discretiser.decode(found.token_BT[:, : self.sizes.action], self.seen), token_BT

    @property
    def worth(self) -> Worth:
        """What rewards and values stand for."""
        reward_N, value_N = self.discretiser.middles()[-2:]
        return Worth(reward_N, value_N, self.own.discount)


class TokenWindows:
    """Windows of the data as tokens, numbered from 0: one starts at every step but an episode's last.

    Args:
        data: its steps.
        config: how long windows are, and what rewards and values are.
        discretiser: made to fit the data.
        observed: S.
    """

    def __init__(self, data: Steps, config: TtConfig, discretiser: Discretiser, observed: int) -> None:
        own = self.own = config.trajectory_transformer
        self.data, self.discretiser, self.observed = data, discretiser, observed
        reward_N, value_N = rewards_and_next_values(data, own.discount, own.terminal_reward)
        self._paid_N2 = torch.from_numpy(np.stack([reward_N, value_N], 1)).to(data.device)
        row_N = torch.arange(len(data), device=data.device)
        self._start_W = row_N[row_N < data.last_rows(row_N)]
        if not len(self._start_W):
            raise MageError("no episode of this data has two steps; a trajectory transformer needs some")
        discretiser.fit(self._values(row_N).cpu().numpy(), own.binning)

    def __len__(self) -> int:
        return len(self._start_W)

    def take(self, numbers_B: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, T), with N for what follows an end, and 1 for those that are learned from, else 0."""
        row_BH, is_in_BH = self.data.window_rows(self._start_W[numbers_B], self.own.window)
        token_BHD = self.discretiser.encode(self._values(row_BH))
        token_BHD = token_BHD.masked_fill(is_in_BH.unsqueeze(-1) == 0, self.own.bins)
        step_H = torch.arange(self.own.window, device=row_BH.device)
        counts_BH = self.data.timesteps(row_BH[:, :1]) + step_H < self.own.max_episode_steps
        return token_BHD.flatten(1), counts_BH.float().repeat_interleave(token_BHD.shape[-1], 1)

    def _values(self, rows: Tensor) -> Tensor:
        """[s, a, r, V] of those rows, in the environment's units, (.., D)."""
        seen = self.data.recorded_observations(rows)[..., : self.observed]
        return torch.cat([seen, self.data.actions(rows), self._paid_N2[rows]], -1)


def rate_factor(epoch: float, hold_floor: bool) -> float:
    """Of the learning rate after so many epochs' tokens."""
    if epoch < 1:
        return epoch
    progress = (epoch - 1) / (EPOCHS_OF_DECAY - 1)
    return max(LOWEST_RATE, 0.5 * (1 + math.cos(math.pi * (min(1.0, progress) if hold_floor else progress))))
