"""Beams: what is drawn, what is cut off, and which paths are kept."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mage.nn.beam import best, draw, likeliest, uniform


def left(*probabilities: float, cut: float | None = None, most: int | None = None) -> list[int]:
    """The tokens that may still be drawn."""
    return likeliest(torch.tensor([probabilities]), cut, most)[0].nonzero().squeeze(1).tolist()


@pytest.mark.parametrize(
    ("probabilities", "kept"),
    [
        ((0.3, 0.3, 0.2, 0.1, 0.1), [0, 1]),
        ((0.1, 0.3, 0.1, 0.3, 0.2), [1, 3]),
        ((0.55, 0.15, 0.1, 0.1, 0.1), [0]),
        ((0.2, 0.2, 0.2, 0.2, 0.2), [0, 1, 2, 3, 4]),
        ((1.0,), [0]),
        ((0.0, 1.0, 0.0), [1]),
    ],
)
def test_the_least_likely_share_is_cut_off_and_never_all(probabilities: tuple[float, ...], kept: list[int]) -> None:
    assert left(*probabilities, cut=0.6) == kept


def test_the_likeliest_few_are_kept() -> None:
    assert left(0.1, 0.4, 0.2, 0.3, most=2) == [1, 3]
    assert left(0.1, 0.4, 0.2, 0.3, most=9) == [0, 1, 2, 3]
    assert left(0.1, 0.4, 0.2, 0.3) == [0, 1, 2, 3]


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=2, max_size=6).filter(any), st.integers(0, 2**24))
@settings(max_examples=60, deadline=None)
def test_nothing_impossible_is_drawn_whatever_the_number(weights: list[float], number: int) -> None:
    below_1 = torch.tensor([min(number / 2**24, 1 - 2**-24)])
    assert weights[int(draw(torch.tensor([weights]), below_1))] > 0


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    uniform_N = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    tokens = draw(torch.tensor([[0.1, 0.0, 0.3, 0.1]]).expand(20_000, -1), uniform_N)
    share = torch.bincount(tokens, minlength=4) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.2, 0, 0.6, 0.2]), atol=0.02, rtol=0)


def test_every_environment_has_numbers_of_its_own() -> None:
    def numbers(*seeds: int) -> torch.Tensor:
        return uniform([torch.Generator().manual_seed(s) for s in seeds], 2, 3, device=torch.device("cpu"))

    assert numbers(0, 1).shape == (4, 3)
    assert torch.equal(numbers(0, 1)[2:], numbers(1))
    assert torch.equal(numbers(7, 1)[2:], numbers(1))


def test_the_best_of_each_environment_are_kept_the_best_first() -> None:
    score_N = torch.tensor([1.0, 3.0, 2.0, 9.0, 7.0, 8.0])
    assert best(score_N, 2, 2).tolist() == [1, 2, 3, 5]
    assert best(score_N, 1, 6).tolist() == [3, 5, 4, 1, 2, 0]
