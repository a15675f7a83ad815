"""Measured beside published: effects, their signs, and what the two say of each other."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mage.paper.compare import agreement, compare_ablation, save_ablation, sign
from mage.results import published

FINITE = st.floats(-300, 300)
ERROR = st.floats(0, 100)
ROWS = ["MAGE depth=2", "MAGE depth=4", "MAGE depth=8", "MAGE depth=16"]


def seeds(scores: dict[str, list[float]], scenario: str = "pen-expert", success: float = 50.0) -> pd.DataFrame:
    """A row a training seed, ten episodes each."""
    rows = [
        {"scenario": scenario, "variant": variant, "value": value, "success": success, "episodes": 10}
        for variant, values in scores.items()
        for value in values
    ]
    return pd.DataFrame(rows, columns=["scenario", "variant", "value", "success", "episodes"])


def depths(measured: pd.DataFrame, **changes: object) -> pd.DataFrame:
    """Table 21, by row, on pen-expert."""
    arguments = {"number": 21, "variants": ROWS, "reference": "MAGE depth=8", "scenarios": ["pen-expert"]} | changes
    return compare_ablation(measured, **arguments).set_index("variant")  # type: ignore[arg-type]


@given(FINITE, ERROR)
def test_the_sign_of_the_opposite_effect_is_the_opposite_sign(effect: float, error: float) -> None:
    assert sign(-effect, error) == {"+": "-", "-": "+", "0": "0"}[sign(effect, error)]


@given(FINITE, ERROR)
def test_a_sign_is_nought_below_two_standard_errors_and_for_no_effect(effect: float, error: float) -> None:
    assert (sign(effect, error) == "0") == (effect == 0 or abs(effect) < 2 * error)


def test_what_is_unknown_has_no_sign_that_could_agree() -> None:
    assert sign(float("nan"), 1.0) == ""
    assert sign(5.0, float("nan")) == "?"
    assert agreement("?", "+") == "unclear"
    assert agreement("", "+") == agreement("+", "") == ""


@given(st.sampled_from("+-0?"), st.sampled_from("+-0?"))
def test_agreement_is_mutual_and_takes_two_clear_signs(one: str, other: str) -> None:
    assert agreement(one, other) == agreement(other, one)
    assert (agreement(one, other) == "unclear") == (not {one, other} <= set("+-"))


@settings(max_examples=15)
@given(st.lists(FINITE, min_size=2, max_size=4), st.lists(FINITE, min_size=2, max_size=4), st.floats(-50, 50))
def test_effects_stay_when_all_scores_move_alike(few: list[float], full: list[float], shift: float) -> None:
    here = depths(seeds({"MAGE depth=2": few, "MAGE depth=8": full}))
    there = depths(seeds({"MAGE depth=2": [x + shift for x in few], "MAGE depth=8": [x + shift for x in full]}))
    columns = ["measured_effect", "measured_effect_error"]
    assert np.allclose(
        here.loc["MAGE depth=2", columns].astype(float), there.loc["MAGE depth=2", columns].astype(float)
    )


def test_an_effect_and_its_error_are_those_one_computes_by_hand() -> None:
    table = depths(seeds({"MAGE depth=2": [10, 14], "MAGE depth=4": [29, 31], "MAGE depth=8": [20, 20]}))
    shallow = table.loc["MAGE depth=2"]
    assert (shallow["measured_mean"], shallow["measured_standard_error"]) == (12, pytest.approx(2))
    assert (shallow["measured_effect"], shallow["measured_effect_error"]) == (-8, pytest.approx(2))
    assert (shallow["seeds"], shallow["episodes"], shallow["success_rate"]) == (2, 20, 50)
    assert shallow["published_effect"] == pytest.approx(109.8 - 147.8)
    assert shallow["published_effect_error"] == pytest.approx(np.hypot(18.3, 4.9))
    assert list(table.loc[ROWS, "measured_sign"]) == ["-", "+", "", ""]
    assert list(table.loc[ROWS, "published_sign"]) == ["-", "0", "", "0"]
    assert list(table.loc[ROWS, "agreement"]) == ["same", "unclear", "", ""]


def test_the_opposite_of_what_was_published_is_called_so() -> None:
    table = depths(seeds({"MAGE depth=2": [90, 91], "MAGE depth=8": [20, 21]}))
    assert table.loc["MAGE depth=2", "agreement"] == "opposite"


def test_with_one_seed_an_effect_is_shown_but_has_no_sign() -> None:
    row = depths(seeds({"MAGE depth=2": [90], "MAGE depth=8": [20]})).loc["MAGE depth=2"]
    assert (row["measured_effect"], row["measured_sign"], row["agreement"]) == (70, "?", "unclear")


def test_a_row_without_a_measurement_says_why() -> None:
    failures = {("pen-expert", "MAGE depth=16"): "out of memory", ("door-cloned", "MAGE depth=4"): "elsewhere"}
    table = depths(seeds({"MAGE depth=8": [20, 21]}), failures=failures)
    assert dict(table["status"]) == {
        "MAGE depth=2": "not run",
        "MAGE depth=4": "not run",
        "MAGE depth=8": "measured",
        "MAGE depth=16": "failed: out of memory",
    }
    assert table.loc["MAGE depth=2", ["measured_mean", "measured_effect"]].isna().all()
    assert table.loc["MAGE depth=2", "published_mean"] == 109.8


def test_methods_of_others_are_listed_with_their_published_numbers_only() -> None:
    table = compare_ablation(seeds({}), 5, ["MAGE K=8"], "MAGE K=8", ["pen-expert"]).set_index("variant")
    assert set(table.index) == set(published().query("table == 5")["method"])
    assert table.loc["HD", "status"] == "published only"
    assert table.loc["HD", "published_mean"] == 121.4
    assert table.loc["HD", "published_effect"] == pytest.approx(121.4 - 147.8)


def test_a_scenario_that_the_paper_does_not_report_has_no_published_numbers() -> None:
    table = depths(seeds({"MAGE depth=2": [1, 2], "MAGE depth=8": [5, 6]}, "maze2d-umaze"), scenarios=["maze2d-umaze"])
    assert table["published_mean"].isna().all()
    assert set(table["published_sign"]) == {""}
    assert table.loc["MAGE depth=2", "measured_sign"] == "-"


def test_the_saved_table_reads_back_and_its_markdown_holds_every_row(tmp_path: Path) -> None:
    table = depths(seeds({"MAGE depth=2": [12.34, 12.34], "MAGE depth=8": [12.38, 12.36]})).reset_index()
    text = save_ablation(table, tmp_path, "Depth", "MAGE depth=8", ["of the smallest preset"])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table-21.parquet"), table, check_dtype=False)
    assert (tmp_path / "table-21.md").read_text() == text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(table)
    assert len({len(line) for line in lines}) == 1
    assert "| 12.3 ± 0.0 |" in lines[2] and "| 2 x 10" in lines[2] and "| 109.8 ± 18.3 |" in lines[2]
    assert "-0.0" not in text
    assert "reference" in lines[4] and "not run" in lines[3]
    assert "- of the smallest preset\n" in text
    assert "two standard errors" in text
