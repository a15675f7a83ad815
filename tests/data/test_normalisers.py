"""Values brought to one scale and back, constant ones too."""

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor

from mage.data.normalisers import Normaliser, to_deviations, to_limits

CONSTANT = 2
VALUES_ND = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 30, 0, 0.1]) + 7

both = pytest.mark.parametrize("fit", [to_limits, to_deviations])
Fit = Callable[[Iterable[Tensor]], Normaliser]


@both
def test_what_is_normalised_is_restored(fit: Fit) -> None:
    normaliser = fit([VALUES_ND])
    torch.testing.assert_close(normaliser.restore(normaliser.normalise(VALUES_ND)), VALUES_ND, atol=1e-4, rtol=1e-5)


@both
def test_the_parts_that_data_comes_in_do_not_matter(fit: Fit) -> None:
    for whole, parted in zip(fit([VALUES_ND]), fit(VALUES_ND.split(64)), strict=True):
        torch.testing.assert_close(parted, whole)


@both
def test_a_constant_value_becomes_0_and_keeps_its_unit(fit: Fit) -> None:
    normaliser = fit([VALUES_ND])
    assert (normaliser.normalise(VALUES_ND)[:, CONSTANT] == 0).all()
    assert normaliser.normalise(VALUES_ND + 3)[0, CONSTANT] == 3


def test_limits_become_minus_1_and_1_and_what_is_restored_stays_within_them() -> None:
    normaliser, changing = to_limits([VALUES_ND]), [0, 1, 3]
    normalised_ND = normaliser.normalise(VALUES_ND)[:, changing]
    torch.testing.assert_close(normalised_ND.amin(0), -torch.ones(3))
    torch.testing.assert_close(normalised_ND.amax(0), torch.ones(3))
    restored_D = normaliser.restore(torch.full((4,), 9.0))
    torch.testing.assert_close(restored_D[changing], VALUES_ND.amax(0)[changing])


def test_deviations_become_1_and_nothing_is_clipped() -> None:
    normaliser, changing = to_deviations([VALUES_ND]), [0, 1, 3]
    normalised_ND = normaliser.normalise(VALUES_ND)[:, changing]
    torch.testing.assert_close(normalised_ND.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(normalised_ND.std(0, correction=0), torch.ones(3))
    assert (normaliser.restore(torch.full((4,), 9.0)) > VALUES_ND.amax(0)).all()
