"""Copies of a module: one that follows it, at a rate, from a call on, every so many calls; one of its best."""

import pytest
import torch
from torch import nn

from mage.nn.average import Average, BestSoFar


def constant(value: float) -> nn.Linear:
    layer = nn.Linear(2, 1)
    for parameter in layer.parameters():
        nn.init.constant_(parameter, value)
    return layer


def weight(average: Average | BestSoFar) -> float:
    return float(average(torch.tensor([[1.0, 0.0]])) / 2)  # one weight and the bias


def test_a_copy_begins_as_the_module_and_moves_by_its_rate() -> None:
    average = Average(constant(0.0), rate=0.25)
    assert weight(average) == 0.0
    average.follow(constant(1.0))
    average.follow(constant(1.0))
    assert weight(average) == pytest.approx(1 - 0.75**2)


def test_up_to_its_start_it_is_the_module_and_between_moves_it_stands() -> None:
    average, seen = Average(constant(0.0), rate=0.5, start=4, every=2), list[float]()
    for call in range(1, 9):
        average.follow(constant(float(call)))
        seen.append(weight(average))
    assert seen == [0, 2, 2, 4, 4, 5, 5, 6.5]


def test_one_that_waits_stands_still_up_to_its_start_and_tells_when_it_is_due() -> None:
    average, seen, due = Average(constant(0.0), rate=0.5, start=4, every=2, waits=True), list[float](), list[bool]()
    for _ in range(8):
        due.append(average.due)
        average.follow(constant(1.0))
        seen.append(weight(average))
    assert seen == [0, 0, 0, 0, 0, 0.5, 0.5, 0.75]
    assert due == [False, True] * 4


def test_buffers_are_copied_as_they_are() -> None:
    module = nn.BatchNorm1d(3)
    average = Average(module, rate=0.1)
    module(torch.randn(8, 3))
    average.follow(module)
    for copied, buffer in zip(average.module.buffers(), module.buffers(), strict=True):
        assert torch.equal(copied, buffer)


def test_a_copy_is_saved_with_its_count_and_goes_on_from_there() -> None:
    average, again = (Average(constant(0.0), rate=0.5, start=1, every=2) for _ in range(2))
    for _ in range(3):
        average.follow(constant(1.0))
    again.load_state_dict(average.state_dict())
    for copy in (average, again):
        copy.follow(constant(3.0))
    assert weight(again) == weight(average) == 1.75


def test_a_copy_is_not_trained_is_no_second_owner_of_the_module_and_moves_with_its_own() -> None:
    owner = nn.Module()
    owner.module, owner.average = constant(1.0), Average(constant(1.0), rate=0.5)
    assert [name for name, value in owner.named_parameters() if value.requires_grad] == ["module.weight", "module.bias"]
    assert {value.dtype for value in owner.double().parameters()} == {torch.float64}
    owner.average.follow(owner.module)
    assert owner.average.module.weight.grad is None


def test_the_best_is_the_module_until_the_first_look_and_then_where_its_loss_was_lowest() -> None:
    best, seen = BestSoFar(constant(0.0), every=2), list[float]()
    losses = iter([torch.tensor(loss) for loss in (3.0, 4.0, 1.0, 2.0)])
    for call in range(1, 9):
        best.offer(constant(float(call)), lambda: next(losses))
        seen.append(weight(best))
    assert seen == [1, 2, 2, 2, 2, 6, 6, 6]
    assert best.lowest == 1.0


def test_the_best_is_saved_with_its_loss_and_its_count() -> None:
    best, again = (BestSoFar(constant(0.0), every=2) for _ in range(2))
    for value in (1.0, 2.0, 3.0):
        best.offer(constant(value), lambda: torch.tensor(5.0))
    again.load_state_dict(best.state_dict())
    assert (weight(again), again.lowest.item(), again.calls) == (2.0, 5.0, 3)
    again.offer(constant(4.0), lambda: torch.tensor(6.0))
    assert weight(again) == 2.0
