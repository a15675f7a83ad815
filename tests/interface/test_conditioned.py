"""A condition that is an advantage: what it changes for whoever trains, asks, shares and counts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mage.config import make_config
from mage.data.trajectories import Trajectories
from mage.evaluation.episodes import evaluate_policies
from mage.inspection.findings import findings
from mage.interface import Policy
from mage.interface.conditioned import ConditionedAlgorithm, Conditions
from mage.interface.policy import load_policy
from mage.results import compare
from mage.testing.toy import differences, play, small_config, toy_data, weights
from mage.training.inspection import inspect_training
from mage.training.trainer import Trainer
from tests.algorithms.builders import reference_config
from tests.config.messages import message_of

ADVANTAGE = ("condition.kind=advantage", "condition.hidden_dim=16", "condition.horizon=5")
SHORT = (*ADVANTAGE, "training.advantage.steps=8", "training.advantage.batch_size=8")
TINY_MAGE = (
    "autoencoder.embed_dim=16",
    "autoencoder.num_heads=2",
    "autoencoder.codebook_size=16",
    "transformer.embed_dim=16",
    "transformer.num_heads=2",
    "transformer.depth=1",
    "transformer.adapter_dim=4",
)
TINY_DT = ("decision_transformer.context=4", "decision_transformer.depth=1", "decision_transformer.embed_dim=16")
ALL = [("return_bc", ()), ("dt", TINY_DT), ("mage", TINY_MAGE)]
every_algorithm = pytest.mark.parametrize(("algorithm", "small"), ALL, ids=[name for name, _ in ALL])


UNDISCOUNTED = ("condition.discount=1", "evaluation.target_return_rule=decremented")


def trainer(algorithm: str, small: Sequence[str], artefacts: Path | None = None) -> Trainer:
    made = Trainer(toy_data(), small_config(algorithm, [*small, *SHORT]), seed=0, artefacts=artefacts)
    made.advance(made.total_steps)
    return made


def agent_of(trained: Trainer) -> ConditionedAlgorithm[Any]:
    assert isinstance(trained.agent, ConditionedAlgorithm)
    return trained.agent


@pytest.mark.parametrize("rule", ["decremented", "feasible"])
@pytest.mark.parametrize("algorithm", ["return_bc", "dt", "mage"])
def test_rules_of_returns_are_refused_in_one_line(algorithm: str, rule: str) -> None:
    message = message_of(f"algorithm={algorithm}", "condition.kind=advantage", f"evaluation.target_return_rule={rule}")
    assert f"evaluation.target_return_rule {rule}" in message
    assert "condition.kind advantage" in message


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("condition.kind=value", ["condition.kind", "advantage", "'value'"]),
        ("condition.expectile=1", ["condition.expectile", "less than 1"]),
        ("training.advantage.steps=0", ["training.advantage.steps", "at least 1"]),
    ],
)
def test_impossible_values_are_refused_in_one_line(override: str, said: list[str]) -> None:
    message = message_of("condition.kind=advantage", override)
    assert all(part in message for part in said), message


def test_bc_has_no_condition() -> None:
    assert "not of bc" in message_of("algorithm=bc", "condition.kind=advantage")


@pytest.mark.parametrize("algorithm", ["return_bc", "dt", "mage"])
def test_with_returns_nothing_else_of_it_counts(algorithm: str) -> None:
    plain = make_config({"algorithm": algorithm})
    changed = make_config(
        {"algorithm": algorithm}, ["condition.expectile=0.5", "condition.reward.shift=-1", "training.advantage.steps=7"]
    )
    assert (changed.hash(), changed.stages, changed.total_steps) == (plain.hash(), plain.stages, plain.total_steps)
    assert make_config({"algorithm": algorithm}, ["condition.kind=advantage"]).hash() != plain.hash()


def test_a_decision_transformer_of_advantages_is_asked_for_a_constant_and_discounts_as_the_scenario() -> None:
    plain, changed = (make_config({"algorithm": "dt", "condition": {"kind": kind}}) for kind in ("return", "advantage"))
    assert (plain.target_return_rule, plain.discount) == ("decremented", 1.0)
    assert (changed.target_return_rule, changed.discount) == ("constant", None)


@every_algorithm
def test_the_target_is_a_quantile_of_the_datas_advantages(algorithm: str, small: Sequence[str]) -> None:
    trained = trainer(algorithm, small)
    agent, policy = agent_of(trained), trained.policy()
    known = agent.conditions(trained.data)
    label_N = known.take(known.returns.known)[:, 0]
    assert (agent.asks, policy.ceiling, policy.decrements_target) == ("advantage", None, False)
    assert policy.target_return == pytest.approx(np.quantile(label_N, 0.95), abs=1e-5)
    asked = [row["target"] for row in inspect_training(trained)["targets"]]
    assert asked == [agent.target_advantage(quantile) for quantile in (0.02, 0.25, 0.5, 0.75, 0.9, 1.0)]
    low, high = (play(policy, targets=np.full(3, target)) for target in (-3.0, 3.0))
    assert not np.array_equal(low, high)


@every_algorithm
def test_what_is_asked_for_is_judged_by_the_advantages_from_there(algorithm: str, small: Sequence[str]) -> None:
    trained = trainer(algorithm, small)
    known, ceiling = agent_of(trained).conditions(trained.data), trained.ceiling
    condition_BY = known.take(known.returns.known)
    assert ceiling.share_feasible(condition_BY) == pytest.approx(95, abs=4)
    told = inspect_training(trained)["ceiling"]
    assert told is not None
    asked_B = torch.full((len(condition_BY), 1), trained.policy().target_return)
    expected = ceiling.share_feasible(torch.cat([asked_B, condition_BY[:, 1:]], 1))
    assert told["feasible"] == pytest.approx(expected, abs=10)  # of some of all states, those without a label too
    said = [each["text"] for each in findings(inspect_training(trained) | {"ceiling": told | {"feasible": 10.0}})]
    assert any(text.startswith("the target advantage ") and "90 % of the data's states" in text for text in said)


@every_algorithm
def test_what_is_asked_for_stands_where_the_datas_label_stood(algorithm: str, small: Sequence[str]) -> None:
    agent, data = agent_of(made := trainer(algorithm, small)), made.data
    rows = torch.tensor([0, 7, 39, 120])
    seen_BY = agent.conditions(data).take(rows)
    torch.testing.assert_close(agent.condition(data.recorded_observations(rows), seen_BY[:, 0]), seen_BY)


def test_without_it_the_conditions_are_the_returns_to_go() -> None:
    data = Trainer(toy_data(), small_config("return_bc", ()), seed=0).data
    rows = torch.tensor([[0, 7], [39, 120]])
    assert torch.equal(Conditions(data, None).take(rows), data.conditions(rows))


def test_the_value_comes_back_from_disk_with_the_policy(tmp_path: Path) -> None:
    trained = trainer("return_bc", ())
    trained.policy().save(tmp_path)
    loaded = load_policy(tmp_path).agent
    assert isinstance(loaded, ConditionedAlgorithm)
    assert loaded.advantage is not None
    observation_BS = trained.data.observations(torch.arange(5))
    own = agent_of(trained).advantage
    assert own is not None
    assert torch.equal(loaded.advantage(observation_BS), own(observation_BS))
    assert loaded.target_advantage(0.5) == own.quantile(0.5)


def test_a_value_that_was_stopped_half_way_is_the_undisturbed_one_to_the_bit(tmp_path: Path) -> None:
    alone, config = trainer("return_bc", ()), small_config("return_bc", SHORT)
    stopped = Trainer(toy_data(), config, seed=0)
    stopped.advance(5)
    stopped.save(tmp_path)
    continued = Trainer(toy_data(), config, seed=0)
    continued.load(tmp_path)
    continued.advance(continued.total_steps)
    assert differences(weights(continued), weights(alone)) == []
    assert continued.history[-1] == alone.history[-1]


def test_algorithms_share_a_value_and_mages_share_a_stage_1_as_well(tmp_path: Path) -> None:
    alone, first = trainer("return_bc", ()), trainer("mage", TINY_MAGE, tmp_path)
    assert {path.name.rpartition("-")[0] for path in tmp_path.iterdir()} == {"advantage", "autoencoder"}
    lines: list[str] = []
    for algorithm, small, taken in [
        ("return_bc", (), "advantage"),
        ("mage", (*TINY_MAGE, "transformer.condition_weight=0"), "autoencoder"),
        ("mage", (*TINY_MAGE, "inverse_dynamics.loss_weight=0.5"), "advantage"),
    ]:
        config = small_config(algorithm, [*small, *SHORT])
        found = Trainer(toy_data(), config, seed=0, artefacts=tmp_path, log=lines.append)
        assert lines.pop().startswith(f"{taken}: taken from {taken}-")
        own = found.agent.get_submodule("advantage").state_dict()
        assert differences(own, first.agent.get_submodule("advantage").state_dict()) == []
        assert differences(own, alone.agent.get_submodule("advantage").state_dict()) == []
        assert found.history == first.history[: len(found.history)] != []


def test_another_value_is_another_stage_1(tmp_path: Path) -> None:
    trainer("mage", TINY_MAGE, tmp_path)
    other = small_config("mage", [*TINY_MAGE, *SHORT, "condition.expectile=0.5"])
    assert Trainer(toy_data(), other, seed=0, artefacts=tmp_path).step == 0


def test_it_is_another_method_in_results() -> None:
    trained = trainer("return_bc", ()).policy()
    table = evaluate_policies([trained], episodes=2)
    assert set(table["algorithm"]) == {"return_bc (advantage)"}
    returns = table.assign(algorithm="return_bc", config_hash="0" * 12)
    both = compare(pd.concat([table, returns], ignore_index=True))
    assert sorted(both["algorithm"]) == ["return_bc", "return_bc (advantage)"]
    assert (both["configurations"] == 1).all()


def test_asked_for_a_high_advantage_it_does_better_than_asked_for_a_low_one(tiny_maze: Trajectories) -> None:
    value = ["condition.expectile=0.7", "training.advantage.steps=500", "training.advantage.batch_size=128"]
    width = [f"{part}.hidden_dim=64" for part in ("condition", "behaviour_cloning")]
    config = reference_config("return_bc", 1500, ["condition.kind=advantage", *value, *width])
    made = Trainer(tiny_maze, config, seed=0)
    made.advance(made.total_steps)
    policy: Policy = made.policy()
    low, high = (
        evaluate_policies(
            [Policy(policy.agent, policy.task, agent_of(made).target_advantage(quantile), 0)], episodes=10
        )
        for quantile in (0.05, 0.95)
    )
    assert high["return"].mean() > low["return"].mean() + 5


@pytest.mark.parametrize(("algorithm", "small"), [each for each in ALL if each[0] != "dt"])
def test_returns_are_discounted_as_is_said_when_learned_and_when_asked_for(
    algorithm: str, small: Sequence[str]
) -> None:
    plain = small_config(algorithm, small)
    config = small_config(algorithm, [*small, *UNDISCOUNTED, "evaluation.target_return_quantile=1"])
    made = Trainer(toy_data(), config, seed=0)
    policy, data = made.policy(), made.trajectories
    assert policy.target_return == pytest.approx(max(data.episode_returns))
    assert data.returns_to_go[0] == pytest.approx(data.episode_returns[0])
    assert policy.decrements_target and policy.task.discount == 1
    assert config.hash() != small_config(algorithm, [*small, UNDISCOUNTED[1]]).hash()
    assert small_config(algorithm, [*small, "condition.discount=null"]).hash() == plain.hash()


def test_what_is_no_discount_of_returns_is_refused_in_one_line() -> None:
    assert "leave it out" in message_of("condition.kind=advantage", "condition.discount=1")
    assert "decision_transformer.discount" in message_of("algorithm=dt", "condition.discount=1")
    assert "condition.discount" in message_of("condition.discount=0")
