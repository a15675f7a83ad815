"""Statistics over runs and scenarios, against what one computes by hand, and what must hold of all scores."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mage.errors import MageError
from mage.results import aggregate, budget, improvement, profile, runs
from mage.results.statistics import expected_best
from tests.results.tables import results, trials

scores = st.lists(st.floats(-50, 200), min_size=1, max_size=8)


def method(name: str, by_scenario: dict[str, list[float]], config_hash: str = "a") -> pd.DataFrame:
    """One configuration: the score of each training seed's only episode, by scenario."""
    tables = [
        results(
            {seed: [score] for seed, score in enumerate(own)},
            scenario=scenario,
            algorithm=name,
            config_hash=f"{config_hash}-{name}-{scenario}",
        )
        for scenario, own in by_scenario.items()
    ]
    return pd.concat(tables, ignore_index=True)


def test_a_run_is_the_mean_of_its_episodes_of_the_best_configuration_and_says_of_how_many() -> None:
    good = results({0: [10.0, 20.0], 1: [30.0]}, config_hash="good")
    table = runs(pd.concat([results({0: [5.0], 1: [6.0]}, config_hash="bad"), good]))
    assert table.to_dict("list") == {
        "method": ["mage"] * 2,
        "scenario": ["pen-expert"] * 2,
        "training_seed": [0, 1],
        "score": [15.0, 30.0],
        "failed": [False] * 2,
        "of": [2, 2],
    }


def test_aggregates_are_those_one_computes_by_hand_over_the_scenarios_that_all_have() -> None:
    mage = method("mage", {"a": [0.0, 100.0], "b": [40.0, 60.0], "c": [80.0, 100.0]})
    other = method("bc", {"a": [1.0, 1.0], "b": [2.0, 2.0], "c": [9.0, 9.0], "only here": [500.0, 500.0]})
    first, second = aggregate(pd.concat([mage, other]), resamples=200).to_dict("records")
    assert (first["method"], first["scenarios"], first["runs"], first["of"]) == ("mage", 3, 6, 1)
    assert (first["mean"], first["median"]) == (pytest.approx(190 / 3), 50.0)
    # of 0, 40, 60, 80, 100, 100 one falls away at each end
    assert first["iqm"] == pytest.approx((40 + 60 + 80 + 100) / 4)
    assert first["iqm_low"] < first["iqm"] < first["iqm_high"]
    assert (second["mean"], second["mean_low"], second["mean_high"]) == (4.0, 4.0, 4.0)


def test_the_seed_decides_the_intervals_and_a_single_run_has_none() -> None:
    table = method("mage", {"a": [0.0, 100.0, 30.0], "b": [40.0, 60.0, 10.0]})
    one, again = aggregate(table, seed=1), aggregate(table, seed=1)
    pd.testing.assert_frame_equal(one, again)
    assert not one.equals(aggregate(table, seed=2))
    assert aggregate(method("mage", {"a": [3.0]}))[["mean_low", "iqm_high"]].isna().all(axis=None)


def test_an_interval_resamples_within_scenarios_only() -> None:
    # runs of one scenario are alike: whatever is drawn within it, nothing changes
    (row,) = aggregate(method("mage", {"easy": [100.0] * 4, "hard": [0.0] * 4})).to_dict("records")
    assert (row["mean_low"], row["mean"], row["mean_high"]) == (50.0, 50.0, 50.0)


def test_an_improvement_counts_pairs_and_a_tie_as_half_of_one() -> None:
    table = pd.concat(
        [method("mage", {"a": [3.0, 1.0], "b": [9.0, 9.0]}), method("bc", {"a": [1.0, 2.0], "b": [5, 6]})]
    )
    found = improvement(table, resamples=200).set_index(["method", "over"])
    # in a: 3 > 1, 3 > 2, 1 = 1, 1 < 2
    assert found.loc[("mage", "bc"), "probability"] == pytest.approx((2.5 / 4 + 1) / 2)
    assert found.loc[("bc", "mage"), "probability"] == pytest.approx(1 - (2.5 / 4 + 1) / 2)


@given(scores, scores)
@settings(max_examples=30)
def test_one_of_two_methods_improves_upon_the_other(one: list[float], other: list[float]) -> None:
    found = improvement(pd.concat([method("x", {"a": one}), method("y", {"a": other})]), resamples=10)
    assert found["probability"].sum() == pytest.approx(1)
    assert found["probability"].between(0, 1).all()


@given(scores)
@settings(max_examples=30)
def test_a_profile_falls_from_all_runs_to_none(own: list[float]) -> None:
    found = profile(method("mage", {"a": own}), [min(own) - 1, *sorted(own)], resamples=10)
    assert found["share"].is_monotonic_decreasing
    assert (found["share"].iloc[0], found["share"].iloc[-1]) == (1.0, 0.0)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=7))
@settings(max_examples=30)
def test_a_budget_is_the_mean_over_all_choices_of_so_many(own: list[float]) -> None:
    for n in range(1, len(own) + 1):
        wanted = np.mean([max(some) for some in combinations(own, n)])
        assert expected_best(np.sort(own), n) == pytest.approx(wanted)


def test_a_trial_that_failed_counts_as_a_random_policy_in_a_budget() -> None:
    table = budget(trials({"autoencoder.num_scales": [1, 2, 3]}, [10.0, None, 40.0]))
    assert list(table["configurations"]) == [1, 2, 3]
    assert list(table["score"]) == pytest.approx([50 / 3, (10 + 40 + 40) / 3, 40.0])
    assert set(table["failed"]) == {1}


def test_what_cannot_be_put_together_is_said_in_one_line() -> None:
    apart = pd.concat([method("mage", {"a": [1.0]}), method("bc", {"b": [1.0]})])
    with pytest.raises(MageError, match="no scenario on which all of these methods"):
        aggregate(apart)
    with pytest.raises(MageError, match="no column 'rule'"):
        aggregate(apart, by="rule")
    with pytest.raises(MageError, match="no episode has a normalised score"):
        runs(results({0: [1.0]}, normalized_score=np.nan))
    with pytest.raises(MageError, match="no table of trials"):
        budget(apart)
