"""Denoising diffusion of plans, or of single actions: how noise is added, and the chain that takes it away again.

    x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise
    x_{t-1} = c_t x_0^(x_t) + c'_t x_t + sigma_t noise                                      (Ho et al., 2020)

A network predicts x_0^, the plan without noise, or the noise, of which `Diffusion.clean` makes x_0^. Between two steps
of the chain what is known of a plan is written into it, and a value of noisy plans may push it uphill (Janner et al.,
2022). Level 0 is the least noisy.

Shape suffixes: T levels, N plans, H horizon, D values of a step of a plan. Where it says (N, H, D), (N, D) will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SCHEDULE_OFFSET, LARGEST_BETA = 0.008, 0.999
VP_LOW, VP_HIGH = 0.1, 10.0

Judge = Callable[[Tensor, Tensor], Tensor]
"""(plans (N, H, D), their levels (N,)) -> what a network says of them."""

Clamp = Callable[[Tensor], Tensor]
"""Writes what is known into plans (N, H, D), and returns them."""


def cosine_betas(levels: int) -> Tensor:
    """The variance that each level adds (Nichol and Dhariwal, 2021), (T,) in double precision."""

    def left(fraction: float) -> float:
        return math.cos((fraction + SCHEDULE_OFFSET) / (1 + SCHEDULE_OFFSET) * math.pi / 2) ** 2

    kept = [left((level + 1) / levels) / left(level / levels) for level in range(levels)]
    return torch.tensor([min(LARGEST_BETA, 1 - share) for share in kept], dtype=torch.float64)


def vp_betas(levels: int) -> Tensor:
    """The variance that each level adds in a variance-preserving process from 0.1 to 10 (Xiao et al., 2022), (T,) in
    double precision: what is left of a plan at the highest level, exp(-5.05), does not depend on how many there are."""
    level_T = torch.arange(1, levels + 1, dtype=torch.float64)
    return 1 - torch.exp(-VP_LOW / levels - 0.5 * (VP_HIGH - VP_LOW) * (2 * level_T - 1) / levels**2)


def own_noise(generators: Sequence[torch.Generator], each: int, shape: Sequence[int], device: torch.device) -> Tensor:
    """Normal noise (len(generators) * each, *shape), `each` of every generator, so that none depends on the others."""
    drawn = [torch.randn(each, *shape, generator=own, device=own.device) for own in generators]
    return torch.cat(drawn).to(device)


def free(plan_NHD: Tensor) -> Tensor:
    """Nothing is known of the plans."""
    return plan_NHD


@dataclass(frozen=True)
class Guide:
    """Pushes plans up the gradient of a value, by `scale` times the variance of the level, `steps` times a level.

    Attributes:
        value: (plans, levels) -> (N,).
        scale: 0: no push.
        steps: gradients a level.
        stop: levels below this are not guided.
    """

    value: Judge
    scale: float
    steps: int = 1
    stop: int = 0

    def push(self, plan_NHD: Tensor, level: int, variance: Tensor, clamp: Clamp) -> Tensor:
        """The plans of a level, pushed."""
        for _ in range(self.steps if level >= self.stop and self.scale else 0):
            with torch.enable_grad():
                plan_NHD = plan_NHD.detach().requires_grad_(True)
                worth = self.value(plan_NHD, levels_of(plan_NHD, level)).sum()
                (uphill_NHD,) = torch.autograd.grad(worth, plan_NHD)
            plan_NHD = clamp(plan_NHD.detach() + self.scale * variance * uphill_NHD)
        return plan_NHD


def levels_of(plan_NHD: Tensor, level: int) -> Tensor:
    """One level for all of the plans, (N,)."""
    return torch.full((len(plan_NHD),), level, device=plan_NHD.device)


class Diffusion(nn.Module):
    """The levels of noise; holds no weights.

    Args:
        levels: T.
        betas: the variance that each of so many levels adds.
    """

    kept_T: Tensor
    from_clean_T: Tensor
    from_noisy_T: Tensor
    variance_T: Tensor

    def __init__(self, levels: int, betas: Callable[[int], Tensor] = cosine_betas) -> None:
        super().__init__()
        self.levels = levels
        beta_T = betas(levels)
        kept_T = torch.cumprod(1 - beta_T, 0)
        before_T = torch.cat([torch.ones(1, dtype=torch.float64), kept_T[:-1]])
        constants = {
            "kept_T": kept_T,
            "from_clean_T": beta_T * before_T.sqrt() / (1 - kept_T),
            "from_noisy_T": (1 - before_T) * (1 - beta_T).sqrt() / (1 - kept_T),
            "variance_T": beta_T * (1 - before_T) / (1 - kept_T),
        }
        for name, constant_T in constants.items():
            self.register_buffer(name, constant_T.float(), persistent=False)

    def add_noise(self, plan_NHD: Tensor, noise_NHD: Tensor, level_N: Tensor) -> Tensor:
        """x_t of plans x_0."""
        kept_N11 = self._kept(level_N, plan_NHD)
        return kept_N11.sqrt() * plan_NHD + (1 - kept_N11).sqrt() * noise_NHD

    def clean(self, noisy_NHD: Tensor, noise_NHD: Tensor, level_N: Tensor) -> Tensor:
        """x_0 of plans x_t of which the noise is known."""
        kept_N11 = self._kept(level_N, noisy_NHD)
        return (noisy_NHD - (1 - kept_N11).sqrt() * noise_NHD) / kept_N11.sqrt()

    def _kept(self, level_N: Tensor, plan_NHD: Tensor) -> Tensor:
        return self.kept_T[level_N].view(-1, *[1] * (plan_NHD.dim() - 1))

    def posterior(self, clean_NHD: Tensor, noisy_NHD: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Mean (N, H, D) and variance () of x_{t-1}, given x_0 and x_t."""
        mean_NHD = self.from_clean_T[level] * clean_NHD + self.from_noisy_T[level] * noisy_NHD
        return mean_NHD, self.variance_T[level]

    def sample(
        self,
        denoise: Judge,
        noise: Callable[[], Tensor],
        clamp: Clamp = free,
        guide: Guide | None = None,
        bounded: bool = False,
        temperature: float = 1.0,
        start_NHD: Tensor | None = None,
        levels: int | None = None,
        step_temperature: float = 1.0,
    ) -> Tensor:
        """Plans (N, H, D), from noise or from a start; differentiable through the whole chain where gradients are on.

        Args:
            denoise: predicts x_0 of noisy plans.
            noise: draws (N, H, D) anew at each call; called as often whatever the other arguments, but for `levels`.
            clamp: writes what is known of the plans into them.
            guide: what they are pushed by, if anything.
            bounded: whether the values of plans lie in [-1, 1]; what is predicted is then clipped to it.
            temperature: factor of the deviation of the noise that the chain begins with.
            start_NHD: plans to begin with, of which the noise of the highest of `levels` hides as much as it does.
            levels: of the chain, from the least noisy; by default all.
            step_temperature: factor of the deviation of the noise of every step.
        """
        levels = levels or self.levels
        plan_NHD = noise() * temperature
        if start_NHD is not None:
            plan_NHD = self.add_noise(start_NHD, plan_NHD, levels_of(start_NHD, levels - 1))
        plan_NHD = clamp(plan_NHD)
        for level in reversed(range(levels)):
            if guide is not None:
                plan_NHD = guide.push(plan_NHD, level, self.variance_T[level], clamp)
            clean_NHD = denoise(plan_NHD, levels_of(plan_NHD, level))
            if bounded:
                clean_NHD = clean_NHD.clamp(-1, 1)
            plan_NHD, variance = self.posterior(clean_NHD, plan_NHD, level)
            if level:
                plan_NHD = plan_NHD + step_temperature * variance.sqrt() * noise()
            plan_NHD = clamp(plan_NHD)
        return plan_NHD
