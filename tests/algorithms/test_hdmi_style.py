"""HDMI-style: sub-goals by the return they are asked for, ways between them, and what is known of both."""

from functools import cache
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from mage import scenarios
from mage.algorithms.hdmi_style.algorithm import HdmiStyle
from mage.algorithms.hdmi_style.config import GoalDiffuserConfig, HdmiActingConfig, HdmiStyleConfig
from mage.algorithms.hdmi_style.levels import GoalDiffuser
from mage.algorithms.hdmi_style.presets import PRESETS
from mage.algorithms.hierarchical_diffuser.config import HierarchyConfig
from mage.config import load_config, make_config
from mage.data.subgoals import Known
from mage.errors import MageError
from mage.interface import Seen
from mage.training.trainer import Trainer
from tests.data.builders import make_trajectories

STAGE: dict[str, Any] = {"steps": 5, "batch_size": 8}
SMALL: dict[str, Any] = {
    "algorithm": "hdmi_style",
    "hierarchy": {"interval": 3, "subgoals": 4, "average_start": 2},
    "graph": {"nodes": 20, "reach": 6},
    "high": {"denoising_steps": 4, "embed_dim": 16, "depth": 1, "num_heads": 2},
    "low": {"denoising_steps": 4, "width": 8, "multipliers": (1, 2)},
    "inverse_dynamics": {"hidden_dim": 16},
    "training": {"high": STAGE, "low": STAGE, "inverse_dynamics": STAGE, "log_every": 2, "device": "cpu"},
}
# the second column is the episode's number: the same from its start to its end
MAZE = ["hierarchy.normaliser=limits", "goal.columns=[1]", "goal.position=[0]", "goal.velocity=[2]"]
MAZE += ["acting.replan_every=null", "acting.follow=states", "training.inverse_dynamics.steps=0"]
DIFFUSED = ["low.actions=true", "acting.follow=actions", "training.inverse_dynamics.steps=0"]
SHOWN = np.array([[3.0, 1.0, 0.5], [4.0, 2.0, -0.5]], np.float32)

every_kind = pytest.mark.parametrize("kind", [(), tuple(MAZE), tuple(DIFFUSED)], ids=["inverse", "maze", "diffused"])


@cache
def trained(*overrides: str) -> HdmiStyle:
    """To the end, once; not to be changed."""
    made = Trainer(make_trajectories([14, 17, 13]), make_config(SMALL, overrides), seed=0)
    made.advance(made.total_steps)
    assert isinstance(made.agent, HdmiStyle)
    return made.agent.eval()


def seen(agent: HdmiStyle, rows: tuple[int, ...] = (0, 1)) -> Seen:
    """What environments of those numbers show, each with its own generator."""
    zeros = torch.zeros(len(rows))
    own = [torch.Generator().manual_seed(row) for row in rows]
    shown = torch.from_numpy(SHOWN[list(rows)])
    return Seen(shown, zeros, zeros, torch.zeros(len(rows), agent.sizes.action), 0, own)


def test_a_plan_of_a_maze_leads_to_the_goal_by_way_of_its_sub_goals() -> None:
    agent = trained(*MAZE)
    plan_BHS = agent.plan(seen(agent)).plan_BHD
    assert plan_BHS.shape[1] == (4 - 1) * 3 + 1
    start_BS = agent._states(torch.from_numpy(SHOWN))
    goal_BS = agent._states(agent.layout.goals(torch.from_numpy(SHOWN)))
    assert torch.equal(plan_BHS[:, 0], start_BS)
    assert torch.equal(plan_BHS[:, -1], goal_BS)
    known = Known(start_BS, goal_BS, agent.goal_columns)
    assert torch.equal(plan_BHS[:, ::3], agent.high.best(seen(agent).own_generators(), known, agent.config.acting))


@every_kind
def test_a_plan_is_the_same_alone_and_beside_others(kind: tuple[str, ...]) -> None:
    agent = trained(*kind)
    together = agent.plan(seen(agent)).plan_BHD
    assert together.shape[1] == (10 if kind == tuple(MAZE) else 4)
    for row in (0, 1):
        torch.testing.assert_close(together[row], agent.plan(seen(agent, (row,))).plan_BHD[0], atol=1e-4, rtol=1e-4)


@every_kind
def test_an_action_is_of_the_right_size_and_finite(kind: tuple[str, ...]) -> None:
    agent = trained(*kind)
    action_BA, made = agent.act(None, seen(agent))
    assert action_BA.shape == (2, 1)
    assert action_BA.isfinite().all()
    assert made.made_at == 0


def test_nothing_is_learned_of_what_is_known() -> None:
    agent, own = trained(*MAZE), torch.Generator().manual_seed(0)
    plan_BMS = torch.randn(5, 4, 2)
    known = agent.known(agent.high, plan_BMS)
    seen_by_network = list[Tensor]()

    def wrong_at_the_ends(noisy_BMS: Tensor, level_B: Tensor) -> Tensor:
        seen_by_network.append(noisy_BMS)
        said_BMS = torch.zeros_like(noisy_BMS)
        said_BMS[:, [0, -1]] = 1e6
        return said_BMS

    loss, _ = agent.high.loss(wrong_at_the_ends, plan_BMS, known, own)
    assert loss < 10
    assert torch.equal(seen_by_network[0][:, [0, -1]], plan_BMS[:, [0, -1]])
    assert not torch.equal(seen_by_network[0][:, 1], plan_BMS[:, 1])


@pytest.mark.parametrize("predicts", ["noise", "plan"])
def test_sub_goals_go_by_the_return_that_is_asked_for(predicts: Literal["noise", "plan"]) -> None:
    torch.manual_seed(0)
    own = GoalDiffuserConfig(denoising_steps=10, embed_dim=32, depth=1, num_heads=2, predicts=predicts)
    shared = HierarchyConfig(subgoals=3, average_start=10_000, average_every=1)
    model, random = GoalDiffuser(1, own, shared), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    start_BS = torch.zeros(64, 1)
    for _ in range(150):  # a return of 1 is earned upwards, one of 0 downwards
        return_B = torch.randint(2, (64,), generator=random).float()
        end_B1 = (2 * return_B - 1).unsqueeze(1)
        plan_BMS = torch.stack([start_BS, end_B1, 2 * end_B1], 1)
        loss, _ = model.denoising_loss(plan_BMS, Known(start_BS, start_BS, ()), return_B, random)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.denoiser_average.follow(model.denoiser)

    @torch.no_grad()
    def ends(asked: float, guidance: float) -> Tensor:
        acting = HdmiActingConfig(asked_return=asked, guidance=guidance, temperature=1.0)
        generators = [torch.Generator().manual_seed(seed) for seed in range(64)]
        return model.best(generators, Known(start_BS, start_BS, ()), acting)[:, -1, 0]

    assert (ends(1, 1.2) > 1).float().mean() > 0.9
    assert (ends(0, 1.2) < -1).float().mean() > 0.9
    assert torch.equal(ends(1, 0), ends(0, 0))  # not told, it does not matter
    assert 0.2 < (ends(1, 0) > 0).float().mean() < 0.8


def test_what_shortens_nothing_is_seen_in_the_loss_curve() -> None:
    made = Trainer(make_trajectories([14, 17, 13]), make_config(SMALL, ["graph.nodes=44"]), seed=0)
    made.advance(made.total_steps)
    assert {row["shortened"] for row in made.history if row["stage"] == "high"} == {0.0}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", scenarios.names())
def test_every_scenario_has_a_preset_whose_edges_reach_two_sub_goals(preset: str, name: str) -> None:
    config = load_config(preset, domain=scenarios.get(name).domain, algorithm="hdmi_style", scenario=name)
    assert isinstance(config, HdmiStyleConfig)
    assert config.graph.reach == 2 * config.hierarchy.interval


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["acting.replan_every=4"], "acting.replan_every 4 is more than the 3 steps to the first sub-goal"),
        (["acting.follow=actions"], "acting.follow=actions needs low.actions=true"),
        (["training.inverse_dynamics.steps=0"], "needs training.inverse_dynamics.steps"),
        (["high.num_heads=3"], "embed_dim 16 is not a multiple of num_heads 3"),
        (["graph.weights=[1]"], "differ in length"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(changes: list[str], said: str) -> None:
    with pytest.raises(MageError, match=said) as caught:
        make_config(SMALL, changes)
    assert "\n" not in str(caught.value)
