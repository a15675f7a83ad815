"""Table 8 on a CPU: what is measured acts as it would in an episode, and stands beside what the paper has."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.table_8 import MODELS, SIZES, acting, config_of, measure, models_of, policy_of, table
from mage.results.published import published


def test_every_model_of_the_papers_table_is_measured_and_transformers_in_mages_size_too() -> None:
    paper = published("adroit")
    assert set(MODELS) - {"TT, no cache"} == set(paper[paper["table"].astype(str) == "8"]["method"])
    assert set(models_of("equal")) == {"DT", "ADT", "MAGE", "TT", "TT, no cache"}
    wanted: Any = config_of("MAGE", "equal")
    for name, section in [("DT", "decision_transformer"), ("ADT", "adt"), ("TT", "trajectory_transformer")]:
        own = getattr(config_of(name, "equal"), section)
        assert (own.depth, own.embed_dim, own.num_heads) == (
            wanted.transformer.depth,
            wanted.transformer.embed_dim,
            wanted.transformer.num_heads,
        )


def test_a_row_is_a_time_beside_that_of_a_decision_transformer_in_the_same_turns() -> None:
    row = measure("ADT", "cpu", seconds=0.1)
    assert row["ms"] > 0 and row["CPU ms"] > 0 and row["turns"] >= 1 and row["parameters"] > 0
    assert row["over DT"] > 0


def small(name: str, **search: Any) -> Any:
    policy = policy_of(name, "cpu")
    config: Any = policy.config
    policy.agent.config = config.model_copy(update={"search": config.search.model_copy(update=search)})
    return policy


def test_with_and_without_its_cache_a_trajectory_transformer_remembers_as_much_and_acts_the_same() -> None:
    cached, plain = (acting(small(name, beam=2, horizon=1)) for name in ("TT", "TT, no cache"))
    np.testing.assert_array_equal(cached(), plain())


def test_the_papers_figures_stand_in_columns_of_their_own() -> None:
    rows = [
        {"size": size, "model": model, "ms": 1.0} for size in reversed(SIZES) for model in reversed(models_of(size))
    ]
    found = table(pd.DataFrame(rows)).set_index(["size", "model"])
    assert list(found.index[:2]) == [("cpu", "DT"), ("cpu", "ADT")]
    milliseconds, ratios = found["paper ms"].to_dict(), found["paper over DT"].to_dict()
    assert milliseconds["paper", "HD"] == pytest.approx(1480.21)
    assert milliseconds["cpu", "TT, no cache"] == milliseconds["cpu", "TT"]
    assert ratios["equal", "DT"] == 1
