"""Values of goals: which side of the expectile a step is on the targets say, and a goal that is reached is worth 0."""

import pytest
import torch

from mage.nn.goal_values import GoalValues, goal_value_loss


def loss_of(value: float, now: float, following: float, goes_on: bool, expectile: float = 0.7) -> float:
    """Of one state whose two heads agree."""
    value_21, now_21, next_21 = (torch.full((2, 1), number) for number in (value, now, following))
    return float(goal_value_loss(value_21, now_21, next_21, torch.tensor([float(goes_on)]), 0.9, expectile))


@pytest.mark.parametrize(("now", "weight"), [(-9.0, 0.7), (-1.0, 0.3)])
def test_better_than_the_target_counts_as_tau_and_worse_as_the_rest(now: float, weight: float) -> None:
    # r + gamma V'(n) = -1 + 0.9 * -2 = -2.8, of both heads
    assert loss_of(-4.0, now, -2.0, goes_on=True) == pytest.approx(2 * weight * 1.2**2)


def test_at_the_goal_nothing_is_paid_and_nothing_follows() -> None:
    assert loss_of(-1.5, -1.0, -50.0, goes_on=False) == pytest.approx(2 * 0.7 * 1.5**2)


def test_the_side_is_of_the_lesser_next_target_and_the_mean_of_the_present_ones() -> None:
    next_21, now_21 = torch.tensor([[-2.0], [-6.0]]), torch.tensor([[-5.0], [-7.0]])
    value_21 = torch.zeros(2, 1, requires_grad=True)
    # adv = -1 + 0.9 * -6 + 6 = -0.4 < 0, though by the first head alone it is above
    loss = goal_value_loss(value_21, now_21, next_21, torch.ones(1), 0.9, 0.7)
    assert float(loss.detach()) == pytest.approx(0.3 * (2.8**2 + 6.4**2))
    loss.backward()
    assert value_21.grad is not None
    torch.testing.assert_close(value_21.grad, torch.tensor([[0.3 * 2 * 2.8], [0.3 * 2 * 6.4]]))


def test_two_heads_of_states_and_goals_of_any_leading_shape() -> None:
    values = GoalValues(3, 2, hidden_dim=8, hidden_layers=2)
    state, goal = torch.randn(4, 5, 3), torch.randn(4, 5, 2)
    both = values(state, goal)
    assert both.shape == (2, 4, 5)
    assert not torch.equal(both[0], both[1])
    torch.testing.assert_close(values(state[1], goal[1]), both[:, 1])
