import copy

import pandas as pd
import pytest

from mage.evaluation.episodes import default_episodes, evaluate_policies
from mage.interface import Policy
from mage.results import RESULT_COLUMNS
from tests.evaluation.test_rollout import shortened


@pytest.fixture(scope="module")
def policy(tiny_policy: Policy) -> Policy:
    return shortened(tiny_policy, steps=30)


@pytest.fixture(scope="module")
def table(policy: Policy) -> pd.DataFrame:
    """7 episodes of two policies that differ in their seed's name."""
    other = copy.copy(policy)
    other.training_seed = 3
    return evaluate_policies([policy, other], episodes=7, extra={"transformer.depth": 1})


def test_an_episode_is_the_same_however_many_are_asked_for(policy: Policy, table: pd.DataFrame) -> None:
    assert policy.config.evaluation.batch_size == 5
    few = evaluate_policies([policy], episodes=5, extra={"transformer.depth": 1})
    pd.testing.assert_frame_equal(few, table[:5])


def test_every_policy_meets_the_same_episodes(table: pd.DataFrame) -> None:
    assert table["training_seed"].tolist() == [0] * 7 + [3] * 7
    assert table["episode"].tolist() == [*range(7), *range(7)]
    first, second = (
        rows.drop(columns="training_seed").reset_index(drop=True) for _, rows in table.groupby("training_seed")
    )
    pd.testing.assert_frame_equal(first, second)


def test_the_table_has_the_columns_of_every_results_table_and_the_extra_ones(table: pd.DataFrame) -> None:
    assert set(table.columns) == {*RESULT_COLUMNS, "transformer.depth"}
    assert table["success"].dtype == "boolean"
    numbers = ("training_seed", "episode", "length", "return", "normalized_score", "target_return")
    assert [table[name].dtype.kind for name in numbers] == ["i", "i", "i", "f", "f", "f"]
    assert not table.drop(columns=["success", "warning"]).isna().any(axis=None)


def test_the_table_names_what_was_evaluated(policy: Policy, table: pd.DataFrame) -> None:
    named = table[["scenario", "algorithm", "config_hash", "dataset_id", "target_return"]].drop_duplicates()
    expected = ["maze2d-umaze", "mage", policy.config.hash(), "mage/maze2d/umaze-v0", policy.target_return]
    assert named.to_numpy().tolist() == [expected]


def test_a_dataset_that_no_scenario_describes_gets_a_hundred_episodes(policy: Policy) -> None:
    assert default_episodes(policy.task) == 100
    assert default_episodes(policy.task.model_copy(update={"scenario": "my-robot"})) == 100
