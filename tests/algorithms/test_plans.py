"""Planners show what they plan: from where one is, to the goal where there is one, in the environment's units."""

import numpy as np
import pytest
import torch

from mage.config import load_config
from mage.data.trajectories import Trajectories
from tests.algorithms.runs import untrained
from tests.algorithms.test_contract import (
    TestDecisionDiffuser,
    TestDiffuser,
    TestHdmiStyle,
    TestHierarchicalDiffuser,
    TestRgg,
)

PLANNERS = {
    contract.algorithm: contract.small
    for contract in (TestDiffuser, TestRgg, TestDecisionDiffuser, TestHierarchicalDiffuser, TestHdmiStyle)
}
ONE_PLAN = {"diffuser": ["planning.plans=1"], "hierarchical_diffuser": ["acting.plans=1"]}
"""Of the mazes' presets, the one where nothing has learned to judge several."""
del TestDiffuser, TestRgg, TestDecisionDiffuser, TestHierarchicalDiffuser, TestHdmiStyle  # they run where they belong


@pytest.mark.parametrize("algorithm", PLANNERS)
def test_a_plan_begins_where_one_is_and_shows_the_goal_all_along(algorithm: str, tiny_maze: Trajectories) -> None:
    small = [*(field for field in PLANNERS[algorithm] if not field.startswith("goal.")), *ONE_PLAN.get(algorithm, ())]
    config = load_config("cpu", domain="maze2d", overrides=[f"algorithm={algorithm}", *small])
    agent, data = untrained(config, tiny_maze)
    agent.stages(data)  # which learns the data's limits
    observation_BS = torch.from_numpy(tiny_maze.observations[::4000].copy())
    asked_B = torch.full((len(observation_BS),), 50.0)
    views = agent.plans(observation_BS, asked_B)
    again = agent.plans(observation_BS, asked_B)
    assert list(views)[-1] == "plan" and ("sub-goals" in views) == algorithm.startswith(("hierarchical", "hdmi"))
    shown = agent.layout.goal
    for name, plan_BHS in views.items():
        assert plan_BHS.shape[::2] == observation_BS.shape and plan_BHS.isfinite().all()
        torch.testing.assert_close(plan_BHS[:, 0], observation_BS, atol=1e-3, rtol=1e-3)
        assert torch.equal(plan_BHS, again[name])
        if goal := list(shown.columns):
            assert torch.equal(plan_BHS[..., goal], observation_BS[:, None, goal].expand_as(plan_BHS[..., goal]))
            reached = plan_BHS[:, -1, list(shown.position)]
            np.testing.assert_allclose(reached, observation_BS[:, goal], atol=1e-3)
    if "sub-goals" in views:
        assert views["sub-goals"].shape[1] < views["plan"].shape[1]
