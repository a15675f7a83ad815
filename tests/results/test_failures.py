"""What failed stays in every table: shown, counted, and as bad as a random policy."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mage.results import aggregate, compare, improvement, load, load_failures, profile, runs, summary, write_parquet
from mage.results.failures import FAILURE_COLUMNS, failed_seeds, failure_lines, unfinished
from tests.results.tables import results, trials
from tests.test_cli import run_well

SCENARIO = "maze2d-umaze"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two variants of two seeds: on a maze mage has played and bc's trial has failed; both have played pen-expert."""
    folder = tmp_path / "runs"
    good = {0: [80.0, 90.0], 1: [60.0, 70.0]}
    played = results(good, scenario=SCENARIO, config_hash="0" * 12, variant="mage")
    write_parquet(played, folder / SCENARIO / "results.parquet")
    other = results(good, variant="bc", algorithm="bc", config_hash="b"), results(good, variant="mage", config_hash="c")
    write_parquet(pd.concat(other), folder / "pen-expert" / "results.parquet")
    table = trials({"variant": ["mage", "bc"]}, [75.0, None], scenario=SCENARIO, log="/logs/1")
    write_parquet(table, folder / SCENARIO / "trials.parquet")
    write_parquet(table, folder / "trials.parquet")  # as sweeps have it: once a scenario, once for all
    (folder / "sweep.json").write_text(json.dumps({"variants": {"mage": [], "bc": ["algorithm=bc"]}, "overrides": []}))
    return folder


def test_a_failed_trial_is_a_row_a_seed_that_says_whose_it_was(sweep: Path) -> None:
    failures = load_failures(sweep, load(sweep))
    assert tuple(failures.columns) == (*FAILURE_COLUMNS, "variant")
    assert failures[["scenario", "algorithm", "training_seed", "variant"]].to_numpy().tolist() == [
        [SCENARIO, "bc", 0, "bc"],
        [SCENARIO, "bc", 1, "bc"],
    ]
    assert set(failures["dataset_id"]) == {"local/pen/expert-v0"}
    assert failure_lines(failures) == [
        f"{SCENARIO}: FAILED bc [variant=bc], 2 training seed(s): RuntimeError: out of memory (log: /logs/1)"
    ]


def test_a_method_that_failed_on_a_scenario_is_a_random_policy_there(sweep: Path) -> None:
    table = load(sweep)
    failures = load_failures(sweep, table)
    without = aggregate(table, resamples=50).set_index("method")
    assert (without.loc["bc", "scenarios"], without.loc["bc", "mean"]) == (1, 75.0)  # as if it had never failed
    counted = aggregate(table, resamples=50, failures=failures)
    shown = counted[["method", "scenarios", "runs", "failed", "mean"]].to_numpy().tolist()
    assert shown == [["mage", 2, 4, 0, 75.0], ["bc", 2, 4, 2, 37.5]]
    better = improvement(table, resamples=50, failures=failures).set_index(["method", "over"])
    assert better.loc[("mage", "bc"), "probability"] == 0.75
    shares = profile(table, [0.0, 50.0], resamples=50, failures=failures).set_index(["method", "threshold"])["share"]
    assert (shares["bc", 0.0], shares["mage", 0.0]) == (0.5, 1.0)


def test_a_configuration_that_failed_is_chosen_after_every_one_that_did_not() -> None:
    bad = results({0: [-5.0], 1: [-7.0]}, config_hash="bad")
    failures = pd.DataFrame(
        [["pen-expert", "mage", "lost", "local/pen/expert-v0", seed, "t", "e", "l"] for seed in (0, 1)],
        columns=list(FAILURE_COLUMNS),
    )
    table = runs(bad, failures=failures)
    assert (table["score"].tolist(), table["of"].tolist()) == ([-5.0, -7.0], [2, 2])
    shown = summary(bad, failures)
    assert shown["config_hash"].tolist() == ["bad", "lost"]
    assert shown[["seeds", "episodes", "failed", "mean"]].to_numpy().tolist() == [[2, 2, 0, -6.0], [2, 0, 2, 0.0]]
    (row,) = compare(bad, failures=failures).to_dict("records")
    assert (row["config_hash"], row["measured_mean"], row["configurations"], row["failed"]) == ("bad", -6.0, 2, 2)


def test_one_seed_that_failed_draws_the_mean_of_all_down() -> None:
    failures = pd.DataFrame(
        [["pen-expert", "mage", "0123456789ab", "local/pen/expert-v0", 2, "t", "e", "l"]],
        columns=list(FAILURE_COLUMNS),
    )
    (row,) = summary(results({0: [90.0], 1: [60.0]}), failures).to_dict("records")
    assert (row["seeds"], row["failed"], row["mean"], row["mean_return"]) == (3, 1, 50.0, 750.0)


def test_without_failures_every_table_is_as_it_was() -> None:
    table = results({0: [90.0], 1: [60.0]})
    pd.testing.assert_frame_equal(summary(table, pd.DataFrame()).drop(columns="failed"), summary(table))


def test_where_nothing_is_normalised_nothing_is_made_up(sweep: Path) -> None:
    table = load(sweep).assign(normalized_score=float("nan"))
    shown = summary(table, load_failures(sweep, table))
    assert shown.loc[shown["failed"] == 2, "mean"].isna().all()


def test_what_another_trial_of_the_same_configuration_has_played_is_no_failure(sweep: Path) -> None:
    table = pd.read_parquet(sweep / "trials.parquet")
    for path in (sweep / "trials.parquet", sweep / SCENARIO / "trials.parquet"):
        write_parquet(table.assign(config_hash="0" * 12), path)
    assert load_failures(sweep, load(sweep)).empty


def test_values_that_exclude_each_other_failed_too(sweep: Path) -> None:
    table = pd.read_parquet(sweep / "trials.parquet").assign(config_hash=None)
    write_parquet(table, sweep / "trials.parquet")
    write_parquet(table, sweep / SCENARIO / "trials.parquet")
    (sweep / "sweep.json").write_text("{torn")
    failures = load_failures(sweep, load(sweep))
    assert set(failures["config_hash"]) == {"trial_1"} and len(failures) == 2


def test_a_failed_trial_is_of_the_method_that_its_values_make_it() -> None:
    table = trials({"condition.kind": ["return", "advantage", "both"]}, [None] * 3)
    failures = failed_seeds(table, {"overrides": ["algorithm=return_bc"]})
    assert list(dict.fromkeys(failures["algorithm"])) == ["return_bc", "return_bc (advantage)"]


def test_trainings_without_a_score_are_told_of(tmp_path: Path) -> None:
    for name, files in {"a": [], "b": ["policy.json"], "c": ["policy.json", "episodes.parquet"]}.items():
        for file in ["config.json", "run.json", *files]:
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).touch()
    first, second = unfinished(tmp_path)
    assert first.startswith(f"{tmp_path}/a: its training has not ended")
    assert second == f"{tmp_path}/b: nobody has evaluated it; `mage evaluate {tmp_path}/b` does"


def test_every_verb_shows_and_counts_what_failed(sweep: Path) -> None:
    for verb in ("show", "compare", "statistics"):
        shown = run_well("results", verb, sweep)
        assert f"{SCENARIO}: FAILED bc [variant=bc], 2 training seed(s): RuntimeError: out of memory" in shown
        assert "1 trial(s), 2 run(s) failed: each run counts as a random policy, with score 0" in shown
    assert "37.5" in run_well("results", "statistics", sweep)
