"""The search space is checked before anything runs."""

import pytest

from mage.config import get_field, load_config
from mage.errors import MageError
from mage.search.space import check_space, in_short, parse_space, starting_point, to_tune

CONFIG = load_config("cpu")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "empty"),
        ({"transformer.dpth": [1]}, "unknown config field 'transformer.dpth'; did you mean transformer.depth"),
        ({"transformer.depth": [1, 0]}, "transformer.depth"),
        ({"autoencoder.num_scales": [4, 9]}, "more than the horizon allows"),
        ({"transformer.depth": []}, "no value for transformer.depth"),
        ({"training.transformer.learning_rate": {"low": 1, "high": 0}}, "low < high"),
        ({"training.transformer.learning_rate": {"low": "a", "high": 1}}, "two numbers"),
        ({"training.transformer.learning_rate": {"low": 0, "high": 1, "log": True}}, "low > 0"),
        ({"transformer.depth": {"low": 1, "high": 4}}, "transformer.depth: .*integer"),
    ],
)
def test_a_bad_space_fails_in_one_line(space: dict, message: str) -> None:
    with pytest.raises(MageError, match=message) as error:
        check_space(space, CONFIG)
    assert "\n" not in str(error.value)


def test_command_line_entries_become_lists_and_ranges() -> None:
    space = parse_space(
        ["transformer.depth=[1,2]", "training.transformer.learning_rate={low: 1e-4, high: 1e-2, log: true}"]
    )
    check_space(space, CONFIG)
    assert space["transformer.depth"] == [1, 2]
    assert space["training.transformer.learning_rate"] == {"low": 1e-4, "high": 1e-2, "log": True}
    assert set(to_tune(space)) == set(space)
    with pytest.raises(MageError, match="no search space"):
        parse_space(["transformer.depth=2"])
    with pytest.raises(MageError, match="no search space"):
        parse_space(["transformer.depth=[1,"])


def test_the_preset_itself_is_the_first_trial_where_the_space_holds_it() -> None:
    depth = get_field(CONFIG, "transformer.depth")
    assert starting_point({"transformer.depth": [depth, 99]}, CONFIG) == {"transformer.depth": depth}
    assert starting_point({"transformer.depth": [depth + 1]}, CONFIG) is None


def test_a_point_reads_well() -> None:
    assert in_short({"autoencoder.num_scales": 4, "transformer.depth": 2}) == "num_scales=4 depth=2"
