"""Noise and the chain that removes it: the right distribution, what is known stays, a guide pushes, seeds are own."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mage.nn.diffusion import Diffusion, Guide, cosine_betas, own_noise, vp_betas
from mage.nn.temporal_unet import TemporalUnet

PLANS, HORIZON, VALUES = 6, 8, 3
CPU = torch.device("cpu")

every_length = pytest.mark.parametrize("levels", [5, 20, 64])


def seeded(seed: int = 0, plans: int = PLANS, shape: tuple[int, ...] = (HORIZON, VALUES)) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(plans, *shape, generator=generator)


def halved(plan_NHD: Tensor, level_N: Tensor) -> Tensor:
    """A denoiser."""
    return plan_NHD / 2


def first_column(plan_NHD: Tensor, level_N: Tensor) -> Tensor:
    """A value."""
    return plan_NHD[..., 0].sum(1)


@every_length
def test_plans_of_unit_variance_keep_it_at_every_level_and_end_as_noise(levels: int) -> None:
    process = Diffusion(levels)
    plan_NHD, noise_NHD = seeded(0, 5000, (1, 1))(), seeded(1, 5000, (1, 1))()
    for level in range(levels):
        noisy_NHD = process.add_noise(plan_NHD, noise_NHD, torch.full((5000,), level))
        assert noisy_NHD.var() == pytest.approx(1, abs=0.05)
    assert (process.kept_T.diff() < 0).all()
    assert process.kept_T[-1] < 1e-3


@every_length
def test_the_posterior_is_what_bayes_says(levels: int) -> None:
    process, beta_T = Diffusion(levels), cosine_betas(levels).tolist()
    clean, noisy, kept_before = torch.tensor(0.7), torch.tensor(-1.3), 1.0
    for level, beta in enumerate(beta_T):
        mean, variance = process.posterior(clean, noisy, level)
        # N(x; sqrt(abar) x_0, 1 - abar) of what came before, times N(x_t; sqrt(1 - beta) x, beta)
        precision = 1 / max(1 - kept_before, 1e-12) + (1 - beta) / beta
        weighted = kept_before**0.5 * 0.7 / max(1 - kept_before, 1e-12) + (1 - beta) ** 0.5 * -1.3 / beta
        assert float(mean) == pytest.approx(weighted / precision, rel=1e-4, abs=1e-5)
        assert float(variance) == pytest.approx(1 / precision, rel=1e-4, abs=1e-8)
        kept_before *= 1 - beta


def test_the_variances_are_those_of_the_cosine_schedule_of_diffusers() -> None:
    # DDPMScheduler(20, beta_schedule="squaredcos_cap_v2", variance_type="fixed_small") of diffusers 0.42
    variance_T = Diffusion(20).variance_T
    assert [float(variance_T[level]) for level in (0, 1, 19)] == pytest.approx([0, 0.0057, 0.993], abs=1e-3)


def test_with_the_best_denoiser_samples_are_distributed_as_the_data() -> None:
    process, mean, deviation = Diffusion(64), 2.0, 0.5

    def expected(plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        kept_N11 = process.kept_T[level_N].view(-1, 1, 1)
        gain = kept_N11.sqrt() * deviation**2 / (kept_N11 * deviation**2 + 1 - kept_N11)
        return mean + gain * (plan_NHD - kept_N11.sqrt() * mean)

    drawn = process.sample(expected, seeded(0, 4000, (1, 1)))
    assert drawn.mean() == pytest.approx(mean, abs=0.05)
    assert drawn.std() == pytest.approx(deviation, rel=0.1)


def test_two_constant_plans_are_learnt_and_both_are_drawn() -> None:
    torch.manual_seed(0)
    process, network = Diffusion(10), TemporalUnet(1, 8, (1, 2))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2, fused=True)
    for _ in range(200):
        plan_BHD = torch.where(torch.rand(32, 1, 1) < 0.5, -1.0, 1.0).expand(32, HORIZON, 1)
        level_B = torch.randint(10, (32,))
        noisy_BHD = process.add_noise(plan_BHD, torch.randn(32, HORIZON, 1), level_B)
        loss = F.mse_loss(network(noisy_BHD, level_B), plan_BHD)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    drawn_NHD = process.sample(network, seeded(0, 32, (HORIZON, 1)))
    near = [((drawn_NHD - constant).abs() < 0.3).all(1).sum() for constant in (-1, 1)]
    assert min(near) >= 1
    assert sum(near) >= 28


@pytest.mark.parametrize("guided", [False, True])
def test_what_is_known_is_there_bit_for_bit_at_every_step_of_the_chain(guided: bool) -> None:
    start_NS, seen = torch.randn(PLANS, VALUES - 1), list[Tensor]()

    def clamp(plan_NHD: Tensor) -> Tensor:
        plan_NHD[:, 0, 1:] = start_NS
        return plan_NHD

    def look(plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        seen.append(plan_NHD[:, 0, 1:].detach().clone())
        return plan_NHD.sum((1, 2)) if plan_NHD.requires_grad else plan_NHD / 2

    drawn_NHD = Diffusion(7).sample(look, seeded(), clamp, Guide(look, 0.5, steps=2) if guided else None)
    assert len(seen) == (7 + 14 if guided else 7)
    assert all(torch.equal(known_NS, start_NS) for known_NS in [*seen, drawn_NHD[:, 0, 1:]])


def test_a_guide_raises_what_it_values_the_more_the_stronger_it_is_and_nothing_else() -> None:
    process = Diffusion(20)
    plain_NHD = process.sample(halved, seeded())
    means = []
    for scale in (0.0, 0.1, 0.3):
        drawn_NHD = process.sample(halved, seeded(), guide=Guide(first_column, scale))
        means.append(float(drawn_NHD[..., 0].mean()))
        assert torch.equal(drawn_NHD[..., 1:], plain_NHD[..., 1:])
        assert torch.equal(drawn_NHD, plain_NHD) == (scale == 0)
    assert means == sorted(set(means))


def test_a_guide_that_stops_early_leaves_the_last_levels_alone() -> None:
    process, asked = Diffusion(20), list[int]()

    def value(plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        asked.extend(level_N.unique().tolist())
        return first_column(plan_NHD, level_N)

    process.sample(halved, seeded(), guide=Guide(value, 0.1, steps=2, stop=4))
    assert asked == [level for level in reversed(range(4, 20)) for _ in range(2)]
    never = process.sample(halved, seeded(), guide=Guide(value, 0.1, stop=20))
    assert torch.equal(never, process.sample(halved, seeded()))


def test_bounded_plans_are_within_their_bounds() -> None:
    drawn_NHD = Diffusion(20).sample(lambda plan_NHD, _: 5 * plan_NHD, seeded(), bounded=True)
    assert drawn_NHD.abs().max() <= 1


def test_a_chain_can_begin_with_a_plan_at_a_low_level() -> None:
    process, start_NHD, seen = Diffusion(20), torch.ones(PLANS, HORIZON, VALUES), list[tuple[int, Tensor]]()

    def look(plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        seen.append((int(level_N[0]), plan_NHD))
        return plan_NHD

    process.sample(look, seeded(), start_NHD=start_NHD, levels=5)
    assert [level for level, _ in seen] == [4, 3, 2, 1, 0]
    begun_NHD = process.add_noise(start_NHD, seeded()(), torch.full((PLANS,), 4))
    assert torch.equal(seen[0][1], begun_NHD)


def test_the_temperature_scales_the_noise_that_the_chain_begins_with() -> None:
    seen = list[Tensor]()

    def look(plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        seen.append(plan_NHD)
        return plan_NHD

    Diffusion(2).sample(look, seeded(), temperature=0.5)
    assert torch.equal(seen[0], seeded()() / 2)


def test_the_noise_of_an_episode_is_its_own_generators_whoever_is_beside_it() -> None:
    def drawn(*seeds: int) -> Tensor:
        return own_noise([torch.Generator().manual_seed(seed) for seed in seeds], 3, (HORIZON, VALUES), CPU)

    assert torch.equal(drawn(5, 6, 7)[3:6], drawn(6))
    assert not torch.equal(drawn(5), drawn(6))


def test_a_variance_preserving_schedule_is_the_published_one_and_ends_at_the_same_noise_whatever_its_length() -> None:
    wanted = torch.tensor([0.19587, 0.45882, 0.63578, 0.75488, 0.83503], dtype=torch.float64)  # of Diffusion-QL
    torch.testing.assert_close(vp_betas(5), wanted, atol=1e-5, rtol=0)
    for levels in (5, 50):
        process = Diffusion(levels, vp_betas)
        assert process.kept_T[-1].item() == pytest.approx(0.006409, abs=1e-6)
        assert process.variance_T[0] == 0


def test_whoever_knows_the_noise_of_actions_knows_the_actions() -> None:
    process, action_ND, noise_ND = Diffusion(5, vp_betas), seeded(0, 5, (2,))(), seeded(1, 5, (2,))()
    noisy_ND = process.add_noise(action_ND, noise_ND, torch.arange(5))
    torch.testing.assert_close(process.clean(noisy_ND, noise_ND, torch.arange(5)), action_ND)
