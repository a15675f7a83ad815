"""One level of Hierarchical Diffuser: a diffusion model of plans whose ends may be known, and what plans are worth.

    L   = mean W (x_0^(x_t, t) - x_0)^2      x_t and x_0^ with what is known written in; W weighs the first actions
    L_V = (V(x_t, t) - R)^2                  of the rest of the episode

Shape suffixes: B batch, or whatever a plan is made for; N plans of all of them, H steps, D values of a step, S of them
what is observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mage.algorithms.hierarchical_diffuser.config import ActingConfig, HierarchyConfig, LevelConfig
from mage.data.subgoals import Known
from mage.interface import Info
from mage.nn.average import Average
from mage.nn.diffusion import Diffusion, Guide, levels_of, own_noise
from mage.nn.temporal_unet import AnyHorizon, PlanValue, TemporalUnet, multiple_of


class Level(nn.Module):
    """Denoises plans, and judges them.

    Args:
        horizon: H.
        actions: D - S.
        values: D.
        own: of this level.
        shared: of both.
        judges: whether it has a value.
    """

    def __init__(
        self, horizon: int, actions: int, values: int, own: LevelConfig, shared: HierarchyConfig, judges: bool
    ) -> None:
        super().__init__()
        self.horizon, self.actions, self.values, self.own = horizon, actions, values, own
        self.bounded = shared.normaliser == "limits"
        self.process = Diffusion(own.denoising_steps)
        average = partial(Average, rate=shared.average_rate, start=shared.average_start, every=shared.average_every)
        unet = TemporalUnet(values, own.width, own.multipliers)
        self.denoiser = AnyHorizon(unet, multiple_of(own.multipliers))
        self.denoiser_average = average(self.denoiser)
        self.value: PlanValue | None = None
        if judges:
            self.value = PlanValue(horizon, values, own.width, own.multipliers)
            self.value_average = average(self.value)

    def denoising_loss(self, plan_BHD: Tensor, known: Known, random: torch.Generator) -> tuple[Tensor, Info]:
        """Of plans of the data."""
        noisy_BHD, level_B = self._noisy(plan_BHD, known, random)
        error_BHD = (known.write(self.denoiser(noisy_BHD, level_B)) - plan_BHD).pow(2)
        first = error_BHD[:, 0, : self.actions] if self.actions else error_BHD[:, 1]
        loss = error_BHD.mean() + (self.own.first_weight - 1) * first.sum() / error_BHD.numel()
        return loss, {"loss": loss, "first_error": first.mean()}

    def judging_loss(
        self, plan_BHD: Tensor, known: Known, return_B: Tensor, random: torch.Generator
    ) -> tuple[Tensor, Info]:
        """Of plans of the data and what was paid from their start on."""
        assert self.value is not None
        loss = (self.value(*self._noisy(plan_BHD, known, random)) - return_B).pow(2).mean()
        return loss, {"loss": loss, "unexplained": loss / return_B.var(correction=0).clamp_min(1e-6)}

    def best(self, generators: Sequence[torch.Generator], known: Known, acting: ActingConfig) -> Tensor:
        """For each that something is known of the best of several plans, (B, H, D); the only one without a value.

        B is a multiple of the number of generators, each of which makes as many, one after another.
        """
        plans, guide = acting.plans if self.value else 1, None
        if self.value is not None:
            guide = Guide(self.value_average, acting.guide_scale, acting.guide_steps, acting.guide_stop)
        places = len(known.first_BS)
        shape, device = (self.horizon, self.values), known.first_BS.device
        plan_NHD = self.process.sample(
            self.denoiser_average,
            partial(own_noise, generators, places // len(generators) * plans, shape, device),
            known.repeated(plans).write,
            guide,
            bounded=self.bounded,
            temperature=acting.temperature,
        )
        if self.value is None:
            return plan_NHD
        worth_BN = self.value_average(plan_NHD, levels_of(plan_NHD, 0)).view(places, plans)
        return plan_NHD.view(places, plans, *shape)[torch.arange(places, device=device), worth_BN.argmax(1)]

    def _noisy(self, plan_BHD: Tensor, known: Known, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """The plans at levels that are drawn, what is known written in, and those levels."""
        level_B = torch.randint(self.own.denoising_steps, (len(plan_BHD),), generator=random, device=random.device)
        noise_BHD = torch.randn(plan_BHD.shape, generator=random, device=random.device)
        level_B, noise_BHD = level_B.to(plan_BHD.device), noise_BHD.to(plan_BHD.device)
        return known.write(self.process.add_noise(plan_BHD, noise_BHD, level_B)), level_B
