"""The scan of score against target return, and visited states, on policies really trained and played."""

import copy
from pathlib import Path

import numpy as np
import pytest

from mage.config import make_config, merge
from mage.data.trajectories import Trajectories
from mage.evaluation.inspection import VisitedStates, add_rollouts, inspect_rollouts, targets_to_ask
from mage.evaluation.rollout import Rollout
from mage.inspection.document import Inspection, read_inspection
from mage.inspection.findings import findings
from mage.interface import Policy
from mage.interface.explanation import own_row
from mage.training.inspection import inspect_training
from mage.training.trainer import Trained, Trainer, save_run
from tests.algorithms.builders import reference_config

FEW = 3  # episodes a target of `tiny_scan`


def trained(trajectories: Trajectories, algorithm: str, steps: int = 10, *overrides: str) -> Trainer:
    trainer = Trainer(trajectories, reference_config(algorithm, steps, overrides), seed=0)
    trainer.advance(trainer.total_steps)
    return trainer


def names(inspection: Inspection) -> set[str]:
    return {finding["name"] for finding in findings(inspection)}


def test_the_scan_plays_every_target_and_visits_states(tiny_scan: Inspection, tiny_policy: Policy) -> None:
    scan = tiny_scan["rollouts"]["scan"]
    asked = [row["target"] for row in scan]
    assert asked == sorted(set(asked)) and len(asked) > 2
    own = own_row(tiny_scan)
    assert own is not None and own["target"] == pytest.approx(tiny_policy.target_return)
    assert 1.0 in own["quantiles"]
    assert all(row["visited"]["states"] == FEW * 120 for row in scan)
    assert -1 <= tiny_scan["rollouts"]["spearman"] <= 1


def test_a_row_of_the_scan_is_the_mean_of_the_episodes_at_that_target(
    tiny_scan: Inspection, tiny_policy: Policy
) -> None:
    row = tiny_scan["rollouts"]["scan"][1]
    rollout = Rollout(tiny_policy.task, FEW)
    episodes = rollout.run(tiny_policy, range(FEW), return_to_go=row["target"])
    rollout.close()
    scores = [episode["normalized_score"] for episode in episodes]
    assert row["score"] == pytest.approx(np.mean(scores))
    assert row["score_standard_error"] == pytest.approx(np.std(scores, ddof=1) / np.sqrt(FEW))
    assert row["success_rate"] == pytest.approx(100 * np.mean([episode["success"] for episode in episodes]))
    assert row["length"] == 120


@pytest.mark.slow
def test_return_conditioned_behaviour_cloning_scores_what_it_is_asked_for(
    tiny_maze: Trajectories,
) -> None:
    larger = ["behaviour_cloning.hidden_dim=64", "training.reference.batch_size=128"]
    trainer = trained(tiny_maze, "return_bc", 2500, *larger, "training.reference.learning_rate=0.002")
    found = inspect_training(trainer)
    (rollouts,) = inspect_rollouts([trainer.policy()], [found["targets"]], 10)
    assert rollouts["spearman"] > 0.7
    assert rollouts["scan"][-1]["score"] > 3 * max(rollouts["scan"][0]["score"], 1.0)
    assert found["data"] is None and rollouts["scan"][0]["visited"] is None
    assert not names(found | {"rollouts": rollouts}) & {"target_hardly_matters", "more_gives_less"}


def test_behaviour_cloning_has_no_target_to_scan(tiny_maze: Trajectories) -> None:
    trainer = trained(tiny_maze, "bc")
    found = inspect_training(trainer)
    (rollouts,) = inspect_rollouts([trainer.policy()], [found["targets"]], 2)
    (row,) = rollouts["scan"]
    assert row["target"] is None and row["own"] and rollouts["spearman"] is None
    assert "no_target" in names(found | {"rollouts": rollouts})


def test_a_decremented_target_is_scanned_over_the_returns_of_whole_episodes(
    tiny_maze: Trajectories,
) -> None:
    trainer = trained(tiny_maze, "dt")
    found = inspect_training(trainer)
    assert found["target_return_rule"] == "decremented"
    # undiscounted: those of the recorded episodes
    assert found["targets"][2]["target"] == pytest.approx(np.quantile(tiny_maze.episode_returns, 0.5))
    (rollouts,) = inspect_rollouts([trainer.policy()], [found["targets"]], 1)
    assert any(row["own"] for row in rollouts["scan"])


def test_a_mage_that_sees_no_return_has_no_target_to_scan_either(tiny_policy: Policy) -> None:
    policy = copy.copy(tiny_policy)
    policy.agent = copy.copy(tiny_policy.agent)
    blind = {"transformer": {"return_condition": "none"}, "inverse_dynamics": {"inputs": "latent"}}
    policy.agent.config = make_config(merge(tiny_policy.config.model_dump(), blind))
    assert targets_to_ask(policy, [{"quantile": 1.0, "target": 3.0}]) == [
        {"target": None, "quantiles": [], "own": True}
    ]


def test_equal_targets_are_asked_for_once_and_the_own_one_always(tiny_policy: Policy) -> None:
    policy = copy.copy(tiny_policy)
    policy.target_return = 2.5
    known = [{"quantile": quantile, "target": target} for quantile, target in ((0.02, 0.0), (0.5, 0.0), (1.0, 3.0))]
    asked = targets_to_ask(policy, known)
    assert [(row["target"], row["quantiles"], row["own"]) for row in asked] == [
        (0.0, [0.02, 0.5], False),
        (2.5, [], True),
        (3.0, [1.0], False),
    ]


def test_visited_states_are_a_few_spread_evenly_over_the_steps() -> None:
    visited = VisitedStates(limit=100)
    for step in range(1000):
        visited(np.full((3, 2), step, np.float32), np.full(3, -step, np.float64))
    observations, targets = visited.kept()
    assert 50 <= len(targets) <= 100 and observations.shape == (len(targets), 2)
    steps = np.unique(observations[:, 0])
    assert set(np.diff(steps)) == {visited.stride} and steps[0] == 0 and steps[-1] > 900
    assert (targets == -observations[:, 0]).all()


def test_visited_states_do_not_change_with_the_array_that_was_shown() -> None:
    visited, shown = VisitedStates(), np.zeros((2, 2), np.float32)
    visited(shown, np.zeros(2))
    shown += 7
    assert not visited.kept()[0].any()


def test_a_rollout_of_an_inspection_is_written_beside_the_policy(
    tiny_trainer: Trainer, tiny_policy: Policy, tiny_inspection: Inspection, tmp_path: Path
) -> None:
    save_run(tmp_path, Trained(tiny_policy, tiny_trainer.history, tiny_inspection))
    add_rollouts([tmp_path], [tiny_policy], episodes=0)
    assert read_inspection(tmp_path) == tiny_inspection
    add_rollouts([tmp_path], [tiny_policy], episodes=1)
    written = read_inspection(tmp_path)
    assert written["rollouts"]["episodes"] == 1 and written["data"] == tiny_inspection["data"]
    # one episode has no standard error, and NaN is no JSON
    assert written["rollouts"]["scan"][0]["score_standard_error"] is None


def test_a_dataset_without_an_environment_is_inspected_without_rollouts(
    tiny_trainer: Trainer, tiny_policy: Policy, tiny_inspection: Inspection, tmp_path: Path
) -> None:
    policy = copy.copy(tiny_policy)
    policy.task = policy.task.model_copy(update={"environment_spec": ""})
    save_run(tmp_path, Trained(policy, tiny_trainer.history, tiny_inspection))
    add_rollouts([tmp_path], [policy], episodes=2)
    assert read_inspection(tmp_path)["rollouts"] is None
