"""Pictures that policies are played for, of a tiny policy that was really trained."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mage
from mage.evaluation.latency import milliseconds_a_step
from mage.evaluation.rollout import Rollout
from mage.evaluation.walks import walks
from mage.interface import Policy
from mage.report.policy_views import draw_walks, planned, time_steps
from mage.results import load_failures
from mage.results.plots.latency import draw_latency
from tests.test_cli import error_of, run_well


@pytest.fixture(scope="module")
def folder(tiny_policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views") / "run"
    tiny_policy.save(folder)
    mage.evaluate(folder, 2, log=lambda line: None)
    return folder


def test_trajectories_and_the_plans_of_every_scale_have_a_panel_each(folder: Path) -> None:
    figure = draw_walks(folder, 2)
    assert [axis.get_title() for axis in figure.axes[:4]] == [
        "2 trajectories",
        "plans, scale 1",
        "plans, scales 1 to 2",
        "plans, scales 1 to 3",
    ]
    lengths = mage.results.load(folder)["length"]
    drawn = [len(lines.get_segments()) for lines in figure.axes[0].collections]  # type: ignore[attr-defined]
    assert drawn == [length - 1 for length in lengths]


def test_a_plan_begins_where_its_walk_was_by_then(tiny_policy: Policy) -> None:
    rollout = Rollout(tiny_policy.task, 5)
    (walk,) = walks(tiny_policy, 1, rollout)
    rollout.close()
    views = planned(tiny_policy, [walk])
    horizon = tiny_policy.config.model_dump()["autoencoder"]["horizon"]
    assert len(views) == 3
    for name, (states,) in views.items():
        assert len(states) == -(-len(walk.observations) // horizon) * (horizon + 1)
        assert np.isnan(states[horizon :: horizon + 1]).all()
        later = slice(2 * horizon, 2 * horizon + 1)
        (planned_there,) = tiny_policy.plans(walk.observations[later], walk.targets[later])[name]
        third = states[2 * (horizon + 1) : 3 * (horizon + 1) - 1]
        np.testing.assert_allclose(third, planned_there, rtol=1e-4, atol=1e-4)


def test_a_point_is_the_best_configuration_and_what_its_step_took(folder: Path) -> None:
    results = mage.results.load(folder)
    table = time_steps(results, load_failures(folder, results), folder, ["."])
    (row,) = table.to_dict("records")
    assert row["score"] == pytest.approx(results["normalized_score"].mean())
    assert 0.05 < row["milliseconds"] < 1000
    (panel,) = draw_latency(table, "a CPU").axes
    assert np.asarray(panel.lines[0].get_xydata()).tolist() == [[row["score"], row["milliseconds"]]]
    assert panel.get_yscale() == "log"


def test_a_step_is_timed_as_often_as_there_is_time(tiny_policy: Policy) -> None:
    assert milliseconds_a_step(tiny_policy, steps=3, seconds=0.0) > 0


def test_the_command_draws_both_and_says_where_it_cannot(folder: Path, tmp_path: Path) -> None:
    run_well("results", "plot", folder, "--kind", "mazes", "--episodes", 1, "--to", tmp_path / "maze.png")
    run_well("results", "plot", folder, "--kind", "latency", "--to", tmp_path / "latency.pdf")
    assert {path.name for path in tmp_path.iterdir()} == {"maze.png", "latency.pdf"}
    (tmp_path / "empty").mkdir()
    assert "there is no policy at" in error_of("results", "plot", tmp_path / "empty", "--kind", "mazes")
    assert "no results at" in error_of("results", "plot", tmp_path / "empty", "--kind", "latency")


def test_methods_without_a_policy_are_nothing_to_plot() -> None:
    columns = ["scenario", "method", "score", "standard_error", "milliseconds"]
    with pytest.raises(mage.MageError, match="no method has a policy here"):
        draw_latency(pd.DataFrame(columns=columns), "a CPU")
