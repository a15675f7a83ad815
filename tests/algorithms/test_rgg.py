"""RGG: what a restoration gap is, that it is learned, and that plans keep from it."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mage.algorithms.diffuser.algorithm import Diffuser
from mage.algorithms.rgg.algorithm import Rgg, rank_correlation
from mage.algorithms.rgg.predictor import GapHead, grad_cam, saliency, total_variation
from mage.algorithms.rgg.restoration import Judged, JudgedPlans, restoration_gaps
from mage.config import load_config, make_config
from mage.data.plans import window_starts
from mage.interface import Policy
from mage.nn.diffusion import levels_of
from mage.training.trainer import Trainer
from tests.config.messages import message_of
from tests.data.builders import make_trajectories

SMALL: dict[str, Any] = {
    "algorithm": "rgg",
    "plan": {"horizon": 4, "denoising_steps": 5, "width": 8, "multipliers": (1, 2)}
    | {"average_start": 2, "average_every": 1},
    "planning": {"plans": 3, "guide_stop": 1},
    "gap": {"plans": 20, "restorations": 2, "test_every": 4},
    "training": {name: {"steps": 6, "batch_size": 8} for name in ("diffusion", "value", "gap")}
    | {"log_every": 3, "device": "cpu"},
}
# the second column is the episode's number: the same from its start to its end
MAZE = ["training.value.steps=0", "plan.normaliser=limits", "plan.padding=none", "goal.columns=[1]"]
MAZE += ["goal.position=[0]", "goal.velocity=[2]", "planning.replan_every=null", "planning.follow=states"]
KINDS = {"guided": [], "maze": MAZE}

every_kind = pytest.mark.parametrize("kind", KINDS)
every_attribution = pytest.mark.parametrize("attribution", ["grad_cam", "saliency"])


def trainer(*overrides: str, base: dict[str, Any] | None = None, artefacts: Path | None = None) -> Trainer:
    return Trainer(make_trajectories([6, 9, 12]), make_config(base or SMALL, overrides), 0, artefacts)


@cache
def trained(*overrides: str) -> Trainer:
    """To the end, once; not to be changed."""
    made = trainer(*overrides)
    made.advance(made.total_steps)
    return made


def rgg_of(made: Trainer, **planning: Any) -> Rgg:
    """What was trained, which plans otherwise."""
    agent = made.agent
    assert isinstance(agent, Rgg)
    changed = agent.config.model_copy(update={"planning": agent.config.planning.model_copy(update=planning)})
    other = Rgg(changed, agent.sizes, agent.statistics)
    other.load_state_dict(agent.state_dict())
    return other.eval().requires_grad_(False)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plans(made: Trainer, count: int = 6, seed: int = 0, **planning: Any) -> Judged:
    starts = window_starts(made.data, 4, made.config.plan.padding)  # type: ignore[attr-defined]
    return rgg_of(made, **planning).judged_plans(made.data, starts, count, random(seed))


def noisily(plan_NHD: Tensor, seed: int = 0) -> Callable[[Tensor], Tensor]:
    """Brings any plan back as that one, up to noise that is new each time."""
    generator = random(seed)
    return lambda _: plan_NHD + 0.1 * torch.randn(plan_NHD.shape, generator=generator)


def test_a_plan_that_comes_back_has_no_gap_and_the_farther_its_states_are_off_the_wider_it_is() -> None:
    plan_NHD, noise_NHD = torch.randn(3, 4, 5, generator=random()), torch.randn(3, 4, 5, generator=random(1))
    assert restoration_gaps(lambda plan: plan, plan_NHD, 2, 3).tolist() == [0, 0, 0]
    gaps = [restoration_gaps(lambda _: plan_NHD, plan_NHD + far * noise_NHD, 2, 1) for far in (0.5, 1.0)]
    torch.testing.assert_close(gaps[1], noise_NHD[..., 2:].pow(2).sum((1, 2)))
    torch.testing.assert_close(gaps[1], 4 * gaps[0])


def test_of_several_restorations_the_nearest_counts() -> None:
    plan_NHD = torch.randn(5, 4, 5, generator=random())
    gaps = torch.stack([restoration_gaps(noisily(plan_NHD), plan_NHD, 2, times) for times in (1, 2, 4, 16)])
    assert (gaps.diff(dim=0) <= 0).all()
    assert (gaps[-1] < gaps[0]).any()


@every_kind
def test_what_is_always_restored_to_one_plan_has_its_distance_as_its_gap(kind: str) -> None:
    made = trained(*KINDS[kind])
    agent = rgg_of(made)

    class Constant(nn.Module):
        def forward(self, plan_NHD: Tensor, level_N: Tensor) -> Tensor:
            return torch.full_like(plan_NHD, 0.25)

    agent.value, agent.denoiser_average.module = None, Constant()
    starts = window_starts(made.data, 4, agent.config.plan.padding)
    judged = agent.judged_plans(made.data, starts, 5, random())
    # these plans are that constant already, but for what is known of them, which is put back
    assert judged.gap_N.abs().max() < 1e-10
    plan_NHD, wanted = (
        torch.randn(5, 4, agent.layout.values, generator=random(1)),
        slice(1, -1 if kind == "maze" else 4),
    )

    def restore(plan: Tensor) -> Tensor:
        return agent._made(plan, random(), start_NHD=plan, levels=4)

    far_NHS = plan_NHD[:, wanted, 1:] - 0.25
    torch.testing.assert_close(restoration_gaps(restore, plan_NHD, 1, 2), far_NHS.pow(2).sum((1, 2)))


def test_a_plan_is_restored_from_the_level_that_the_strength_says(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, hidden = rgg_of(trained(*MAZE)), list[int]()
    add_noise = agent.process.add_noise

    def look(plan_NHD: Tensor, noise_NHD: Tensor, level_N: Tensor) -> Tensor:
        hidden.extend(level_N.unique().tolist())
        return add_noise(plan_NHD, noise_NHD, level_N)

    monkeypatch.setattr(agent.process, "add_noise", look)
    made = trained(*MAZE)
    agent.judged_plans(made.data, window_starts(made.data, 4, "none"), 3, random())
    assert hidden == [3, 3]  # 0.9 of 5 are 4 levels, from 3 down; two restorations
    config = load_config("paper", domain="maze2d", scenario="maze2d-umaze", algorithm="rgg")
    assert config.restored_levels == 57  # type: ignore[attr-defined]


def test_plans_begin_and_end_as_windows_of_the_data_do() -> None:
    made = trained(*MAZE)
    agent, plan_NHD = rgg_of(made), plans(made).plan_NHD
    windows = agent.windows(made.data, window_starts(made.data, 4, "none"))
    ends = {tuple(row) for row in windows[:, [0, -1], 1:].flatten(1).tolist()}
    assert {tuple(row) for row in plan_NHD[:, [0, -1], 1:].flatten(1).tolist()} <= ends


def test_of_candidates_the_one_of_the_highest_value_is_learned_from() -> None:
    made = trained()
    agent, worth = rgg_of(made), list[float]()
    for candidates in (1, 16):
        config = agent.config.model_copy(update={"gap": agent.config.gap.model_copy(update={"candidates": candidates})})
        other = Rgg(config, agent.sizes, agent.statistics).eval()
        other.load_state_dict(agent.state_dict())
        plan_NHD, _ = other.judged_plans(made.data, window_starts(made.data, 4, "zeros"), 8, random())
        worth.append(float(agent.value_average(plan_NHD, levels_of(plan_NHD, 0)).mean()))
    assert plan_NHD.shape == (8, 4, 4)
    assert worth[1] > worth[0]


def test_plans_are_made_once_the_same_again_and_in_parts_with_random_numbers_of_their_own() -> None:
    sizes = list[int]()

    def make(size: int, generator: torch.Generator) -> Judged:
        sizes.append(size)
        return Judged(torch.randn(size, 2, 3, generator=generator), 7 + 2 * torch.rand(size, generator=generator))

    own, again, scaled = (JudgedPlans(make, 300, torch.tensor(5), scaled) for scaled in (False, False, True))
    assert sizes == []
    drawn = own.take(torch.tensor([299, 0]))
    assert sizes == [128, 128, 44]
    assert all(torch.equal(*pair) for pair in zip(drawn, again.take(torch.tensor([299, 0])), strict=True))
    assert len(own.all.gap_N.unique()) == 300
    assert own.mean_gap == own.all.gap_N.mean()
    torch.testing.assert_close(scaled.all.gap_N.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.all.gap_N.std(correction=0), torch.tensor(1.0))
    assert not torch.equal(JudgedPlans(make, 5, torch.tensor(6), False).all.gap_N, own.all.gap_N[:5])


def test_the_predictor_learns_while_what_it_reads_stays_as_it_was() -> None:
    made = trainer(*MAZE, "training.gap.steps=10")
    made.advance(6)
    before = {name: value.clone() for name, value in made.agent.state_dict().items()}
    made.advance(16)
    changed = {name.split(".")[0] for name, value in made.agent.state_dict().items() if not value.equal(before[name])}
    assert changed == {"gap_head", "gap_head_best"}


def corrupted(count: int, generator: torch.Generator) -> Judged:
    """Waves, each with as much noise on what lies between its ends as is drawn."""
    phase_N11, time_1H1 = 6 * torch.rand(count, 1, 1, generator=generator), torch.linspace(0, 3, 8).view(1, -1, 1)
    noise_NHD = torch.randn(count, 8, 3, generator=generator) * torch.rand(count, 1, 1, generator=generator)
    noise_NHD[:, [0, -1]] = 0
    return Judged(0.8 * torch.sin(phase_N11 + time_1H1) + noise_NHD, noise_NHD[..., 1:].pow(2).sum((1, 2)) / 4 - 1)


@pytest.mark.slow
def test_how_corrupted_plans_are_is_learned_and_seen_in_others() -> None:
    sizes = ["plan.horizon=8", "plan.padding=last", "plan.multipliers=[2]", "plan.denoising_steps=20"]
    agent, generator = rgg_of(trainer(*MAZE, *sizes)), random()
    optimiser = torch.optim.Adam(agent.gap_head.requires_grad_(True).parameters(), 5e-3, fused=True)
    for _ in range(250):
        loss = agent.gap_loss(corrupted(64, generator), generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    plan_NHD, gap_N = corrupted(200, generator)
    with torch.no_grad():
        predicted_N = agent.gap_head(*agent._encoded(plan_NHD, levels_of(plan_NHD, 0)))
    assert rank_correlation(predicted_N, gap_N) > 0.8


def test_a_rank_correlation_is_of_ranks_alone() -> None:
    one_N = torch.tensor([0.1, 5.0, 0.3, 0.2])
    assert rank_correlation(one_N, one_N.exp()) == 1
    assert rank_correlation(one_N, -one_N) == -1
    assert rank_correlation(one_N, torch.tensor([0.0, 3.0, 1.0, 2.0])) == pytest.approx(0.8)


@every_kind
@every_attribution
@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_a_small_push_raises_the_worth_and_leaves_what_is_known_and_the_last_levels(
    kind: str, attribution: str, weight: float
) -> None:
    agent = rgg_of(trained(*KINDS[kind]), attribution=attribution, attribution_weight=weight, guide_scale=1e-2)
    plan_NHD, clamped = torch.randn(8, 4, agent.layout.values, generator=random()), agent.layout.clamp
    first_ND, last_ND = plan_NHD[:, 0].clone(), plan_NHD[:, -1].clone()

    def push(level: int) -> Tensor:
        pushed_NHD = plan_NHD.clone()
        variance = agent.process.variance_T[level]
        return agent.guide.push(pushed_NHD, level, variance, lambda plan: clamped(plan, first_ND, last_ND))

    def worth(plan: Tensor, level: int) -> Tensor:
        return agent.worth(plan, levels_of(plan, level)).detach()

    pushed_NHD = push(2)
    assert (worth(pushed_NHD, 2) > worth(plan_NHD, 2)).float().mean() > 0.8
    torch.testing.assert_close(pushed_NHD[:, 0, 1:], first_ND[:, 1:], rtol=0, atol=0)
    assert torch.equal(pushed_NHD[:, -1, 1:], last_ND[:, 1:]) == (kind == "maze")
    assert torch.equal(push(0), plan_NHD)


def shown() -> np.ndarray:
    return make_trajectories([6, 9, 12]).observations[[0, 7, 15]]


def first_states(agent: Diffuser, task: Any) -> tuple[Tensor, Tensor]:
    """The plans (B, H, ..) of three episodes, their actions and their states."""
    acting = Policy(agent, task, 0.0, 0).begin(3)
    acting.act(shown(), generators=[random(seed) for seed in range(3)])
    return acting._state.action_BHA, acting._state.seen_BHS


@every_kind
def test_one_plan_that_nothing_pushes_is_that_of_diffuser_to_the_bit(kind: str) -> None:
    made = trained(*KINDS[kind])
    agent, task = rgg_of(made, plans=1, guide_scale=0.0), made.trajectories.task
    config = make_config(
        {name: part for name, part in SMALL.items() if name != "gap"}
        | {"algorithm": "diffuser", "planning": {"plans": 1, "guide_scale": 0.0}}
        | {"training": {name: part for name, part in SMALL["training"].items() if name != "gap"}},
        KINDS[kind],
    )
    diffuser = Diffuser(config, agent.sizes, agent.statistics)  # type: ignore[arg-type]
    diffuser.load_state_dict({name: agent.state_dict()[name] for name in diffuser.state_dict()})
    ours, theirs = first_states(agent, task), first_states(diffuser.eval(), task)
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    assert not torch.equal(first_states(rgg_of(made, plans=1, guide_scale=5.0), task)[1], theirs[1])


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_of_several_plans_each_episode_follows_the_one_that_is_worth_most(
    weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trained(*MAZE)
    agent, told = rgg_of(made, plans=8, attribution_weight=weight), list[tuple[Tensor, Tensor]]()
    worth = agent.worth

    def look(plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        found_N = worth(plan_NHD, level_N)
        told.append((plan_NHD, found_N.detach()))
        return found_N

    monkeypatch.setattr(agent, "worth", look)
    _, seen_BHS = first_states(agent, made.trajectories.task)
    plan_NHD, worth_N = told[-1]
    raw_BNHS = agent.normaliser.restore(plan_NHD)[..., 1:].unflatten(0, (3, 8))
    kept = agent.layout.kept
    raw_BNHS = raw_BNHS * agent.deviation_Y[1:][kept] + agent.mean_Y[1:][kept]
    chosen_B = worth_N.view(3, 8).argmax(1)
    assert torch.equal(seen_BHS, raw_BNHS[torch.arange(3), chosen_B])
    if not weight:
        gap_BN = agent.gaps(plan_NHD, levels_of(plan_NHD, 0)).view(3, 8)
        assert torch.equal(chosen_B, gap_BN.argmin(1))


def test_a_map_that_does_not_change_over_time_has_no_variation() -> None:
    assert total_variation(torch.full((2, 9), 3.0)).tolist() == [0, 0]
    assert total_variation(torch.tensor([[0.0, 2.0, -1.0]])).tolist() == [5]


def test_attributions_are_those_of_a_number_that_is_known() -> None:
    plan_NHD = torch.randn(2, 6, 3, generator=random(), requires_grad=True)
    weight_HD = torch.randn(6, 3, generator=random(1))
    torch.testing.assert_close(
        saliency((plan_NHD * weight_HD).sum((1, 2)), plan_NHD), weight_HD.abs().sum(1).repeat(2, 1)
    )
    narrowed_NCh = torch.randn(2, 4, 3, generator=random(2), requires_grad=True)
    weight_C = torch.randn(4, generator=random(3))
    found_NH = grad_cam((narrowed_NCh * weight_C.view(1, -1, 1)).sum((1, 2)), narrowed_NCh, 3)
    torch.testing.assert_close(found_NH, (narrowed_NCh * weight_C.view(1, -1, 1)).sum(1).abs())
    assert grad_cam(narrowed_NCh.sum((1, 2)), narrowed_NCh, 12).shape == (2, 12)


@every_attribution
def test_the_gradient_of_the_variation_is_what_differences_say(attribution: str) -> None:
    # of fewer steps the narrowest map has one, which cannot vary
    agent = rgg_of(trainer(*MAZE, "plan.horizon=16", "plan.padding=last"), attribution=attribution).double()
    plan_NHD = torch.randn(2, 16, agent.layout.values, generator=random(), dtype=torch.float64, requires_grad=True)
    level_N = torch.tensor([1, 3])
    (gradient_NHD,) = torch.autograd.grad(agent.variation(plan_NHD, level_N).sum(), plan_NHD)
    way_NHD = torch.randn(plan_NHD.shape, generator=random(1), dtype=torch.float64)
    ahead, behind = (
        agent.variation(plan_NHD.detach() + step * way_NHD, level_N).sum().detach() for step in (1e-6, -1e-6)
    )
    found, wanted = float((gradient_NHD * way_NHD).sum()), float((ahead - behind) / 2e-6)
    assert found == pytest.approx(wanted, rel=1e-3)
    assert abs(wanted) > 1e-6


@pytest.mark.parametrize(("horizon", "multipliers", "features"), [(128, (1, 4, 8), 544), (32, (1, 2, 4, 8), 96)])
def test_the_predictor_is_as_wide_as_the_authors(horizon: int, multipliers: tuple[int, ...], features: int) -> None:
    head = GapHead(horizon, 32, multipliers)
    assert head.out[0].in_features == features


def test_diffuser_and_rgg_share_one_denoiser(tmp_path: Path) -> None:
    log = list[str]()
    diffuser = {name: part for name, part in SMALL.items() if name != "gap"} | {"algorithm": "diffuser"}
    diffuser["training"] = {name: part for name, part in SMALL["training"].items() if name != "gap"}
    first = trainer(base=diffuser, artefacts=tmp_path)
    first.advance(first.total_steps)
    second = Trainer(first.trajectories, make_config(SMALL, ["planning.gap_weight=2"]), 0, tmp_path, log.append)
    assert second.stage.name == "value"
    assert any("taken from" in line for line in log)
    ours, theirs = second.agent.state_dict(), first.agent.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs if name.startswith("denoiser"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["gap.strength=0.01"], ["gap.strength 0.01", "plan.denoising_steps 10"]),
        (["gap.candidates=4"], ["gap.candidates 4 needs a value", "training.value.steps"]),
        (["planning.attribution=deeplift"], ["planning.attribution", "'saliency'"]),
        (["training.gap.steps=0"], ["training.gap.steps must be at least 1"]),
    ],
)
def test_an_error_is_one_line_that_names_the_field_and_the_value(overrides: list[str], said: list[str]) -> None:
    message = message_of("algorithm=rgg", "training.value.steps=0", "planning.plans=1", "gap.candidates=1", *overrides)
    assert all(part in message for part in said), message
