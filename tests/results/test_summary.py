import math
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from mage.errors import MageError
from mage.results import compare, published, summary
from tests.results.tables import results

finite = st.floats(-50, 200)
of_seeds = st.dictionaries(st.integers(0, 9), st.lists(finite, min_size=1, max_size=5), min_size=1, max_size=4)


def test_a_mean_is_the_mean_of_seeds_however_many_episodes_each_has() -> None:
    row = summary(results({0: [0.0, 0.0, 0.0, 0.0], 1: [10.0]})).iloc[0]

    assert row["mean"] == 5.0
    assert row["standard_error"] == 5.0
    assert (row["seeds"], row["episodes"]) == (2, 5)


@given(of_seeds)
@settings(deadline=None, max_examples=50)
def test_mean_and_standard_error_are_those_of_the_seed_means(scores: dict[int, list[float]]) -> None:
    means = [np.mean(of_seed) for of_seed in scores.values()]

    row = summary(results(scores)).iloc[0]

    assert row["mean"] == pytest.approx(np.mean(means))
    if len(means) == 1:
        assert math.isnan(row["standard_error"])
    else:
        assert row["standard_error"] == pytest.approx(np.std(means, ddof=1) / np.sqrt(len(means)), abs=1e-9)


@given(of_seeds, of_seeds, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_the_order_of_rows_does_not_matter(
    a: dict[int, list[float]], b: dict[int, list[float]], random: Random
) -> None:
    table = pd.concat([results(a, config_hash="a"), results(b, config_hash="b")], ignore_index=True)
    rows = list(range(len(table)))
    random.shuffle(rows)

    assert_frame_equal(summary(table.iloc[rows]), summary(table), check_exact=True)


def test_the_interquartile_mean_ignores_one_lucky_episode() -> None:
    assert summary(results({0: [1.0, 2.0, 3.0, 1000.0]}))["iqm_episodes"].item() == 2.5


def test_success_is_a_percentage_and_nan_where_nothing_defines_it() -> None:
    assert summary(results({0: [1.0, 1.0, 0.0, 0.0]}))["success_rate"].item() == 50.0
    assert math.isnan(summary(results({0: [1.0]}, success=None))["success_rate"].item())


def test_the_best_configuration_of_each_scenario_comes_first() -> None:
    table = pd.concat(
        [
            results({0: [50.0]}, config_hash="middling"),
            results({0: [90.0]}, config_hash="good"),
            results({0: [10.0]}, config_hash="bad"),
            results({0: [70.0]}, config_hash="other", scenario="door-expert"),
        ]
    )

    assert summary(table)["config_hash"].tolist() == ["other", "good", "middling", "bad"]


def test_without_reference_scores_the_return_ranks() -> None:
    unknown = float("nan")
    table = pd.concat(
        [
            results({0: [1.0]}, config_hash="low").assign(normalized_score=unknown),
            results({0: [2.0]}, config_hash="high").assign(normalized_score=unknown),
        ]
    )

    ranked = summary(table)

    assert ranked["config_hash"].tolist() == ["high", "low"]
    assert ranked["mean"].isna().all()
    assert ranked["iqm"].isna().all()


def test_each_configuration_keeps_its_swept_values() -> None:
    table = pd.concat(
        [
            results({0: [1.0]}, config_hash="a", **{"autoencoder.num_scales": 4}),
            results({0: [2.0]}, config_hash="b", **{"autoencoder.num_scales": 8}),
        ]
    )

    assert summary(table).set_index("config_hash")["autoencoder.num_scales"].to_dict() == {"a": 4, "b": 8}


def test_two_datasets_are_never_averaged() -> None:
    table = pd.concat([results({0: [0.0]}, dataset_id="local/x-v0"), results({0: [100.0]}, dataset_id="D4RL/x-v2")])

    assert sorted(summary(table)["mean"]) == [0.0, 100.0]


def test_a_measured_score_stands_beside_the_papers_and_apart_from_it() -> None:
    row = compare(results({0: [80.0, 100.0], 1: [110.0, 110.0]})).iloc[0]

    assert row["measured_mean"] == 100.0
    assert (row["measured_seeds"], row["measured_episodes"]) == (2, 4)
    assert row["dataset_id"] == "local/pen/expert-v0"
    assert (row["published_mean"], row["published_error"], row["published_table"]) == (147.8, 4.9, 1)
    assert (row["published_seeds"], row["published_episodes_per_seed"]) == (5, 20)
    assert (row["baseline_method"], row["baseline_mean"], row["baseline_table"]) == ("IQL", 128.0, 1)


def test_every_algorithm_stands_beside_its_own_published_score_and_mages_is_apart() -> None:
    names = ("mage", "dt", "bc", "return_bc")
    table = pd.concat([results({0: [1.0]}, scenario="door-cloned", algorithm=name) for name in names])

    compared = compare(table).set_index("algorithm")

    own = {"mage": 20.5, "dt": 7.6, "bc": -0.1}
    assert compared["published_mean"].dropna().to_dict() == own
    assert compared["published_error"].dropna().to_dict() == {"mage": 2.5, "dt": 3.2, "bc": 0.0}
    assert (compared["mage_mean"] == 20.5).all()
    assert compared["baseline_mean"].nunique() == 1


def test_the_comparison_says_how_many_configurations_the_best_was_chosen_from() -> None:
    table = pd.concat([results({0: [score]}, config_hash=str(score)) for score in (10.0, 30.0, 20.0)])

    row = compare(table).iloc[0]

    assert (row["measured_mean"], row["configurations"]) == (30.0, 3)


def test_a_scenario_that_the_paper_lacks_has_no_published_numbers() -> None:
    row = compare(results({0: [1.0]}, scenario="cartpole")).iloc[0]

    assert row["measured_mean"] == 1.0
    assert math.isnan(row["published_mean"])


def test_a_single_task_of_ogbench_is_not_put_beside_the_papers_five() -> None:
    table = pd.concat(
        results({0: [1.0]}, scenario=f"antmaze-giant-{kind}-v0", algorithm="hiql") for kind in ("navigate", "goals")
    )
    compared = compare(table).set_index("scenario")
    assert compared.loc["antmaze-giant-goals-v0", "published_mean"] == 65
    assert compared.loc["antmaze-giant-navigate-v0", ["published_mean", "mage_mean", "baseline_mean"]].isna().all()


def test_methods_of_several_words_are_found_by_their_algorithms_names() -> None:
    row = compare(results({0: [1.0]}, algorithm="diffusion_ql")).iloc[0]
    assert row["published_mean"] == 112.6


def test_rows_of_two_versions_of_ogbench_are_not_compared() -> None:
    name = "antmaze-giant-goals-v0"
    one, other, unknown = (
        results({0: [1.0]}, scenario=name, algorithm=algorithm, environment_version=version)
        for algorithm, version in (("bc", "ogbench 1.1.5"), ("dt", "ogbench 1.2.2"), ("iql", None))
    )
    with pytest.raises(MageError, match=r"antmaze-giant-goals-v0 was played with ogbench 1.1.5 and with ogbench 1.2.2"):
        compare(pd.concat([one, other]))
    assert len(compare(pd.concat([one, unknown]))) == 2
    elsewhere = other.assign(scenario="antmaze-giant-navigate-v0")
    assert len(compare(pd.concat([one, elsewhere]))) == 2


def test_an_ablation_of_mage_is_no_baseline() -> None:
    ablations = published().assign(scenario="pen-expert")
    ablations = ablations[ablations["method"].str.startswith("MAGE")]

    row = compare(results({0: [1.0]}), ablations).iloc[0]

    assert pd.isna(row["baseline_method"])
