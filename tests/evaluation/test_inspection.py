"""The scan of score against target return, visited states, and findings, on policies really trained and played."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mage.config import Config, make_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.evaluation.findings import findings, own_row
from mage.evaluation.inspection import (
    VisitedStates,
    add_rollouts,
    inspect_rollouts,
    read_inspection,
    summarise,
    targets_to_ask,
)
from mage.evaluation.rollout import Rollout
from mage.files import finite
from mage.model.policy import Policy
from mage.training.inspection import QUANTILES, inspect_training, sees_return, stage_in_brief
from mage.training.trainer import History, Trained, Trainer, save_run

FEW = 3


def reference(config: Config, algorithm: str, steps: int = 10, **evaluation: object) -> Config:
    """The configuration of a small reference algorithm."""
    data = config.model_dump(mode="json")
    data |= {"algorithm": algorithm, "behaviour_cloning": {"hidden_dim": 64, "hidden_layers": 2}}
    data["decision_transformer"] |= {"embed_dim": 16, "num_heads": 2, "depth": 1, "context": 4}
    data["training"]["reference"] = {"steps": steps, "batch_size": 128, "learning_rate": 2e-3, "warmup_steps": 5}
    data["evaluation"] |= evaluation
    return make_config(data)


def trained(trajectories: Trajectories, config: Config) -> Trainer:
    trainer = Trainer(trajectories, config, seed=0)
    trainer.advance(trainer.total_steps)
    return trainer


def names(inspection: dict) -> set[str]:
    return {finding["name"] for finding in findings(inspection)}


@pytest.fixture(scope="module")
def of_data(tiny_trainer: Trainer) -> dict:
    """The inspection as training leaves it."""
    return inspect_training(tiny_trainer)


@pytest.fixture(scope="module")
def inspection(tiny_trainer: Trainer, of_data: dict) -> dict:
    """With rollouts."""
    (rollouts,) = inspect_rollouts([tiny_trainer.policy()], [of_data["targets"]], FEW)
    return of_data | {"rollouts": rollouts}


def test_training_tells_its_losses_and_the_returns_of_the_data(of_data: dict, tiny_trainer: Trainer) -> None:
    assert [stage["stage"] for stage in of_data["stages"]] == ["autoencoder", "transformer", "inverse_dynamics"]
    losses = [row["loss"] for row in tiny_trainer.history if row["stage"] == "transformer"]
    assert of_data["stages"][1]["metrics"]["loss"] == losses[-1]
    assert "token_accuracy" in of_data["stages"][1]["metrics"]
    assert [target["quantile"] for target in of_data["targets"]] == list(QUANTILES)
    assert of_data["targets"][-1]["target"] == pytest.approx(tiny_trainer.policy().target_return)
    assert json.loads(json.dumps(of_data, allow_nan=False)) == of_data


def test_a_loss_that_still_falls_at_the_end_is_told() -> None:
    history: History = [
        {"stage": "reference", "step": step, "loss": loss} for step, loss in ((25, 4.0), (75, 2.0), (100, 1.0))
    ]
    assert stage_in_brief(history, "reference")["fall_at_end"] == 0.5
    assert stage_in_brief(history[-1:], "reference")["fall_at_end"] is None


def test_the_scan_plays_every_target_and_visits_states(inspection: dict, tiny_policy: Policy) -> None:
    scan = inspection["rollouts"]["scan"]
    asked = [row["target"] for row in scan]
    assert asked == sorted(set(asked)) and len(asked) > 2
    own = own_row(inspection)
    assert own is not None and own["target"] == pytest.approx(tiny_policy.target_return)
    assert 1.0 in own["quantiles"]
    assert all(row["visited"]["states"] == FEW * 120 for row in scan)
    assert -1 <= inspection["rollouts"]["spearman"] <= 1


def test_a_row_of_the_scan_is_the_mean_of_the_episodes_at_that_target(inspection: dict, tiny_policy: Policy) -> None:
    row = inspection["rollouts"]["scan"][1]
    rollout = Rollout(tiny_policy.task, FEW)
    episodes = rollout.run(tiny_policy, range(FEW), return_to_go=row["target"])
    rollout.close()
    scores = [episode["normalized_score"] for episode in episodes]
    assert row["score"] == pytest.approx(np.mean(scores))
    assert row["score_standard_error"] == pytest.approx(np.std(scores, ddof=1) / np.sqrt(FEW))
    assert row["success_rate"] == pytest.approx(100 * np.mean([episode["success"] for episode in episodes]))
    assert row["length"] == 120


UNASKED = ("transformer.return_condition=none", "inverse_dynamics.inputs=latent")
BY_STATE = ("policy.sampling=sample", "policy.candidates=4")


@pytest.mark.parametrize(
    "overrides",
    [
        ("algorithm=bc",),
        ("algorithm=return_bc",),
        ("algorithm=dt",),
        ("inverse_dynamics.inputs=latent",),
        UNASKED,
        (*UNASKED, "inverse_dynamics.inputs=latent_and_observation"),
        (*UNASKED, "inverse_dynamics.inputs=latent_and_condition"),
        (*UNASKED, "inverse_dynamics.inputs=trajectory"),
        (*UNASKED, "inverse_dynamics.inputs=trajectory", "autoencoder.return_in_decoder=false"),
        (*UNASKED, *BY_STATE),
        (*UNASKED, *BY_STATE, "autoencoder.return_in_decoder=false"),
        (*UNASKED, *BY_STATE, "autoencoder.return_in_decoder=false", "transformer.condition_weight=0"),
        (*UNASKED, *BY_STATE, "autoencoder.return_in_decoder=false", "transformer.condition_path=decoder"),
    ],
)
def test_a_policy_sees_the_return_where_asking_for_another_changes_what_it_does(
    tiny_maze: Trajectories, tiny_config: Config, overrides: tuple[str, ...]
) -> None:
    small = make_config(reference(tiny_config, "mage").model_dump(), overrides)
    trainer = Trainer(tiny_maze, small, seed=0)
    for network in trainer.networks.values():
        for parameter in network.parameters():  # adapters and other parts that begin at zero, too
            torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    policy, observations = trainer.policy(), tiny_maze.observations[:200:4]

    def actions(target: float) -> np.ndarray:
        policy.reset()
        generators = [torch.Generator().manual_seed(number) for number in range(len(observations))]
        return policy.act(observations, target, generators)

    assert (not np.array_equal(actions(-50.0), actions(50.0))) == sees_return(small)


@pytest.mark.slow
def test_return_conditioned_behaviour_cloning_scores_what_it_is_asked_for(
    tiny_maze: Trajectories, tiny_config: Config
) -> None:
    trainer = trained(tiny_maze, reference(tiny_config, "return_bc", steps=2500))
    found = inspect_training(trainer)
    (rollouts,) = inspect_rollouts([trainer.policy()], [found["targets"]], 10)
    assert rollouts["spearman"] > 0.7
    assert rollouts["scan"][-1]["score"] > 3 * max(rollouts["scan"][0]["score"], 1.0)
    assert found["data"] is None and rollouts["scan"][0]["visited"] is None
    assert not names(found | {"rollouts": rollouts}) & {"target_hardly_matters", "more_gives_less"}


def test_behaviour_cloning_has_no_target_to_scan(tiny_maze: Trajectories, tiny_config: Config) -> None:
    trainer = trained(tiny_maze, reference(tiny_config, "bc"))
    found = inspect_training(trainer)
    (rollouts,) = inspect_rollouts([trainer.policy()], [found["targets"]], 2)
    (row,) = rollouts["scan"]
    assert row["target"] is None and row["own"] and rollouts["spearman"] is None
    assert "no_target" in names(found | {"rollouts": rollouts})


def test_a_decremented_target_is_scanned_over_the_returns_of_whole_episodes(
    tiny_maze: Trajectories, tiny_config: Config
) -> None:
    trainer = trained(tiny_maze, reference(tiny_config, "dt"))
    found = inspect_training(trainer)
    assert found["target_return_rule"] == "decremented"
    # undiscounted: those of the recorded episodes
    assert found["targets"][2]["target"] == pytest.approx(np.quantile(tiny_maze.episode_returns, 0.5))
    (rollouts,) = inspect_rollouts([trainer.policy()], [found["targets"]], 1)
    assert any(row["own"] for row in rollouts["scan"])


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
    tiny_trainer: Trainer, tiny_policy: Policy, of_data: dict, tmp_path: Path
) -> None:
    save_run(tmp_path, Trained(tiny_policy, tiny_trainer.history, of_data))
    add_rollouts([tmp_path], [tiny_policy], episodes=0)
    assert read_inspection(tmp_path) == of_data
    add_rollouts([tmp_path], [tiny_policy], episodes=1)
    written = read_inspection(tmp_path)
    assert written["rollouts"]["episodes"] == 1 and written["data"] == of_data["data"]
    # one episode has no standard error, and NaN is no JSON
    assert written["rollouts"]["scan"][0]["score_standard_error"] is None


def test_a_dataset_without_an_environment_is_inspected_without_rollouts(
    tiny_trainer: Trainer, tiny_policy: Policy, of_data: dict, tmp_path: Path
) -> None:
    policy = copy.copy(tiny_policy)
    policy.task = policy.task.model_copy(update={"environment_spec": ""})
    save_run(tmp_path, Trained(policy, tiny_trainer.history, of_data))
    add_rollouts([tmp_path], [policy], episodes=2)
    assert read_inspection(tmp_path)["rollouts"] is None


def test_an_inspection_of_another_version_or_damaged_is_refused(tmp_path: Path, of_data: dict) -> None:
    path = tmp_path / "inspection.json"
    for text, message in (
        (None, r"inspection\.json is missing"),
        ("{", "damaged"),
        ("[]", "damaged"),
        (json.dumps(of_data | {"format_version": 1}), "format version 1"),
    ):
        if text is not None:
            path.write_text(text)
        with pytest.raises(MageError, match=message):
            read_inspection(tmp_path)


def test_numbers_that_are_not_finite_become_null() -> None:
    assert finite({"a": [float("nan"), 1.5], "b": (float("inf"), None, "x"), "c": 2}) == {
        "a": [None, 1.5],
        "b": [None, None, "x"],
        "c": 2,
    }


def test_an_i_that_ignores_z_is_a_finding_with_its_number(tiny_trainer: Trainer, of_data: dict) -> None:
    assert "i_ignores_z" not in names(of_data)
    trainer = copy.copy(tiny_trainer)
    trainer.networks = copy.deepcopy(tiny_trainer.networks)
    dynamics = trainer.networks["autoencoder"].inverse_dynamics
    first = next(module for module in dynamics.modules() if isinstance(module, torch.nn.Linear))  # type: ignore[union-attr]
    with torch.no_grad():
        first.weight.zero_()
    found = next(finding for finding in findings(inspect_training(trainer)) if finding["name"] == "i_ignores_z")
    assert found["value"] == 0
    assert "I ignores Z: shuffling true Z changes the action error by 0 %" in found["text"]


def test_states_off_the_data_are_a_finding_that_names_the_dimensions(inspection: dict) -> None:
    far = copy.deepcopy(inspection)
    own = own_row(far)
    assert own is not None
    gap = own["visited"]["generated"]["adapted"]
    gap["state"], gap["state_dimensions"] = 9.0, [0.0, 40.0, 1.0, 2.0, 0.0, 11.0]
    (found,) = [f for f in findings(far) if f["name"] == "visited_states_are_off_the_data"]
    assert found["value"] == 9.0
    assert "worst in observation dimensions 1 (40), 5 (11), 3 (2)" in found["text"]


@pytest.mark.parametrize(
    ("scores", "name"),
    [
        ([10.0, 11.0, 10.5], "target_hardly_matters"),
        ([60.0, 40.0, 5.0], "more_gives_less"),
        ([5.0, 60.0, 20.0], "another_target_is_better"),
        ([5.0, 40.0, 60.0], None),
    ],
)
def test_what_the_scan_suggests(of_data: dict, scores: list[float], name: str | None) -> None:
    rows = [
        {
            "target": float(number),
            "quantiles": [number / 2],
            "own": number == 2,
            "score": score,
            "episodes": {"score": [score - 4 * number, score + 4 * number]},
            "score_standard_error": 4.0 * number,
            "success_rate": None,
            "visited": None,
        }
        for number, score in enumerate(scores)
    ]
    of_scan = {"target_hardly_matters", "more_gives_less", "another_target_is_better"}
    found = names(of_data | {"rollouts": summarise(rows, 10, has_scores=True)}) & of_scan
    assert (name in found) if name else not found


def test_every_finding_holds_its_number_and_a_sentence(inspection: dict) -> None:
    for finding in findings(inspection):
        assert set(finding) == {"name", "value", "text"}
        assert any(character.isdigit() for character in finding["text"])
