"""Hierarchical Diffuser: plans of two levels that meet, what they are worth, and when they are made."""

from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mage import scenarios
from mage.algorithms.hierarchical_diffuser.algorithm import HierarchicalDiffuser
from mage.algorithms.hierarchical_diffuser.config import HierarchicalDiffuserConfig
from mage.algorithms.hierarchical_diffuser.presets import PRESETS
from mage.algorithms.hierarchical_diffuser.returns import Returns
from mage.config import load_config, make_config
from mage.data.subgoals import Known
from mage.errors import MageError
from mage.interface import Seen
from mage.nn.diffusion import own_noise
from mage.training.trainer import Trainer
from tests.data.builders import make_trajectories

LEVEL: dict[str, Any] = {"denoising_steps": 4, "width": 8, "multipliers": (1, 2)}
STAGE: dict[str, Any] = {"steps": 5, "batch_size": 8}
SMALL: dict[str, Any] = {
    "algorithm": "hierarchical_diffuser",
    "hierarchy": {"interval": 3, "subgoals": 4, "average_start": 2},
    "high": LEVEL,
    "low": LEVEL,
    "acting": {"plans": 3, "guide_stop": 0},
    "training": {"high": STAGE, "low": STAGE, "high_value": STAGE, "low_value": STAGE, "log_every": 2, "device": "cpu"},
}
# the second column is the episode's number: the same from its start to its end
MAZE = ["hierarchy.normaliser=limits", "high.actions=false", "low.end_in_training=true", "goal.columns=[1]"]
MAZE += ["goal.position=[0]", "goal.velocity=[2]", "acting.plans=1", "acting.replan_every=null", "acting.follow=states"]
MAZE += ["training.high_value.steps=0", "training.low_value.steps=0"]
SHOWN = np.array([[3.0, 1.0, 0.5], [4.0, 2.0, -0.5]], np.float32)


@cache
def trained(*overrides: str) -> HierarchicalDiffuser:
    """To the end, once; not to be changed."""
    made = Trainer(make_trajectories([14, 17, 13]), make_config(SMALL, overrides), seed=0)
    made.advance(made.total_steps)
    assert isinstance(made.agent, HierarchicalDiffuser)
    return made.agent.eval()


def seen(agent: HierarchicalDiffuser, rows: tuple[int, ...] = (0, 1), step: int = 0) -> Seen:
    """What environments of those numbers show, each with its own generator."""
    zeros = torch.zeros(len(rows))
    actions = torch.zeros(len(rows), agent.sizes.action)
    own = [torch.Generator().manual_seed(row) for row in rows]
    return Seen(torch.from_numpy(SHOWN[list(rows)]), zeros, zeros, actions, step, own)


def states_of(agent: HierarchicalDiffuser, plan_BHD: Tensor) -> Tensor:
    return plan_BHD[..., agent.low.actions :]


def test_a_plan_of_a_maze_leads_from_what_is_seen_to_the_goal_by_way_of_its_sub_goals() -> None:
    agent = trained(*MAZE)
    made = agent.plan(seen(agent))
    assert made.plan_BHD.shape[1] == (4 - 1) * 3 + 1
    plan_BHS = states_of(agent, made.plan_BHD)
    start_BS = agent._states(torch.from_numpy(SHOWN))
    goal_BS = agent._states(agent.layout.goals(torch.from_numpy(SHOWN)))
    torch.testing.assert_close(plan_BHS[:, 0], start_BS, rtol=0, atol=0)
    torch.testing.assert_close(plan_BHS[:, -1], goal_BS, rtol=0, atol=0)
    high_BMD = agent.high.best(
        seen(agent).own_generators(), Known(start_BS, goal_BS, agent.goal_columns), agent.config.acting
    )
    assert torch.equal(plan_BHS[:, ::3], high_BMD)  # the same generators: the same sub-goals, none twice


def test_elsewhere_only_the_way_to_the_first_sub_goal_is_made_at_every_step() -> None:
    agent = trained()
    made = agent.plan(seen(agent))
    assert made.plan_BHD.shape[1] == 3 + 1
    _, later = agent.act(made, seen(agent, step=1))
    assert later.made_at == 1
    kept = trained(*MAZE)
    first = kept.plan(seen(kept))
    assert kept.act(first, seen(kept, step=1))[1] is first


@pytest.mark.parametrize("kind", [(), tuple(MAZE)])
def test_a_plan_is_the_same_alone_and_beside_others(kind: tuple[str, ...]) -> None:
    agent = trained(*kind)
    together = agent.plan(seen(agent)).plan_BHD
    for row in (0, 1):
        torch.testing.assert_close(together[row], agent.plan(seen(agent, (row,))).plan_BHD[0], atol=1e-4, rtol=1e-4)


class PrefersHigh(nn.Module):
    """Values plans by their first action."""

    def forward(self, plan_NHD: Tensor, level_N: Tensor) -> Tensor:
        return plan_NHD[:, 0, 0]


def test_the_way_is_to_the_second_state_of_the_plan_that_its_value_thinks_best(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = trained("acting.guide_scale=0")
    monkeypatch.setattr(agent.high, "value_average", PrefersHigh())
    start_BS = agent._states(torch.from_numpy(SHOWN))
    known, acting = Known(start_BS, start_BS, ()), agent.config.acting
    best_BMD = agent.high.best(seen(agent).own_generators(), known, acting)
    every_NMD = agent.high.process.sample(
        agent.high.denoiser_average,
        partial(own_noise, seen(agent).own_generators(), 3, best_BMD.shape[1:], torch.device("cpu")),
        known.repeated(3).write,
    )
    assert torch.equal(best_BMD[:, 0, 0], every_NMD.view(2, 3, *best_BMD.shape[1:])[:, :, 0, 0].max(1).values)
    plan_BHS = states_of(agent, agent.plan(seen(agent)).plan_BHD)
    assert torch.equal(plan_BHS[:, -1], best_BMD[:, 1, agent.high.actions :])


def test_a_guide_raises_what_it_values_and_more_where_its_scale_is_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = trained()
    monkeypatch.setattr(agent.high, "value_average", PrefersHigh())
    start_BS = agent._states(torch.from_numpy(SHOWN)).repeat_interleave(16, 0)
    means = []
    for scale in (0.0, 0.5, 2.0):
        acting = agent.config.acting.model_copy(update={"plans": 1, "guide_scale": scale})
        own = [torch.Generator().manual_seed(number) for number in range(len(start_BS))]
        means.append(agent.high.best(own, Known(start_BS, start_BS, ()), acting)[:, 0, 0].mean().item())
    assert means[0] < means[1] < means[2]


@pytest.mark.slow
def test_a_plan_between_two_points_of_a_road_keeps_to_it() -> None:
    """Two roads, y = 1 and y = -1; sub-goals and ways of both levels stay on the one that both ends are on."""
    along = np.linspace(-1, 1, 40, dtype=np.float32)
    roads = [np.stack([along, np.full(40, side, np.float32), np.full(40, 2 / 39, np.float32)], 1) for side in (-1, 1)]
    trajectories = make_trajectories([40, 40], observations=np.concatenate(roads))
    level = {"denoising_steps": 10, "width": 16, "multipliers": (1, 2)}
    stage = {"steps": 300, "batch_size": 16, "learning_rate": 3e-3}
    config = {
        "algorithm": "hierarchical_diffuser",
        "hierarchy": {"interval": 5, "subgoals": 5, "normaliser": "limits", "padding": "last", "average_start": 200},
        "high": level | {"actions": False},
        "low": level | {"end_in_training": True},
        "acting": {"replan_every": None, "follow": "states"},
        "training": {"high": stage, "low": stage, "device": "cpu"},
    }
    made = Trainer(trajectories, make_config(config), seed=0)
    made.advance(made.total_steps)
    agent = made.agent.eval()
    assert isinstance(agent, HierarchicalDiffuser)
    start = torch.tensor([[along[2], -1, 2 / 39], [along[6], 1, 2 / 39]])
    own = [torch.Generator().manual_seed(number) for number in (0, 1)]
    zeros = torch.zeros(2)
    made_plan = agent.plan(Seen(start, zeros, zeros, torch.zeros(2, 1), 0, own))
    raw_BHS = agent._raw(states_of(agent, made_plan.plan_BHD))
    aside_BH = (raw_BHS[..., 1] - start[:, None, 1]).abs()
    assert aside_BH.mean() < 0.1
    assert aside_BH.max() < 0.5
    assert (raw_BHS[:, -1, 0] > start[:, 0] + 0.5).all()


def test_values_are_of_the_rest_of_the_episode_less_what_its_end_costs() -> None:
    trajectories = make_trajectories(
        [3, 2], rewards=np.array([0, 0.5, 1, 0, 0], np.float32), terminations=np.array([True, False])
    )
    overrides = [
        "values.discount=0.5",
        "values.termination_penalty=8",
        "values.failure_penalty=16",
        "values.reward_shift=-1",
    ]
    config = make_config(SMALL, overrides)
    assert isinstance(config, HierarchicalDiffuserConfig)
    made = Trainer(trajectories, config, seed=0)
    said = Returns(made.data, config.values, made.agent.mean_Y[0], made.agent.deviation_Y[0])(torch.arange(5))
    torch.testing.assert_close(
        said, torch.tensor([-1 - 0.25 - 2, -0.5 - 4, -8.0, -1 - 0.5 - 8, -1.0 - 16]), atol=1e-4, rtol=1e-4
    )


def test_runs_that_differ_in_the_low_level_and_in_acting_alone_share_the_denoiser_of_sub_goals() -> None:
    def key(*overrides: str) -> Any:
        return make_config(SMALL, overrides).shared_key()

    assert key("low.width=16", "acting.guide_scale=0.5", "training.low.steps=9", "values.discount=0.9") == key()
    assert key("high.width=16") != key() != key("hierarchy.interval=2")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", [name for name in scenarios.names() if scenarios.get(name).domain != "ogbench"])
def test_its_networks_can_be_made_for_every_scenario(preset: str, name: str) -> None:
    config = load_config(preset, domain=scenarios.get(name).domain, algorithm="hierarchical_diffuser", scenario=name)
    assert isinstance(config, HierarchicalDiffuserConfig)
    assert config.hierarchy.interval * (config.hierarchy.subgoals - 1) + 1 in {33, 89, 106, 125, 226, 241, 376}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["training.high_value.steps=0", "training.low_value.steps=0"], "acting.plans 3 needs a value to choose by"),
        (["acting.replan_every=4"], "acting.replan_every 4 is more than the 3 steps to the first sub-goal"),
        (["low.actions=false"], "acting.follow=actions needs low.actions=true"),
        (["acting.follow=inverse_dynamics"], "needs training.inverse_dynamics.steps"),
        (["goal.columns=[1]"], "differ in length"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(changes: list[str], said: str) -> None:
    with pytest.raises(MageError, match=said) as caught:
        make_config(SMALL, changes)
    assert "\n" not in str(caught.value)
