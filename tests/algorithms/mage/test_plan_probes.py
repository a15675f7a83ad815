"""The probes find an action that follows its plan, one that does not, and what a condition is worth."""

import copy

import pytest
import torch
from torch import nn

from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.explanation_of_plans import of_plans, plan_tables
from mage.algorithms.mage.inspection import inspect_data
from mage.algorithms.mage.plan_probes import correlation, nats_saved, regression
from mage.algorithms.mage.sequence import Windows
from mage.training.trainer import Trainer
from tests.algorithms.mage.builders import random
from tests.algorithms.mage.forks import trained_at_the_fork

pytestmark = pytest.mark.slow


def agent_of(trainer: Trainer) -> Mage:
    agent = trainer.policy().agent
    assert isinstance(agent, Mage)
    return agent


@pytest.fixture(scope="module")
def at_the_fork() -> dict:
    trainer = trained_at_the_fork()
    plans: dict = inspect_data(agent_of(trainer), trainer.data)["plans"]
    return plans


def test_an_action_that_goes_where_its_plan_goes_is_seen(at_the_fork: dict) -> None:
    # s_0 tells the way in all rows but the first of an episode
    assert at_the_fork["moved"] > 0.3
    assert at_the_fork["follows"] > 0.5
    assert at_the_fork["data_follows"] > 0.5
    assert not {finding["name"] for finding in of_plans(at_the_fork)} & {"plan_moved_little", "plan_follows_little"}


def test_an_action_that_ignores_its_plan_is_seen_and_told_in_words() -> None:
    trainer = trained_at_the_fork()
    deaf = copy.deepcopy(agent_of(trainer))
    first = next(layer for layer in deaf.autoencoder.inverse_dynamics.modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():
        first.weight[:, : -trainer.data.observations(torch.tensor([0])).shape[1]].zero_()  # what reads z_1
    plans = inspect_data(deaf, trainer.data)["plans"]
    assert plans["moved"] == 0
    assert plans["follows"] is None
    (found,) = [finding for finding in of_plans(plans) if finding["name"] == "plan_moved_little"]
    assert "the same whatever is planned" in found["text"] and "0.00, wanted above 0.3" in found["text"]
    (table,) = plan_tables(plans)
    assert [row[1] for row in table.rows][:2] == ["0", "-"]


def test_an_inspection_without_these_probes_has_no_word_and_no_table_of_them() -> None:
    assert not list(of_plans({})) and not list(plan_tables(None))


def test_a_transformer_that_hears_the_return_saves_nats_and_one_that_does_not_sees_none(tiny_trainer: Trainer) -> None:
    agent = copy.deepcopy(agent_of(tiny_trainer))
    batch = Windows(tiny_trainer.data, agent.config.autoencoder).take(tiny_trainer.data.spread(512))
    # of its own likeliest tokens, so that it hears the return for certain
    for parameter in agent.transformer.parameters():
        parameter.data *= 3
    maps, _ = agent.transformer.generate(batch.condition_BY, agent.autoencoder.quantizer)
    with torch.no_grad():
        saved = nats_saved(agent, batch.condition_BY, maps)
        assert saved is not None and saved > 0.05
        first = next(layer for layer in agent.transformer.embed_condition.modules() if isinstance(layer, nn.Linear))
        first.weight[:, 0] = 0.0  # R_0
        assert nats_saved(agent, batch.condition_BY, maps) == pytest.approx(0.0, abs=1e-6)


def test_correlation_and_regression_are_those_of_the_books() -> None:
    one = random(200, 3)
    assert correlation(one, 2 * one + 1) == pytest.approx(1.0)
    assert correlation(one, -one) == pytest.approx(-1.0)
    assert correlation(one, torch.ones(200, 3)) is None
    weights = random(4, 2, seed=1)
    targets = one @ weights[:-1] + weights[-1]
    torch.testing.assert_close(regression(one, targets), weights, atol=2e-2, rtol=2e-2)
