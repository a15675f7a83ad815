"""The search space is checked before anything runs."""

from typing import Any

import numpy as np
import pytest

from mage.config import get_field, load_config
from mage.config.values import read_yaml
from mage.errors import MageError
from mage.search.settings import make_settings
from mage.search.space import check_space, parse_space, read_space, starting_point, to_tune
from mage.search.trial import with_point

CONFIG = load_config("cpu")
RATE = "training.transformer.learning_rate"


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
    space = read_space(
        parse_space(
            ["transformer.depth=[1,2]", "training.transformer.learning_rate={low: 1e-4, high: 1e-2, log: true}"]
        )
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


@pytest.mark.parametrize(
    ("entry", "values"),
    [
        (f"{RATE}=[1e-3, 0.01, 3e-3]", [0.001, 0.01, 0.003]),
        (f'{RATE}=["1e-3", 0.001, 1.0e-3]', [0.001]),
        (f"{RATE}=[1]", [1.0]),
        ('transformer.depth=["1", 2.0, 1e0]', [1, 2]),
        ("autoencoder.scales=[[1,2,4,8],[1,2,3,8],null]", [[1, 2, 4, 8], [1, 2, 3, 8], None]),
        ("autoencoder.scales=['[1,2,4,8]', [1,2,4,8.0]]", [[1, 2, 4, 8]]),
        ("training.reweight_by_return=[true, no, off]", [True, False]),
        ("policy.top_k=[null, 5, 'null', ~]", [None, 5]),
        ("transformer.return_condition=[none, all_scales]", ["none", "all_scales"]),
        ("evaluation.target_return_rule=[null, decremented]", [None, "decremented"]),
        (f"{RATE}={{low: 1e-4, high: '1', log: yes}}", {"low": 1e-4, "high": 1.0, "log": True}),
    ],
)
def test_values_are_read_as_their_field_means_them_and_equal_ones_are_one(entry: str, values: Any) -> None:
    field = entry.partition("=")[0]
    space = read_space(parse_space([entry]))
    assert space == {field: values}
    assert str(space) == str({field: values})  # in type, too
    from_python = read_yaml(entry.partition("=")[2])
    assert read_space({field: from_python}) == space
    assert make_settings(scenarios=["pen-expert"], space={field: from_python}).space == space
    check_space(space, CONFIG)


@pytest.mark.parametrize("values", [(1, 2), range(1, 3), np.array([1, 2]), (number for number in (1, 2))])
def test_values_in_python_may_be_any_sequence(values: Any) -> None:
    assert read_space({"transformer.depth": values}) == {"transformer.depth": [1, 2]}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"transformer.depth": 3}, "write a list of values"),
        ({"transformer.depth": "12"}, "write a list of values"),
        ({"transformer.depth": [1, 2.5]}, "fractional part.*2.5"),
        ({"transformer.depth": [True]}, "not true or false"),
        ({"transformer.depth": [None]}, "valid integer"),
        ({"transformer.depth": ["deep"]}, "deep"),
        ({"transformer.depht": {"low": 1, "high": 2}}, "did you mean transformer.depth"),
        ({RATE: {"low": 1, "high": float("inf")}}, "two numbers"),
        ({RATE: {"low": True, "high": 2}}, "two numbers"),
        ({RATE: {"low": 1, "high": 2, "log": "perhaps"}}, "log: true"),
        ({RATE: {"low": 1, "high": 2, "steps": 3}}, "two numbers"),
    ],
)
def test_values_that_do_not_fit_make_no_settings(space: dict, message: str) -> None:
    with pytest.raises(MageError, match=message) as error:
        make_settings(scenarios=["pen-expert"], space=space)
    assert "\n" not in str(error.value)


def test_a_field_is_named_once() -> None:
    with pytest.raises(MageError, match=r"names transformer\.depth twice"):
        parse_space(["transformer.depth=[1]", "transformer.depth =[2]"])


def test_lists_and_nulls_are_swept_as_text_that_leads_back_to_them() -> None:
    scales = [[1, 2, 4, 8], None, [1, 3, 5, 8]]
    space = read_space({"autoencoder.scales": scales, "transformer.depth": [1, 2]})
    domain = to_tune(space)["autoencoder.scales"]
    assert domain.categories == ["[1,2,4,8]", "null", "[1,3,5,8]"]
    assert to_tune(space)["transformer.depth"].categories == [1, 2]
    for text, value in zip(domain.categories, scales, strict=True):
        assert with_point(CONFIG, {"autoencoder.scales": text}) == with_point(CONFIG, {"autoencoder.scales": value})
    assert starting_point(space, CONFIG) == {
        "autoencoder.scales": "null",
        "transformer.depth": get_field(CONFIG, "transformer.depth"),
    }
