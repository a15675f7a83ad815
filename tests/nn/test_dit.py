"""A transformer over the steps of a plan: what it is told, and what it says before it has learned."""

import torch

from mage.nn.dit import DiT


def dit() -> DiT:
    torch.manual_seed(0)
    return DiT(3, 16, 2, 4)


def test_at_the_start_it_says_zeros_of_the_shape_of_the_plan() -> None:
    network = dit()
    for horizon in (1, 5, 26):
        plan_NHD = torch.randn(2, horizon, 3)
        said_NHD = network(plan_NHD, torch.tensor([0, 3]), torch.randn(2, 16))
        assert torch.equal(said_NHD, torch.zeros(2, horizon, 3))


def test_what_it_says_depends_on_the_level_the_condition_and_all_of_its_own_plan() -> None:
    network = dit()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    plan_NHD, level_N, condition_NE = (
        torch.randn(3, 5, 3, requires_grad=True),
        torch.tensor([0, 3, 1]),
        torch.zeros(3, 16),
    )
    said_NHD = network(plan_NHD, level_N, condition_NE)
    assert not torch.allclose(said_NHD, network(plan_NHD, level_N + 1, condition_NE))
    assert not torch.allclose(said_NHD, network(plan_NHD, level_N, condition_NE + 1))
    assert not torch.allclose(said_NHD, network(plan_NHD.flip(1), level_N, condition_NE).flip(1))
    (gradient_NHD,) = torch.autograd.grad(said_NHD[1].pow(2).sum(), plan_NHD)
    assert gradient_NHD[1].all()
    assert not gradient_NHD[[0, 2]].any()
