import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from mage.errors import MageError
from mage.results import RESULT_COLUMNS, TRIAL_COLUMNS, load, load_trials, write_parquet
from tests.results.tables import results, trials

scores = st.floats(-50, 200) | st.just(float("nan"))
tables = st.builds(
    lambda of_seeds, num_scales, algorithm: results(
        of_seeds, algorithm=algorithm, **{"autoencoder.num_scales": num_scales}
    ),
    st.dictionaries(st.integers(0, 9), st.lists(scores, min_size=1, max_size=4), min_size=1, max_size=3),
    st.integers(1, 10),
    st.text(st.characters(codec="utf-8"), max_size=8),
)


@given(table=tables)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_what_is_loaded(tmp_path: Path, table: pd.DataFrame) -> None:
    write_parquet(table, tmp_path / "results.parquet")

    assert_frame_equal(load(tmp_path), table)


def test_a_file_its_directory_and_its_uri_load_the_same(tmp_path: Path) -> None:
    table = results({0: [1.0, 2.0]})
    file = tmp_path / "run" / "episodes.parquet"
    write_parquet(table, file)

    for location in (file, file.parent, str(file), file.as_uri(), file.parent.as_uri(), file.parent.as_uri() + "/"):
        assert_frame_equal(load(location), table)


def test_a_half_finished_sweep_loads_from_its_pieces(tmp_path: Path) -> None:
    write_parquet(results({0: [1.0]}), tmp_path / "episodes" / "trial_0-seed_0.parquet")
    write_parquet(results({1: [2.0]}), tmp_path / "episodes" / "trial_0-seed_1.parquet")

    assert load(tmp_path)["normalized_score"].tolist() == [1.0, 2.0]


def test_the_results_of_a_finished_sweep_stand_for_its_pieces(tmp_path: Path) -> None:
    write_parquet(results({0: [1.0]}), tmp_path / "episodes" / "trial_0.parquet")
    write_parquet(results({0: [3.0]}), tmp_path / "results.parquet")

    assert load(tmp_path)["normalized_score"].tolist() == [3.0]


def test_a_directory_of_runs_loads_each_episode_once(tmp_path: Path) -> None:
    write_parquet(results({0: [1.0, 2.0]}), tmp_path / "sweep" / "results.parquet")
    write_parquet(results({0: [1.0, 2.0], 1: [3.0]}), tmp_path / "again" / "episodes.parquet")

    assert sorted(load(tmp_path)["normalized_score"]) == [1.0, 2.0, 3.0]


def test_the_same_configuration_on_two_datasets_is_not_a_duplicate(tmp_path: Path) -> None:
    write_parquet(results({0: [1.0]}, dataset_id="local/pen/expert-v0"), tmp_path / "a" / "episodes.parquet")
    write_parquet(results({0: [2.0]}, dataset_id="D4RL/pen/expert-v2"), tmp_path / "b" / "episodes.parquet")

    assert len(load(tmp_path)) == 2


def test_sweeps_of_different_parameters_load_as_one_table_with_gaps(tmp_path: Path) -> None:
    write_parquet(
        results({0: [1.0]}, config_hash="a", **{"transformer.depth": 2}), tmp_path / "depth" / "results.parquet"
    )
    write_parquet(
        results({0: [2.0]}, config_hash="b", **{"policy.sampling": "greedy"}), tmp_path / "policy" / "results.parquet"
    )

    table = load(tmp_path)

    assert tuple(table.columns) == (*RESULT_COLUMNS, "transformer.depth", "policy.sampling")
    assert table["transformer.depth"].isna().tolist() == [False, True]


def test_directory_names_do_not_become_columns(tmp_path: Path) -> None:
    write_parquet(results({0: [1.0]}), tmp_path / "trial_0_lr=0.1" / "episodes.parquet")

    assert tuple(load(tmp_path).columns) == RESULT_COLUMNS


def test_what_an_interrupted_write_left_behind_is_not_read(tmp_path: Path) -> None:
    write_parquet(results({0: [1.0]}), tmp_path / "episodes" / "trial_0.parquet")
    (tmp_path / "episodes" / ".trial_1.parquet.x7f.parquet").write_bytes(b"PAR1")

    assert len(load(tmp_path)) == 1


def test_nothing_to_load_is_said_with_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MageError, match=r"looked for results\.parquet"):
        load(tmp_path)
    with pytest.raises(MageError, match=r"looked for trials\.parquet"):
        load_trials(tmp_path)
    with pytest.raises(MageError, match=r"nothing at .*nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(MageError, match="cannot open gopher://"):
        load("gopher://a/b")


def test_a_file_that_is_no_results_table_is_named(tmp_path: Path) -> None:
    torn = tmp_path / "results.parquet"
    torn.write_bytes(b"PAR1 but no more")
    with pytest.raises(MageError, match=r"results\.parquet is not a readable Parquet file"):
        load(tmp_path)

    write_parquet(pd.DataFrame({"scenario": ["pen-expert"]}), torn)
    with pytest.raises(MageError, match="no column algorithm, config_hash"):
        load(tmp_path)


def test_trials_load_from_the_sweep_that_wrote_them(tmp_path: Path) -> None:
    table = trials({"transformer.depth": [1, 2, 4]}, [10.0, None, 30.0])
    write_parquet(table, tmp_path / "trials.parquet")
    write_parquet(results({0: [1.0]}), tmp_path / "results.parquet")

    loaded = load_trials(tmp_path)

    assert tuple(loaded.columns) == (*TRIAL_COLUMNS, "transformer.depth")
    assert loaded["status"].tolist() == ["finished", "failed", "finished"]
    assert np.array_equal(loaded["score"], [10.0, np.nan, 30.0], equal_nan=True)


@contextmanager
def no_room_for(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, which a writer sees as it sees a full disk: an OSError half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_table_and_no_half_one(tmp_path: Path) -> None:
    before = results({0: [1.0]})
    write_parquet(before, tmp_path / "results.parquet")

    with no_room_for(1000), pytest.raises(MageError, match=r"cannot write .*results\.parquet"):
        write_parquet(results({0: list(range(5000))}), tmp_path / "results.parquet")

    assert os.listdir(tmp_path) == ["results.parquet"]
    assert_frame_equal(load(tmp_path), before)


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(MageError, match="cannot write"):
        write_parquet(results({0: [1.0]}), tmp_path / "file" / "results.parquet")


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["1e-3", 0.01, None], ["1e-3", "0.01", None]),
        ([[1, 4], "[2,4]", None], ["[1, 4]", "[2,4]", None]),
        ([True, 1, "x"], ["true", "1", "x"]),
        (["a broken \ud800 text", None, ""], ["a broken ? text", None, ""]),
        ([{"a": [1]}, 2, 3.5], ['{"a": [1]}', "2", "3.5"]),
    ],
)
def test_a_column_that_parquet_has_no_type_for_is_kept_as_text(tmp_path: Path, values: list, kept: list) -> None:
    write_parquet(pd.DataFrame({"odd": pd.Series(values, dtype=object), "plain": [1, 2, 3]}), tmp_path / "t.parquet")
    table = pd.read_parquet(tmp_path / "t.parquet")
    assert [None if value is None or value != value else value for value in table["odd"]] == kept
    assert list(table["plain"]) == [1, 2, 3]
