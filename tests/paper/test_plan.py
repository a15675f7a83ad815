"""What tables cost is counted as the sweep trains, and priced only where that very thing was measured."""

import pandas as pd
import pytest

from mage.paper.plan import plan, summary_of
from mage.paper.tables import get_tables, narrowed, union
from mage.search.plan import make_plan
from mage.search.settings import SweepSettings, make_settings
from tests.test_cli import error_of, run_well

COSTS = pd.DataFrame(
    [("iql", "pen-expert", "cpu", 300.0, 0.6), ("mage", "pen-expert", "cpu", 3600.0, 0.0)],
    columns=["algorithm", "scenario", "preset", "training_cpu_seconds", "cpu_seconds_per_episode"],
)


def sweep(*numbers: int, algorithms: tuple[str, ...] = (), only: tuple[str, ...] = (), **more: object) -> SweepSettings:
    """That of tables of the paper."""
    tables = narrowed(get_tables(numbers), only, algorithms)
    return make_settings(preset="cpu", **union(tables, "cpu"), **more)


def test_a_measured_preset_costs_its_trainings_and_the_episodes_of_each() -> None:
    settings = sweep(1, algorithms=("iql",), only=("pen-expert", "pen-human"), seeds=5, episodes=100)
    planned = plan(settings, COSTS).set_index("scenario")
    assert planned.loc["pen-expert", "core_hours"] == pytest.approx(5 * (300 + 100 * 0.6) / 3600)
    assert planned["core_hours"].isna().to_dict() == {"pen-expert": False, "pen-human": True}
    assert planned["trainings"].to_list() == [5, 5]
    told = summary_of(plan(settings, COSTS))
    assert told[1] == "core-hours, with evaluations: 0.5 for 5 of the trainings, unknown for 5"
    assert told[2:] == [
        "1 GPU, a training each at a time: 10 one after another; hours unknown",
        "8 GPUs, a training each at a time: 2 one after another; hours unknown",
        "64 GPUs, a training each at a time: 1 one after another; hours unknown",
    ]


def test_what_differs_from_the_measured_preset_has_no_price() -> None:
    settings = sweep(1, algorithms=("iql",), only=("pen-expert",), seeds=5, overrides=["training.critic.batch_size=8"])
    assert plan(settings, COSTS)["core_hours"].isna().all()
    assert summary_of(plan(settings, COSTS))[1] == "core-hours, with evaluations: unknown"


def test_stages_that_rows_share_are_counted_and_only_the_full_mage_of_them_has_a_price() -> None:
    (row,) = plan(sweep(7, only=("pen-expert",), seeds=3), COSTS).to_dict("records")
    # without the return in the decoder stage 1 is another one; the three others share theirs
    assert (row["configurations"], row["trainings"], row["shared_stages"]) == (4, 12, 6)
    assert (row["measured"], row["core_hours"]) == (3, 3.0)


def test_as_many_configurations_are_planned_as_the_sweep_tries() -> None:
    settings = sweep(7, 26, only=("pen-expert",))
    assert plan(settings, COSTS)["configurations"].sum() == make_plan("pen-expert", settings).trials


def test_the_plan_is_printed_and_trains_nothing() -> None:
    told = run_well(
        "paper", "plan", "--table", 2, 8, "--algorithms", "mage", "--scenarios", "kitchen-mixed", "--seeds", 2
    )
    assert "trainings: 2, of 1 configurations; 0 take their first stage from another" in told
    told = run_well("paper", "plan", "--table", 8, "--algorithms", "mage")
    assert told == "table 8: inference times of untrained networks, minutes on one core\n"
    assert "no table '9'" in error_of("paper", "plan", "--table", 9)
