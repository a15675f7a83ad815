"""RGG, restoration gap guidance (Lee et al., NeurIPS 2023, arXiv 2310.19427): Diffuser, told which plans to distrust.

    gap   = min over m of sum of squares (restored_m - plan)        of the states of Diffuser's own plans
    L_gap = mean (g(x_t, t) - gap)^2                                x_t of such a plan, with its ends written in
    worth = V - beta g - lambda TV                                  lambda 0: RGG; V where Diffuser has a value

Diffuser's denoiser and value are trained as they are, and are shared with its runs. Then it makes plans from where the
data has been, noises each and denoises it again (`restoration.py`): a plan that comes back elsewhere is one that the
data does not hold. The predictor g reads the frozen down path of the denoiser. To act, plans are pushed uphill in their
worth, and the one that is worth most is followed. RGG+ adds TV, the variation over time of what makes up the gap.

Departures: of several plans the best is told by the worth of the finished ones, theirs by the last guide's. The plans
that the predictor learns from are drawn at random, where theirs alternate between high and low gaps, and gaps are in
single precision, not half. TV is differentiated wholly: the library that they use takes the gradients in an attribution
as constant, so that theirs pushes through activations alone, and by saliency not at all (it only chooses). DeepLIFT,
which they take for some of locomotion, is not here.

Shape suffixes: B batch, N plans, H horizon, D values of a step, W windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from mage.algorithms.diffuser.algorithm import Diffuser, best_of
from mage.algorithms.rgg.config import RggConfig
from mage.algorithms.rgg.predictor import GapHead, grad_cam, saliency, total_variation
from mage.algorithms.rgg.presets import PRESETS, SPACE
from mage.algorithms.rgg.restoration import Judged, JudgedPlans, restoration_gaps
from mage.config import AlgorithmConfig
from mage.data.plans import window_starts
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.interface import ONE, Info, Optimisers, Presets, Sizes, Space, Stage
from mage.nn.average import BestSoFar
from mage.nn.diffusion import Guide, levels_of
from mage.nn.temporal_unet import TemporalUnet

DIAGNOSED_PLANS = 256
TEST_SEED = 0
"""Of the noise of the tests: the same at each, so that they compare."""


class Rgg(Diffuser):
    """Diffuser, which has learned how badly it restores its own plans, and keeps from those."""

    config_class: ClassVar[type[AlgorithmConfig]] = RggConfig
    presets: ClassVar[Presets] = PRESETS
    space: ClassVar[Space] = SPACE

    config: RggConfig
    plan_seed: Tensor

    def __init__(self, config: RggConfig, sizes: Sizes, statistics: Statistics) -> None:
        super().__init__(config, sizes, statistics)
        plan = config.plan
        self.gap_head = GapHead(plan.horizon, plan.width, plan.multipliers)
        self.gap_head_best = BestSoFar(self.gap_head, config.gap.test_every)
        self.register_buffer("plan_seed", torch.randint(2**31, ()))

    def stages(self, data: Steps) -> Sequence[Stage]:
        """Diffuser's, then the predictor of gaps, on plans that are made by its first step."""
        before = [replace(stage, acts=False) for stage in super().stages(data)]
        gap, held_out = self.config.gap, self.config.held_out_plans
        start_W = window_starts(data, self.config.plan.horizon, self.config.plan.padding)
        make = partial(self.judged_plans, data, start_W)
        plans = JudgedPlans(make, gap.plans, self.plan_seed, gap.in_deviations)
        stage = Stage(
            "gap",
            self.config.training.gap,
            {ONE: [self.gap_head, self.gap_head_best]},
            partial(self.learn_gaps, plans),
            partial(self.diagnose_gaps, plans),
            tells=("unexplained", "rank_correlation"),
            rows=gap.plans - held_out,
        )
        return [*before, stage]

    def learn_gaps(self, plans: JudgedPlans, numbers_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
        """A step of the predictor, which is tested now and then on the plans held out."""
        judged, held_out = plans.take(numbers_B), self.config.held_out_plans
        loss = self.gap_loss(judged, random)
        optimise[ONE].minimise(loss)
        self.gap_head_best.offer(
            self.gap_head, lambda: self._test_loss(Judged(*(each[-held_out:] for each in plans.all)))
        )
        return {"loss": loss, "unexplained": loss / judged.gap_N.var(correction=0).clamp_min(1e-6)}

    def gap_loss(self, judged: Judged, random: torch.Generator) -> Tensor:
        """L_gap of plans at levels of noise that are drawn."""
        noisy_BHD, level_B = self._noisy(judged.plan_NHD, random)
        return (self.gap_head(*self._encoded(noisy_BHD, level_B)) - judged.gap_N).pow(2).mean()

    @torch.no_grad()
    def diagnose_gaps(self, plans: JudgedPlans, _: Tensor) -> Info:
        """How predicted gaps of plans held out rank beside their own, without noise; and the mean of all, as it is."""
        count = min(DIAGNOSED_PLANS, self.config.held_out_plans)
        plan_NHD, gap_N = (each[-count:] for each in plans.all)
        predicted_N = self.gap_head_best(*self._encoded(plan_NHD, levels_of(plan_NHD, 0)))
        return {"rank_correlation": rank_correlation(predicted_N, gap_N), "mean_gap": plans.mean_gap}

    @torch.no_grad()
    def judged_plans(self, data: Steps, start_W: Tensor, count: int, random: torch.Generator) -> Judged:
        """So many plans of Diffuser, each with the ends of a window of the data, and their gaps."""
        gap = self.config.gap
        windows_N = torch.randint(len(start_W), (count,), generator=random, device=random.device)
        window_NHD = self.windows(data, start_W[windows_N.to(self.device)]).repeat_interleave(gap.candidates, 0)
        plan_NHD = self._made(window_NHD, random)
        if self.value is not None and gap.candidates > 1:
            plan_NHD = best_of(plan_NHD, gap.candidates, self.value_average)

        def restore(plan_NHD: Tensor) -> Tensor:
            return self._made(plan_NHD, random, start_NHD=plan_NHD, levels=self.config.restored_levels)

        return Judged(plan_NHD, restoration_gaps(restore, plan_NHD, self.sizes.action, gap.restorations))

    def _made(self, ends_NHD: Tensor, random: torch.Generator, **chain: object) -> Tensor:
        """Plans as Diffuser makes them, that begin and end as those do."""
        planning, guide = self.config.planning, None
        if self.value is not None:
            guide = Guide(self.value_average, self.config.gap.value_scale, planning.guide_steps, planning.guide_stop)

        def noise() -> Tensor:
            return torch.randn(ends_NHD.shape, generator=random, device=random.device).to(self.device)

        return self.denoise(noise, ends_NHD[:, 0], ends_NHD[:, -1], guide, **chain)

    @property
    def guide(self) -> Guide:
        """Uphill in all that a plan is worth."""
        planning = self.config.planning
        return Guide(self.worth, planning.guide_scale, planning.guide_steps, planning.guide_stop)

    def worth(self, plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        """V - beta g - lambda TV of plans of those levels, (N,)."""
        planning = self.config.planning
        worth_N = -planning.gap_weight * self.gaps(plan_NHD, level_N)
        if self.value is not None:
            worth_N = worth_N + self.value_average(plan_NHD, level_N)
        if planning.attribution_weight:
            worth_N = worth_N - planning.attribution_weight * self.variation(plan_NHD, level_N)
        return worth_N

    def gaps(self, plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        """What is predicted of plans of those levels, (N,)."""
        gap_N: Tensor = self.gap_head_best(*self._encoded(plan_NHD, level_N))
        return gap_N

    @torch.enable_grad()
    def variation(self, plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        """TV: how much neighbouring steps of the plans differ in what they make of the gap, (N,); differentiable."""
        if not plan_NHD.requires_grad:
            plan_NHD = plan_NHD.detach().requires_grad_(True)
        head = self.gap_head_best.module
        assert isinstance(head, GapHead)
        x_NCH, time_NE = self._encoded(plan_NHD, level_N)
        narrowed_NCH = head.narrowed(x_NCH, time_NE)
        gap_N = head.number(narrowed_NCH, time_NE)
        if self.config.planning.attribution == "saliency":
            return total_variation(saliency(gap_N, plan_NHD))
        return total_variation(grad_cam(gap_N, narrowed_NCH, plan_NHD.shape[1]))

    def _encoded(self, plan_NHD: Tensor, level_N: Tensor) -> tuple[Tensor, Tensor]:
        """What the denoiser's down path says of plans, and the embedded levels."""
        denoiser = self.denoiser_average.module
        assert isinstance(denoiser, TemporalUnet)
        x_NCH, _, time_NE = denoiser.encode(plan_NHD, level_N)
        return x_NCH, time_NE

    def _test_loss(self, held_out: Judged) -> Tensor:
        random = torch.Generator(self.device).manual_seed(TEST_SEED)
        parts = zip(*(each.split(DIAGNOSED_PLANS) for each in held_out), strict=True)
        losses = [self.gap_loss(Judged(*part), random) * len(part[0]) for part in parts]
        return torch.stack(losses).sum() / len(held_out.gap_N)


def rank_correlation(one_N: Tensor, other_N: Tensor) -> Tensor:
    """Spearman's, (); ties are in the order they come in."""
    ranks_2N = torch.stack([each.argsort().argsort().double() for each in (one_N, other_N)])
    centred_2N = ranks_2N - ranks_2N.mean(1, keepdim=True)
    return (centred_2N[0] * centred_2N[1]).sum() / centred_2N[0].pow(2).sum().clamp_min(1)
