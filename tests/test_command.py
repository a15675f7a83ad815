"""Several values of one option are written the same way everywhere, and what stands alone is told where it belongs."""

import pytest

from mage.cli_options import _repeated
from mage.errors import MageError


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("--set a=1 b=2", "--set a=1 --set b=2"),
        ("--set a=1 --set b=2", "--set a=1 --set b=2"),
        ("--set=a=1 b=2", "--set=a=1 --set b=2"),
        ("maze --set a=1 b=2 --seed 3", "maze --set a=1 --set b=2 --seed 3"),
        ("--set a=1 b=2 maze", "--set a=1 --set b=2 maze"),
        ("--set a=-1 b=-2e-3", "--set a=-1 --set b=-2e-3"),
        ("--space a=[1,2] b=[3] --trials 2", "--space a=[1,2] --space b=[3] --trials 2"),
        ("--track wandb mlflow maze", "--track wandb --track mlflow maze"),
        ("--out a=b maze", "--out a=b maze"),
        ("--resume maze --out run", "--resume maze --out run"),
        ("maze kitchen --set a=1", "maze kitchen --set a=1"),
        ("--set", "--set"),
        ("", ""),
    ],
)
def test_an_option_is_repeated_before_each_of_its_values(given: str, taken: str) -> None:
    assert list(_repeated(given.split())) == taken.split()


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("maze a=1", "--set 'a=1'"),
        ("maze transformer.depth=[1,2]", "--space 'transformer.depth=[1,2]'"),
        ("maze --seed 3 a={low:1}", "--space 'a={low:1}'"),
        ("--set a=1 maze b=2", "--set 'b=2'"),
    ],
)
def test_a_change_without_its_option_is_told_the_right_line(given: str, right: str) -> None:
    with pytest.raises(MageError, match="belongs to no option") as caught:
        list(_repeated(given.split()))
    assert right in str(caught.value) and "\n" not in str(caught.value)
