"""TAP, the Trajectory Autoencoding Planner (Jiang et al., ICLR 2023, arXiv 2208.10291).

    L_1 = mean w (x^ - x)^2 + BCE(end^, end) + mean (feature - code)^2      x = [s, a, r, V]; w is 5 for actions, else 1
    L_2 = mean CE(z_m | s_0, z_<m)                                          of the codes of the frozen encoder
    V_t = r_{t+1} + gamma V_{t+1}                                           0 at the end of a recording

The squares count up to an episode's end only, but the mean is over all. It acts by a beam search over codes
(`search.py`), anew at every step, and remembers nothing. As in github.com/ZhengyaoJiang/latentplan, whose settings are
the defaults. Departures: codes that nothing chooses stay finite; actions are clipped; and no attention hides the column
S + A + 1, which theirs inherits from another layout and which bites only where S + A + 2 < T.

Shape suffixes: B batch or environments, T steps of a window, M codes, D = S + A + 2 values of a step without its end, S
values of an observation that are seen, A action size, h steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mage.algorithms.tap.config import TapConfig
from mage.algorithms.tap.network import Prior, TrajectoryAutoencoder
from mage.algorithms.tap.presets import PRESETS, SPACE
from mage.algorithms.tap.search import search, value_of
from mage.config import AlgorithmConfig
from mage.data.next_values import rewards_and_next_values
from mage.data.normalisers import Normaliser, to_deviations
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.errors import MageError
from mage.interface import ONE, Algorithm, Info, Optimisers, Presets, Seen, Sizes, Space, Stage
from mage.nn.min_gpt import group, linear_weights

ROWS_AT_A_TIME = 65536


class Tap(Algorithm[TapConfig]):
    """Plans in codes of trajectories."""

    config_class: ClassVar[type[AlgorithmConfig]] = TapConfig
    presets: ClassVar[Presets] = PRESETS
    space: ClassVar[Space] = SPACE

    centre_D: Tensor
    scale_D: Tensor

    def __init__(self, config: TapConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        own = self.own = config.tap
        self.seen = min(sizes.observation, own.observed or sizes.observation)
        self.autoencoder = TrajectoryAutoencoder(own, self.seen, sizes.action)
        self.prior = Prior(own, self.seen)
        self.register_buffer("centre_D", torch.zeros(self.seen + sizes.action + 2))
        self.register_buffer("scale_D", torch.ones(self.seen + sizes.action + 2))

    @property
    def asks(self) -> None:
        """Nothing: it plans for the most that it can."""
        return None

    def stages(self, data: Steps) -> Sequence[Stage]:
        """The autoencoder, then the prior, on windows of which one starts at every step but an episode's last."""
        windows = StepWindows(data, self.config, self.seen)
        if self.own.normalise:
            self.centre_D, self.scale_D, _ = windows.normaliser()
        training = self.config.training
        return [
            Stage(
                "autoencoder",
                training.autoencoder,
                {ONE: [self.autoencoder]},
                partial(self.learn_codes, windows),
                tells=("reconstruction", "codes_used"),
                rows=len(windows),
                shared_by=self.config.shared_key(),
                acts=False,
            ),
            Stage("prior", training.prior, {ONE: [self.prior]}, partial(self.learn_prior, windows), rows=len(windows)),
        ]

    def learn_codes(
        self, windows: StepWindows, numbers_B: Tensor, optimise: Optimisers, random: torch.Generator
    ) -> Info:
        """A step of the autoencoder; the codes follow what chose them."""
        loss, info = self.autoencoder_loss(self.in_units(windows.take(numbers_B)))
        group(optimise[ONE].adam, linear_weights(self.autoencoder), self.config.training.autoencoder)
        optimise[ONE].minimise(loss)
        return info

    def learn_prior(
        self, windows: StepWindows, numbers_B: Tensor, optimise: Optimisers, random: torch.Generator
    ) -> Info:
        """A step of the prior, on the codes of whole windows, what lies past an end included."""
        window = self.in_units(windows.take(numbers_B))
        with torch.no_grad():
            token_BM = self.autoencoder.codebook.nearest(self.autoencoder.encode(window.shown_BTX))
        logits_BMK = self.prior(token_BM[:, :-1], window.step_BTD[:, 0, : self.seen])
        loss = F.cross_entropy(logits_BMK.flatten(0, 1), token_BM.flatten())
        group(optimise[ONE].adam, linear_weights(self.prior), self.config.training.prior)
        optimise[ONE].minimise(loss)
        return {"loss": loss}

    def autoencoder_loss(self, window: Window) -> tuple[Tensor, Info]:
        """Returns (loss, info) of windows in the units of the network; in training mode, moves the codes."""
        model = self.autoencoder
        latent_BMC = model.encode(window.shown_BTX)
        token_BM = model.codebook.nearest(latent_BMC.detach())
        straight_BMC = latent_BMC + (model.codebook.lookup(token_BM) - latent_BMC).detach()
        decoded = model.decode(straight_BMC, window.step_BTD[:, 0, : self.seen])
        if model.training:
            model.codebook.learn(latent_BMC, token_BM)
        error_BTD = (decoded.step_BTX - window.step_BTD).pow(2)
        weight_D = torch.ones_like(self.centre_D)
        weight_D[self.seen : -2] = self.own.action_weight
        counts_BT1 = (window.counts_BT * (1 - window.end_BT)).unsqueeze(-1)
        square = (error_BTD * weight_D * counts_BT1).mean()
        end = F.binary_cross_entropy_with_logits(decoded.end_BT, window.end_BT)
        commitment = F.mse_loss(latent_BMC, model.codebook.lookup(token_BM))
        reconstruction = (error_BTD * counts_BT1).sum() / (counts_BT1.sum().clamp_min(1) * error_BTD.shape[-1])
        loss = square + end + commitment
        used = token_BM.new_tensor(token_BM.unique().numel(), dtype=torch.float32)
        return loss, {
            "loss": loss,
            "reconstruction": reconstruction.detach(),
            "end": end.detach(),
            "commitment": commitment.detach(),
            "codes_used": used,
        }

    def in_units(self, window: Window) -> Window:
        """Windows in units of the deviation, what lies past an end as well."""
        return window._replace(step_BTD=self.normaliser.normalise(window.step_BTD))

    @property
    def normaliser(self) -> Normaliser:
        """Of steps; without one they stay as they are."""
        return Normaliser(self.centre_D, self.scale_D, False)

    @torch.no_grad()
    def act(self, state: None, seen: Seen) -> tuple[Tensor, None]:
        """The first action of the best plan."""
        observation_BS = seen.observation_BS[:, : self.seen]
        state_BS = (observation_BS - self.centre_D[: self.seen]) / self.scale_D[: self.seen]
        generators = seen.own_generators()
        plan = search(self.prior, self.autoencoder, state_BS, self.worth, self.config.search, generators)
        first_BD = self.normaliser.restore(plan.step_BhX[:, 0])
        return first_BD[:, self.seen : -2], None

    def worth(self, step_NhD: Tensor) -> Tensor:
        """What steps are worth, (N,), in the units of the environment's rewards."""
        reward_Nh, value_Nh = (step_NhD[..., -2:] * self.scale_D[-2:] + self.centre_D[-2:]).unbind(-1)
        return value_of(reward_Nh, value_Nh, self.own.discount)


class Window(NamedTuple):
    """Steps [s, a, r, V] (B, T, D), 1 where the episode is over (B, T), and 0 where nothing is learned (B, T)."""

    step_BTD: Tensor
    end_BT: Tensor
    counts_BT: Tensor

    @property
    def shown_BTX(self) -> Tensor:  # noqa: N802 - a tensor
        """What the encoder sees."""
        return torch.cat([self.step_BTD, self.end_BT.unsqueeze(-1)], -1)


class StepWindows:
    """Windows of the data, numbered from 0, in the environment's units: one starts at every step but an episode's last.

    Past an episode's end all values are 0.
    """

    def __init__(self, data: Steps, config: TapConfig, observed: int) -> None:
        own = self.own = config.tap
        self.data, self.observed = data, observed
        reward_N, value_N = rewards_and_next_values(data, own.discount, own.terminal_reward)
        self._paid_N2 = torch.from_numpy(np.stack([reward_N, value_N], 1)).to(data.device)
        row_N = torch.arange(len(data), device=data.device)
        self._start_W = row_N[row_N < data.last_rows(row_N)]
        if not len(self._start_W):
            raise MageError("no episode of this data has two steps; TAP needs some")

    def __len__(self) -> int:
        return len(self._start_W)

    def take(self, numbers_B: Tensor) -> Window:
        """The windows of those numbers."""
        row_BT, is_in_BT = self.data.window_rows(self._start_W[numbers_B], self.own.window)
        step_T = torch.arange(self.own.window, device=row_BT.device)
        counts_BT = self.data.timesteps(row_BT[:, :1]) + step_T < self.own.max_episode_steps
        step_BTD = torch.cat([self._acted(row_BT), self._paid_N2[row_BT]], -1) * is_in_BT.unsqueeze(-1)
        return Window(step_BTD, 1 - is_in_BT, counts_BT.to(is_in_BT.dtype))

    def normaliser(self) -> Normaliser:
        """By mean and deviation, that of the rewards as they were recorded."""
        rows = torch.arange(len(self.data), device=self.data.device).split(ROWS_AT_A_TIME)
        paid = (torch.stack([self.data.rewards(part), self._paid_N2[part, 1]], 1) for part in rows)
        return to_deviations(torch.cat([self._acted(part), two], 1) for part, two in zip(rows, paid, strict=True))

    def _acted(self, rows: Tensor) -> Tensor:
        seen = self.data.recorded_observations(rows)[..., : self.observed]
        return torch.cat([seen, self.data.actions(rows)], -1)
