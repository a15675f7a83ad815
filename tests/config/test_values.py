"""What people write for a value is what the field means, on every road into a configuration."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mage.config import get_field, load_config, make_config, read_field
from mage.config.values import read_yaml
from mage.errors import MageError

RATE = "training.transformer.learning_rate"
SAME = [
    (RATE, 1e-3, ["1e-3", "1E-3", "1.e-3", "+1e-3", "0.1e-2", ".001", "'1e-3'", '"0.001"', "1.0e-03"]),
    (RATE, 2.0, ["2", "2.", "2e0", "02"]),
    ("training.transformer.steps", 1000, ["1000", "1e3", "1000.0", "'1000'", "1_000", "+1000"]),
    ("transformer.depth", 10, ["10", "010", "1e1"]),
    ("training.reweight_by_return", True, ["true", "yes", "on", "'true'", "1"]),
    ("policy.top_k", None, ["null", "~", "", "None", "'null'"]),
    ("policy.top_k", 7, ["7", "7.0", "'7'"]),
    ("evaluation.target_return_rule", None, ["null", "'null'", "None"]),
    ("transformer.return_condition", "none", ["none", "'none'"]),
    ("autoencoder.scales", (1, 2, 4, 8), ["[1,2,4,8]", "'[1, 2, 4, 8]'", "[1.0, '2', 4e0, 8]"]),
    ("autoencoder.scales", None, ["null", "'null'"]),
]
WAYS = [(field, value, text) for field, value, texts in SAME for text in texts]


@pytest.mark.parametrize(("field", "value", "text"), WAYS)
def test_one_value_written_in_many_ways_is_one_configuration(field: str, value: Any, text: str) -> None:
    config = load_config("cpu", [f"{field}={text}"])
    assert get_field(config, field) == value
    assert type(get_field(config, field)) is type(value)
    # the base of all other values of its field
    assert config.hash() == make_config(load_config("cpu").model_dump(mode="json"), [f"{field}={text}"]).hash()


@pytest.mark.parametrize(("field", "value", "text"), WAYS)
def test_python_and_files_may_write_it_as_text_too(field: str, value: Any, text: str) -> None:
    data: Any = read_yaml(text) if text[:1] in ("'", '"') else text
    if field != "training.reweight_by_return" and data != "":
        assert read_field(field, data) == (list(value) if isinstance(value, tuple) else value)
        nested: Any = data
        for part in reversed(field.split(".")):
            nested = {part: nested}
        assert get_field(make_config(nested), field) == value


@given(st.floats(1e-8, 1e3))
def test_every_way_to_print_a_float_is_that_float(number: float) -> None:
    for text in (repr(number), f"{number:.17g}", f"{number:.17e}", f"{number:.17E}", f'"{number!r}"'):
        assert get_field(load_config("cpu", [f"{RATE}={text}"]), RATE) == number


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("transformer.depth", np.int64(3), 3),
        (RATE, np.float32(0.5), 0.5),
        (RATE, np.array(0.25), 0.25),
        ("autoencoder.scales", np.array([1, 2, 4, 8]), [1, 2, 4, 8]),
        ("autoencoder.scales", (np.int32(1), 2, 4, np.int8(8)), [1, 2, 4, 8]),
        ("training.reweight_by_return", np.bool_(True), True),
        ("algorithm", np.str_("mage"), "mage"),
    ],
)
def test_numbers_of_numpy_are_numbers(field: str, value: Any, kept: Any) -> None:
    assert read_field(field, value) == kept


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("transformer.depth=2.5", "fractional part"),
        ("transformer.depth=1e-3", "fractional part"),
        ("transformer.depth=yes", "not true or false"),
        ("transformer.depth=[1]", "valid integer"),
        ("transformer.depth=1:30", "1:30"),
        ("transformer.depth=0x10", "0x10"),
        (f"transformer.depth={'9' * 5000}", "not a YAML value"),
        (f"{RATE}=1e999", "finite"),
        (f"{RATE}=.nan", "finite"),
        (f"{RATE}=1e-3x", "1e-3x"),
        (f"{RATE}=2024-01-01", "2024-01-01"),
        (f"{RATE}={{a: 1}}", "valid number"),
        (f"{RATE}=!!python/object:os.system 1", "not a YAML value"),
        ("autoencoder.scales=[1,true,8]", "not true or false"),
        ("autoencoder.scales=[[1],[8]]", "valid integer"),
        ("training.reweight_by_return=[1]", "boolean"),
        ("policy.sampling=[greedy]", "greedy"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(override: str, said: str) -> None:
    with pytest.raises(MageError) as caught:
        load_config("cpu", [override])
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_overrides_are_lines_one_line_or_a_mapping() -> None:
    wanted = load_config("cpu", ["transformer.depth=3"])
    assert load_config("cpu", "transformer.depth=3") == wanted
    assert load_config("cpu", {"transformer.depth": np.int64(3)}) == wanted
    with pytest.raises(MageError, match=r"unknown config field 'transformer\.depht'"):
        load_config("cpu", {"transformer.depht": 3})
