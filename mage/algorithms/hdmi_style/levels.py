"""The two diffusion models of HDMI-style, which predict noise (the goal diffuser's x_0 if it `predicts` plans):

    L = mean (noise^(x_t, t, c) - noise)^2      x_t with what is known written in, of which nothing is learned

The goal diffuser's c is a return, told to a share of the windows only; to make sub-goals, with u what it says untold,

    noise = u + w (noise^(x_t, t, c) - u)       (classifier-free guidance: Ho and Salimans, 2022)

The trajectory diffuser's c is the way from the first state to the last, which it knows, too.

Shape suffixes: B batch, or whatever a plan is made for, H steps of a plan (of the goal diffuser M sub-goals), D values
of a step, S of them what is observed, E width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from mage.algorithms.hdmi_style.config import GoalDiffuserConfig, HdmiActingConfig, TrajectoryDiffuserConfig
from mage.algorithms.hierarchical_diffuser.config import HierarchyConfig
from mage.data.subgoals import Known
from mage.interface import Info
from mage.nn.average import Average
from mage.nn.diffusion import Diffusion, own_noise
from mage.nn.dit import DiT
from mage.nn.guidance import guided
from mage.nn.temporal_unet import AnyHorizon, TemporalUnet, multiple_of

CONDITION_DIM = 128
WIDEST = 5.0
"""Deviations that predicted plans are clipped to: at the highest level an error of the noise is one of many times that
in the plan."""

Conditioned = Callable[[Tensor, Tensor], Tensor]
"""(noisy plans (B, H, D), levels (B,)) -> their noise, or the plans, under a condition."""


class ReturnDiT(nn.Module):
    """Noise of sub-goals (B, M, S) at levels (B,), or these, told a return (B,) or, where it may not be, nothing."""

    def __init__(self, seen: int, own: GoalDiffuserConfig) -> None:
        super().__init__()
        self.dit = DiT(seen, own.embed_dim, own.depth, own.num_heads)
        self.embed_return = embedding(1, own.embed_dim)

    def forward(self, plan_BHD: Tensor, level_B: Tensor, return_B: Tensor, told_B: Tensor) -> Tensor:
        condition_BE = self.embed_return(return_B.unsqueeze(1)) * told_B.unsqueeze(1)
        noise_BHD: Tensor = self.dit(plan_BHD, level_B, condition_BE)
        return noise_BHD


class WayUnet(nn.Module):
    """The noise of ways (B, K + 1, D) at levels (B,), told where they lead from where they begin, (B, S)."""

    def __init__(self, values: int, seen: int, own: TrajectoryDiffuserConfig) -> None:
        super().__init__()
        unet = TemporalUnet(values, own.width, own.multipliers, condition_width=own.width)
        self.unet = AnyHorizon(unet, multiple_of(own.multipliers))
        self.embed_way = embedding(seen, own.width)

    def forward(self, plan_BHD: Tensor, level_B: Tensor, way_BS: Tensor) -> Tensor:
        noise_BHD: Tensor = self.unet(plan_BHD, level_B, self.embed_way(way_BS))
        return noise_BHD


def embedding(inputs: int, width: int) -> nn.Sequential:
    """Of a condition."""
    return nn.Sequential(nn.Linear(inputs, CONDITION_DIM), nn.SiLU(), nn.Linear(CONDITION_DIM, width))


class InpaintingDiffuser(nn.Module):
    """A diffusion model of plans; what is known of them is written in, and nothing learned of it.

    Args:
        network: says the noise of plans, or the plans.
        horizon: H.
        values: D.
        levels: of noise.
        shared: of both diffusers.
        predicts: which of the two.
    """

    def __init__(
        self,
        network: nn.Module,
        horizon: int,
        values: int,
        levels: int,
        shared: HierarchyConfig,
        predicts: Literal["noise", "plan"] = "noise",
    ) -> None:
        super().__init__()
        self.predicts = predicts
        self.shape = (horizon, values)
        self.limit = 1.0 if shared.normaliser == "limits" else WIDEST
        self.process = Diffusion(levels)
        self.denoiser = network
        self.denoiser_average = Average(network, shared.average_rate, shared.average_start, shared.average_every)

    def loss(
        self, predict: Conditioned, plan_BHD: Tensor, known: Known, random: torch.Generator
    ) -> tuple[Tensor, Info]:
        """Of plans of the data, at levels that are drawn."""
        level_B = torch.randint(self.process.levels, (len(plan_BHD),), generator=random, device=random.device)
        noise_BHD = torch.randn(plan_BHD.shape, generator=random, device=random.device)
        level_B, noise_BHD = level_B.to(plan_BHD.device), noise_BHD.to(plan_BHD.device)
        said_BHD = predict(known.write(self.process.add_noise(plan_BHD, noise_BHD, level_B)), level_B)
        target_BHD = noise_BHD if self.predicts == "noise" else plan_BHD
        error_BHD = (known.write(said_BHD) - known.write(target_BHD)).pow(2)  # what is known is equal in both
        loss = error_BHD.mean()
        return loss, {"loss": loss, "first_error": error_BHD[:, 1].mean()}

    def made(
        self, predict: Conditioned, generators: Sequence[torch.Generator], known: Known, temperature: float
    ) -> Tensor:
        """A plan for each that something is known of, (B, H, D); each generator makes as many, one after another."""

        def clean(noisy_BHD: Tensor, level_B: Tensor) -> Tensor:
            said_BHD = predict(noisy_BHD, level_B)
            plan_BHD = self.process.clean(noisy_BHD, said_BHD, level_B) if self.predicts == "noise" else said_BHD
            return plan_BHD.clamp(-self.limit, self.limit)

        noise = partial(
            own_noise, generators, len(known.first_BS) // len(generators), self.shape, known.first_BS.device
        )
        return self.process.sample(clean, noise, known.write, temperature=temperature, step_temperature=temperature)


class GoalDiffuser(InpaintingDiffuser):
    """Makes sub-goals that earn a return."""

    actions = 0

    def __init__(self, seen: int, own: GoalDiffuserConfig, shared: HierarchyConfig) -> None:
        network = ReturnDiT(seen, own)
        super().__init__(network, shared.subgoals, seen, own.denoising_steps, shared, own.predicts)
        self.condition_dropout = own.condition_dropout

    def denoising_loss(
        self, plan_BMS: Tensor, known: Known, return_B: Tensor, random: torch.Generator
    ) -> tuple[Tensor, Info]:
        """Of sub-goals and what is earned by way of them."""
        told_B = torch.rand(len(plan_BMS), generator=random, device=random.device) >= self.condition_dropout
        told_B = told_B.to(plan_BMS)
        return self.loss(lambda *noisy: self.denoiser(*noisy, return_B, told_B), plan_BMS, known, random)

    def best(self, generators: Sequence[torch.Generator], known: Known, acting: HdmiActingConfig) -> Tensor:
        """Sub-goals (B, M, S) that earn what is asked for; there is no choice among several."""

        asked_B = torch.full((len(known.first_BS),), acting.asked_return, device=known.first_BS.device)

        def predict(noisy_BMS: Tensor, level_B: Tensor) -> Tensor:
            return guided(self.denoiser_average, noisy_BMS, level_B, asked_B, acting.guidance)

        return self.made(predict, generators, known, acting.temperature)


class TrajectoryDiffuser(InpaintingDiffuser):
    """Makes ways from one state to another."""

    def __init__(
        self, horizon: int, actions: int, seen: int, own: TrajectoryDiffuserConfig, shared: HierarchyConfig
    ) -> None:
        super().__init__(WayUnet(actions + seen, seen, own), horizon, actions + seen, own.denoising_steps, shared)
        self.actions = actions

    def denoising_loss(self, plan_BHD: Tensor, known: Known, random: torch.Generator) -> tuple[Tensor, Info]:
        """Of pieces of the data."""
        way_BS = known.last_BS - known.first_BS
        return self.loss(lambda *noisy: self.denoiser(*noisy, way_BS), plan_BHD, known, random)

    def best(self, generators: Sequence[torch.Generator], known: Known, acting: HdmiActingConfig) -> Tensor:
        """Ways (B, K + 1, D), one for each."""
        way_BS = known.last_BS - known.first_BS
        return self.made(lambda *noisy: self.denoiser_average(*noisy, way_BS), generators, known, acting.temperature)
