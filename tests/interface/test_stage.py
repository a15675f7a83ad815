"""Optimisers and their schedule."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mage.config import OptimiserConfig, StageConfig
from mage.interface import Optimiser, Stage
from mage.interface.stage import schedule


@given(st.integers(0, 50), st.integers(1, 500))
def test_the_learning_rate_rises_linearly_then_falls_to_a_tenth(warmup: int, steps: int) -> None:
    config = OptimiserConfig(warmup_steps=warmup)
    factors = [schedule(step, config, warmup + steps) for step in range(warmup + steps + 1)]
    assert factors[:warmup] == [(step + 1) / warmup for step in range(warmup)]
    falling = factors[warmup:]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == pytest.approx(1)
    assert falling[-1] == pytest.approx(0.1)


@given(st.integers(0, 50), st.integers(1, 500))
def test_a_constant_learning_rate_stays_where_the_warm_up_leaves_it(warmup: int, steps: int) -> None:
    config = OptimiserConfig(warmup_steps=warmup, decay="constant")
    factors = [schedule(step, config, warmup + steps) for step in range(warmup + steps + 1)]
    assert factors == [(step + 1) / warmup for step in range(warmup)] + [1.0] * (steps + 1)


@given(st.integers(0, 50), st.integers(1, 500))
def test_a_linear_decay_falls_by_as_much_at_every_step_to_what_is_left(warmup: int, steps: int) -> None:
    config = OptimiserConfig(warmup_steps=warmup, decay="linear")
    factors = [schedule(step, config, warmup + steps, left=0.3) for step in range(warmup, warmup + steps + 1)]
    assert factors == pytest.approx([1 - 0.7 * step / steps for step in range(steps + 1)])
    assert schedule(warmup + steps, config, warmup + steps) == pytest.approx(0.1)


def test_a_step_goes_down_the_gradient_of_its_own_parameters_and_touches_no_others() -> None:
    own, other = nn.Parameter(torch.tensor([2.0])), nn.Parameter(torch.tensor([3.0]))
    optimiser = Optimiser([own], OptimiserConfig(learning_rate=0.1, warmup_steps=0, weight_decay=0), 10)
    optimiser.begin(0)
    norm = optimiser.minimise((own * other).sum())
    assert own.item() == pytest.approx(1.9)
    assert (other.item(), other.grad) == (3.0, None)
    assert float(norm) == pytest.approx(3)
    assert optimiser.norm is norm


def test_gradients_are_clipped_and_their_norm_is_told_as_it_was() -> None:
    config = OptimiserConfig(learning_rate=0.1, warmup_steps=0, weight_decay=0, gradient_clip=0.5)
    own = nn.Parameter(torch.zeros(2))
    optimiser = Optimiser([own], config, 10)
    norm = optimiser.minimise(torch.tensor([30.0, 40.0]) @ own)
    assert float(norm) == pytest.approx(50)
    assert own.grad is not None
    torch.testing.assert_close(own.grad, torch.tensor([0.3, 0.4]))


def test_gradients_may_be_clipped_in_another_way_and_a_step_knows_its_number() -> None:
    own = nn.Parameter(torch.zeros(2))
    optimiser = Optimiser([own], OptimiserConfig(gradient_clip=0.5), 10)
    optimiser.begin(3)

    def each_alone(parameters: Sequence[nn.Parameter], largest: float) -> Tensor:
        (gradient,) = (parameter.grad for parameter in parameters)
        assert gradient is not None
        gradient.clamp_(-largest, largest)
        return torch.tensor(7.0)

    assert float(optimiser.minimise(torch.tensor([30.0, 0.1]) @ own, each_alone)) == 7.0
    assert own.grad is not None
    assert own.grad.tolist() == pytest.approx([0.5, 0.1])
    assert optimiser.step == 3


def test_the_settings_of_an_optimiser_are_a_field_of_the_stage_or_the_stages_own() -> None:
    class Config(StageConfig):
        critic: OptimiserConfig = OptimiserConfig(learning_rate=0.5)

    stage = Stage("both", Config(learning_rate=0.25), {"critic": [], "actor": []}, lambda *_: {})
    assert [stage.settings(name).learning_rate for name in ("critic", "actor")] == [0.5, 0.25]


def test_a_parameter_that_two_modules_share_is_trained_once_and_one_that_may_not_be_moved_never() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    stage = Stage("shared", StageConfig(), {"all": [first, second, first.bias]}, lambda *_: {})
    trainable = [next(first.parameters()), second.bias]
    assert [id(parameter) for parameter in stage.parameters("all", trainable)] == [id(each) for each in trainable]
