"""The networks of plans: their shapes and sizes, and what depends on what."""

import pytest
import torch

from mage.nn.temporal_unet import AnyHorizon, PlanValue, TemporalUnet, multiple_of


def parameters(network: torch.nn.Module) -> float:
    """In millions."""
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


@pytest.mark.parametrize(("values", "multipliers", "millions"), [(23, (1, 2, 4, 8), 3.96), (6, (1, 4, 8), 3.68)])
def test_a_u_net_is_as_large_as_the_published_one(values: int, multipliers: tuple[int, ...], millions: float) -> None:
    # Janner et al.: of halfcheetah's 17 + 6 values, and of a maze's 4 + 2
    assert parameters(TemporalUnet(values, 32, multipliers)) == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize(("multipliers", "horizon"), [((1,), 3), ((1, 2), 6), ((2, 2, 4), 4), ((1, 2, 2, 2), 24)])
def test_a_u_net_says_a_plan_of_the_same_shape(multipliers: tuple[int, ...], horizon: int, attention: bool) -> None:
    assert horizon % multiple_of(multipliers) == 0
    network = TemporalUnet(5, 8, multipliers, attention)
    assert network(torch.randn(2, horizon, 5), torch.tensor([0, 3])).shape == (2, horizon, 5)


@pytest.mark.parametrize("horizon", [1, 4, 7, 32, 100])
def test_a_value_takes_plans_of_any_horizon(horizon: int) -> None:
    assert PlanValue(horizon, 5, 8, (1, 2, 4))(torch.randn(3, horizon, 5), torch.tensor([0, 3, 1])).shape == (3,)


@pytest.mark.parametrize("network", [TemporalUnet(5, 8, (1, 2), True), PlanValue(8, 5, 8, (1, 2))])
def test_a_network_sees_the_level_and_all_of_its_own_plan(network: torch.nn.Module) -> None:
    plan_NHD = torch.randn(3, 8, 5, requires_grad=True)
    said = network(plan_NHD, torch.tensor([0, 3, 1]))
    assert not torch.allclose(said[0], network(plan_NHD, torch.tensor([9, 3, 1]))[0])
    (gradient_NHD,) = torch.autograd.grad(said[1].pow(2).sum(), plan_NHD)
    assert [bool(gradient_HD.any()) for gradient_HD in gradient_NHD] == [False, True, False]
    assert gradient_NHD[1].all()


def test_every_step_can_be_shown_the_ends_of_its_plan_and_when_it_is() -> None:
    network, plan_NHD = TemporalUnet(2, 8, (1, 2), shown=(0, -1)), torch.randn(3, 6, 2)
    beside_NHC = network._inputs(plan_NHD)
    assert torch.equal(beside_NHC[:, 4, :6], torch.cat([plan_NHD[:, 4], plan_NHD[:, 0], plan_NHD[:, -1]], 1))
    torch.testing.assert_close(beside_NHC[1, :, 6], torch.tensor([-1, -0.6, -0.2, 0.2, 0.6, 1]))
    assert network(plan_NHD, torch.tensor([0, 1, 2])).shape == plan_NHD.shape
    assert torch.equal(TemporalUnet(2, 8, (1, 2))._inputs(plan_NHD), plan_NHD)


# of Hierarchical Diffuser's levels: sub-goals and the steps between them, 26 of which its own kernels make 25
@pytest.mark.parametrize(
    ("horizon", "multipliers"),
    [(8, (1, 4, 8)), (17, (1, 4, 8)), (26, (1, 4, 8)), (16, (1, 4, 8)), (9, (1, 2, 4, 8)), (5, (1, 4, 8)), (2, (1, 2))],
)
def test_padded_a_u_net_takes_plans_of_any_horizon(horizon: int, multipliers: tuple[int, ...]) -> None:
    network = AnyHorizon(TemporalUnet(3, 8, multipliers), multiple_of(multipliers))
    plan_NHD, level_N = torch.randn(2, horizon, 3), torch.tensor([0, 3])
    assert network(plan_NHD, level_N).shape == plan_NHD.shape
    if horizon % multiple_of(multipliers) == 0:
        assert torch.equal(network(plan_NHD, level_N), network.network(plan_NHD, level_N))
