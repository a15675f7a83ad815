"""Learned dynamics: a linear system is learned, in any units, and what is predicted keeps to the range of the data."""

import pytest
import torch
from torch import Tensor

from mage.nn.dynamics import Dynamics, Ensemble

RANDOM = torch.Generator().manual_seed(0)


def linear_walks(walks: int = 40, steps: int = 26) -> tuple[Tensor, Tensor]:
    """States (walks, steps, 2) and actions (walks, steps, 1) of a damped system; the second state is in small units."""
    state, states = torch.randn(walks, 2, generator=RANDOM), []
    actions = 2 * torch.rand(walks, steps, 1, generator=RANDOM) - 1
    pull = torch.tensor([[0.95, 0.1], [-0.1, 0.95]])
    for step in range(steps):
        states.append(state)
        state = state @ pull.T + 0.3 * actions[:, step] * torch.tensor([0.5, 1.0])
    return torch.stack(states, 1) * torch.tensor([1.0, 1e-3]), actions


def model(states: Tensor, members: int = 3) -> Dynamics:
    torch.manual_seed(0)
    made = Dynamics(2, 1, members, 32, 1)
    made.fit([(states[:, :-1].flatten(0, 1), states[:, 1:].flatten(0, 1))])
    return made


def test_each_member_is_a_network_of_its_own() -> None:
    ensemble = Ensemble(2, 3, 8, 2, 1)
    inputs = torch.randn(2, 5, 3)
    for member in range(2):
        hidden = inputs[member]
        for number, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
            hidden = (torch.nn.functional.silu(hidden) if number else hidden) @ weight[member] + bias[member]
        torch.testing.assert_close(ensemble(inputs)[member], hidden)
    alike = ensemble(inputs[:1].expand(2, -1, -1))
    assert not torch.allclose(alike[0], alike[1])


def test_a_linear_system_is_learned_and_its_errors_hardly_grow() -> None:
    states, actions = linear_walks()
    made = model(states)
    now, then, acted = states[:30, :-1].flatten(0, 1), states[:30, 1:].flatten(0, 1), actions[:30, :-1].flatten(0, 1)
    optimiser = torch.optim.Adam(made.parameters(), lr=1e-2)
    for step in range(600):
        rows = torch.randint(len(now), (128,), generator=RANDOM)
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * (1 - step / 600)
        optimiser.zero_grad()
        made.error(now[rows], acted[rows], then[rows]).mean().backward()
        optimiser.step()
    errors = made.rollout_errors(states[30:], actions[30:])
    assert len(errors) == states.shape[1] - 1
    assert float(errors[0]) < 1e-3
    assert float(errors[-1].sqrt()) < 1.5 * len(errors) * float(errors[0].sqrt())  # no faster than linearly


def test_a_state_that_the_data_never_leaves_is_not_left() -> None:
    states, _ = linear_walks()
    made = model(states)
    low, high = states.amin((0, 1)), states.amax((0, 1))
    for weight in made.ensemble.weights:
        weight.data *= 100
    after = made(torch.zeros(3, 7, 2), torch.ones(3, 7, 1))
    assert (after >= low).all() and (after <= high).all()
    assert not torch.equal(after, torch.zeros_like(after))


def test_what_it_predicts_is_the_state_and_its_change_in_the_units_of_the_data() -> None:
    states, actions = linear_walks()
    made = model(states)
    changes = (states[:, 1:] - states[:, :-1]).flatten(0, 1)
    torch.testing.assert_close(made.mean_delta_S, changes.mean(0))
    torch.testing.assert_close(made.std_delta_S, changes.std(0, correction=0))
    now, acted = states[:, 0], actions[:, 0]
    made.low_S, made.high_S = torch.full((2,), -torch.inf), torch.full((2,), torch.inf)
    error_MB = made.error(now, acted, states[:, 1])
    predicted = made(now.expand(3, -1, -1), acted.expand(3, -1, -1))
    wanted = ((predicted - states[:, 1]) / made.std_delta_S).pow(2).mean(-1)
    torch.testing.assert_close(error_MB, wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("number", [1, 3, 4, 7])
def test_plans_are_shared_out_over_the_members_and_come_back_in_their_order(number: int) -> None:
    made, rows = Dynamics(2, 1, 3, 4, 1), torch.arange(2.0 * number * 4).view(2, number, 4) + 1
    shared = made.one_member_each(rows)
    assert shared.shape[0] == 3
    assert torch.equal(made.together_again(shared, 2, number), rows)
    for plan in range(number):
        assert (shared[plan % 3] == rows[1, plan]).all(-1).any()
