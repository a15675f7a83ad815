"""How single values, errors and configurations are written."""

import numpy as np
import pandas as pd
import pytest

from mage.words import SEPARATOR, cell, estimate, first_line, in_short, plain, sentence_of, short_name


@pytest.mark.parametrize(
    ("value", "expected"),
    [(np.float64(0.5), 0.5), (np.array([1, 2]), [1, 2]), (np.bool_(True), True), ("text", "text"), (None, None)],
)
def test_numpys_values_become_pythons_and_all_else_stays(value: object, expected: object) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


def test_an_estimate_has_its_error_where_it_has_one_and_no_negative_zero() -> None:
    assert estimate(3.14159, 0.5) == "3.1 ± 0.5"
    assert estimate(-0.04, None) == "0.0"
    assert estimate(2.0, float("nan"), sign="+") == "+2.0"
    assert estimate(None, 1.0) == "-"
    assert estimate(float("nan"), 1.0, missing="") == ""


def test_of_a_nested_error_the_sentence_is_told_and_of_a_plain_one_its_first_line() -> None:
    nested = RuntimeError("Traceback:\n  File x\nmage.errors.MageError: the disk is full\n\n")
    assert sentence_of(nested) == "the disk is full"
    assert sentence_of(KeyError()) == first_line(KeyError()) == "KeyError"
    assert first_line(OSError("no cluster\nlook at the logs")) == "no cluster"


def test_a_point_reads_well() -> None:
    assert in_short({"autoencoder.num_scales": 4, "transformer.depth": 2}) == "num_scales=4 depth=2"
    assert in_short({"autoencoder.scales": "[1,2,4,8]"}) == "scales=[1,2,4,8]"


def test_a_configuration_of_many_names_is_told_by_the_first() -> None:
    assert short_name("MAGE K=8") == "MAGE K=8"
    assert short_name(SEPARATOR.join(["MAGE K=8", "MAGE", "MAGE depth=8"])) == "MAGE K=8 (+2 equal)"
    assert in_short({"variant": "bc = bc again"}) == "bc (+1 equal)"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "-"),
        (pd.NA, "-"),
        (float("nan"), "-"),
        ([1, None], "1, -"),
        (1e-7, "1e-07"),
        (True, "True"),
        ("a|b", "a|b"),
    ],
)
def test_a_cell_of_a_table_reads_well(value: object, written: str) -> None:
    assert cell(value) == written
    assert cell(12.345, is_measure=True) == "12.3"
