"""The values of implicit Q-learning: right on a chain, without a gradient astray."""

import pytest
import torch
from torch import Tensor

from mage.data.transitions import Batch
from mage.nn.average import Average
from mage.nn.critics import TwinQ, relu_mlp
from mage.nn.implicit import ImplicitLosses, implicit_losses

STATES, DISCOUNT = 5, 0.9


def networks() -> tuple[torch.nn.Module, TwinQ, Average]:
    torch.manual_seed(0)
    critic = TwinQ(STATES, 1, 32, 1)
    return relu_mlp(STATES, 32, 1, 1), critic, Average(critic, 0.1)


def chain() -> Batch:
    """One step to the right from each state; the last one pays 1 and is the end."""
    names = torch.eye(STATES)
    last = (torch.arange(STATES) == STATES - 1).float()
    return Batch(names, torch.zeros(STATES, 1), last, names.roll(-1, 0), last)


def losses_of(made: tuple[torch.nn.Module, TwinQ, Average], batch: Batch, expectile: float = 0.7) -> ImplicitLosses:
    return implicit_losses(*made, batch, DISCOUNT, expectile)


def test_values_on_a_chain_are_powers_of_the_discount_and_the_end_bootstraps_nothing() -> None:
    value, critic, target = made = networks()
    optimiser = torch.optim.Adam([*value.parameters(), *critic.parameters()], lr=1e-2)
    for _ in range(500):
        losses = losses_of(made, chain())
        optimiser.zero_grad()
        (losses.value + losses.critic).backward()
        optimiser.step()
        target.follow(critic)
    wanted = [DISCOUNT**n for n in reversed(range(STATES))]
    assert value(torch.eye(STATES)).squeeze(1).tolist() == pytest.approx(wanted, rel=0.02)


def test_each_loss_has_a_gradient_in_its_own_network_alone() -> None:
    value, critic, _ = made = networks()
    for loss, own in (("value", value), ("critic", critic)):
        for network in made:
            network.zero_grad()
        getattr(losses_of(made, chain()), loss).backward()
        touched = [network for network in made if any(p.grad is not None for p in network.parameters())]
        assert touched == [own]


def test_half_an_expectile_is_half_the_squared_error_and_a_higher_one_counts_what_lies_above() -> None:
    made, batch = networks(), chain()
    half, high = losses_of(made, batch, 0.5), losses_of(made, batch, 0.9)
    advantage_B: Tensor = half.advantage_B.detach()
    assert float(half.value.detach()) == pytest.approx(float(0.5 * advantage_B.pow(2).mean()))
    side_B = torch.where(advantage_B > 0, 0.9, 0.1)
    assert float(high.value.detach()) == pytest.approx(float((side_B * advantage_B.pow(2)).mean()))
