"""Decision Diffuser: what is asked for moves what is planned, and the action leads to the plan's next state."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mage.algorithms.decision_diffuser.algorithm import DecisionDiffuser
from mage.config import make_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.interface import Seen
from mage.nn.guidance import GuidedUnet, guided
from mage.training.trainer import Trainer
from tests.data.builders import make_trajectories

SMALL: dict[str, Any] = {
    "algorithm": "decision_diffuser",
    "states": {"horizon": 4, "denoising_steps": 5, "width": 8, "multipliers": (1, 2)}
    | {"padding": "last", "average_start": 2, "average_every": 1},
    "inverse": {"hidden_dim": 16},
    "training": {"diffusion": {"steps": 6, "batch_size": 8}, "log_every": 2, "device": "cpu"},
}
# the second column is the episode's number: the same from its start to its end
MAZE = ["states.normaliser=limits", "goal.columns=[1]", "goal.position=[0]", "goal.velocity=[2]"]
MAZE += ["deciding.replan_every=null", "deciding.follow=states"]


@cache
def trained(*overrides: str) -> Trainer:
    """To the end, once; not to be changed."""
    made = Trainer(make_trajectories([9, 12]), make_config(SMALL, overrides), seed=0)
    made.advance(made.total_steps)
    return made


def agent_of(made: Trainer) -> DecisionDiffuser:
    assert isinstance(made.agent, DecisionDiffuser)
    return made.agent.eval()


def seen(observations: np.ndarray, asked: float, seeds: range | None = None) -> Seen:
    size = len(observations)
    own = [torch.Generator().manual_seed(seed) for seed in seeds or range(size)]
    shown = torch.from_numpy(observations.astype(np.float32))
    return Seen(shown, torch.full((size,), asked), torch.zeros(size), torch.zeros(size, 1), 0, own)


def two_ways() -> Trajectories:
    """From 0 up to 1 for a return of 4, or down to -1 for none, at random."""
    lines = [np.linspace(0, way, 5)[:, None] for way in (1, -1)] * 20
    rewards = np.concatenate([np.ones(5) if way > 0 else np.zeros(5) for way in (1, -1) * 20])
    steps = [np.diff(line[:, 0], append=line[-1, 0])[:, None] for line in lines]
    observations, actions = (np.concatenate(parts).astype(np.float32) for parts in (lines, steps))
    return make_trajectories([5] * 40, observations=observations, actions=actions, rewards=rewards.astype(np.float32))


@cache
def of_two_ways(dropout: float = 0.25, steps: int = 200, predicts: str = "noise") -> DecisionDiffuser:
    learned = {"steps": steps, "batch_size": 32, "learning_rate": 0.01}
    changes = [f"training.diffusion.{name}={value}" for name, value in learned.items()]
    changes += [f"states.dropout={dropout}", "states.average_rate=0.05", "returns.discount=1"]
    changes += [f"states.predicts={predicts}"]
    made = Trainer(two_ways(), make_config(SMALL, changes), seed=0)
    made.advance(made.total_steps)
    return agent_of(made)


def share_up(agent: DecisionDiffuser, asked: float) -> float:
    """Of 32 plans from the fork."""
    with torch.no_grad():
        plan = agent.plan(seen(np.zeros((32, 1)), asked))
    return float((plan.seen_BHS[:, -1, 0] > agent._states(torch.zeros(1, 1))[0, 0]).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize("predicts", ["noise", "plan"])
def test_what_is_asked_for_is_what_is_planned_and_done(predicts: str) -> None:
    agent = of_two_ways(predicts=predicts)
    assert share_up(agent, 5.0) > 0.9
    assert share_up(agent, 0.0) < 0.1
    action_BA, _ = agent.act(None, seen(np.zeros((32, 1)), 5.0))
    assert action_BA.mean().item() == pytest.approx(0.25, abs=0.15)


def test_a_return_that_is_never_told_changes_nothing() -> None:
    agent = of_two_ways(dropout=1.0, steps=60)
    assert abs(share_up(agent, 5.0) - share_up(agent, 0.0)) < 0.4


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0])
def test_guidance_goes_from_what_is_said_without_the_condition_to_what_is_said_with_it_and_beyond(
    weight: float,
) -> None:
    torch.manual_seed(0)
    network, plan_NHD = GuidedUnet(3, 8, (1, 2)).eval(), torch.randn(2, 4, 3)
    level_N, condition_N = torch.tensor([0, 3]), torch.tensor([0.2, 0.9])

    def said(told: float) -> Tensor:
        return network(plan_NHD, level_N, condition_N, torch.full((2,), told))

    found = guided(network, plan_NHD, level_N, condition_N, weight)
    torch.testing.assert_close(found, said(0.0) + weight * (said(1.0) - said(0.0)), atol=1e-5, rtol=1e-4)
    assert not torch.equal(said(0.0), said(1.0))


@pytest.mark.parametrize("shown", [(), (0, -1)])
def test_a_goal_that_is_shown_is_known_at_once_where_no_convolution_reaches(shown: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network, plan_NHD = GuidedUnet(3, 8, (1,), shown).eval(), torch.randn(1, 256, 3)
    elsewhere_NHD = torch.cat([plan_NHD[:, :-1], plan_NHD[:, -1:] + 5], 1)
    # not 0 where nothing is shown: groups are normalised over all steps
    far = [network(plan, torch.zeros(1), torch.zeros(1), torch.zeros(1))[0, :8] for plan in (plan_NHD, elsewhere_NHD)]
    assert ((far[0] - far[1]).abs().max().item() > 0.1) == bool(shown)


def test_what_is_known_is_no_part_of_the_loss_and_is_in_the_plan_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    made = trained(*MAZE)
    agent, rows_B = agent_of(made), torch.arange(3)
    shown = np.array([[3.0, 1.0, 0.5], [4.0, 0.0, -0.5]], np.float32)
    plan_BHS = agent.plan(seen(shown, 0.0)).seen_BHS
    torch.testing.assert_close(plan_BHS[:, 0], agent._states(torch.from_numpy(shown)), rtol=0, atol=0)
    goals = agent.layout.goals(torch.from_numpy(shown))
    torch.testing.assert_close(plan_BHS[:, -1], agent._states(goals), rtol=0, atol=0)
    before = agent.denoising_loss(made.data, rows_B, torch.Generator().manual_seed(0))
    noisy_only: list[Tensor] = []
    process = agent.process.add_noise

    def with_other_ends(plan: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        noise[:, [0, -1]] += 5.0  # the target at the ends
        noisy_only.append(noise)
        return process(plan, noise, level)

    monkeypatch.setattr(agent.process, "add_noise", with_other_ends)
    after = agent.denoising_loss(made.data, rows_B, torch.Generator().manual_seed(0))
    assert noisy_only and before.item() == after.item()


def test_conditions_are_the_rest_of_the_episode_by_the_largest_of_the_data() -> None:
    trajectories = make_trajectories(
        [3, 2], rewards=np.array([1, 0, 2, 4, 0], np.float32), terminations=np.array([True, False])
    )
    changes = ["returns.discount=0.5", "returns.termination_penalty=1"]
    own = Trainer(trajectories, make_config(SMALL, changes), seed=0)
    raw = torch.tensor([1 + 0.5 - 0.25, 1 - 0.5, 2 - 1.0, 4.0, 0.0])
    torch.testing.assert_close(agent_of(own).conditions(own.data, torch.arange(5)), raw / 4, atol=1e-4, rtol=1e-4)
    changes = ["returns.discount=1", "returns.scale=10", "returns.offset=1", "returns.reward_shift=-1"]
    shifted = Trainer(trajectories, make_config(SMALL, changes), seed=0)
    wanted = torch.tensor([3 - 3, 2 - 2, 2 - 1, 4 - 2, 0 - 1.0]) / 10 + 1
    found = agent_of(shifted).conditions(shifted.data, torch.arange(5))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_inverse_dynamics_learn_no_step_past_the_end_of_an_episode() -> None:
    made = trained()
    agent, last = agent_of(made), torch.tensor([8, 20])
    assert agent.inverse_loss(made.data, last).item() == 0.0
    assert agent.inverse_loss(made.data, last - 1).item() > 0.0


def test_without_noise_two_calls_plan_the_same() -> None:
    agent = agent_of(trained("deciding.temperature=0"))
    shown = np.array([[3.0, 1.0, 0.5]])
    one, other = (agent.plan(seen(shown, 1.0, seeds)).seen_BHS for seeds in (range(1), range(7, 8)))
    assert torch.equal(one, other)


def test_an_episode_is_planned_the_same_alone_and_beside_others() -> None:
    agent = agent_of(trained())
    shown = np.array([[3.0, 1.0, 0.5], [4.0, 0.0, -0.5]])
    together = agent.plan(seen(shown, 1.0)).seen_BHS
    alone = agent.plan(seen(shown[1:], 1.0, range(1, 2))).seen_BHS
    torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=1e-4)


def test_its_target_is_its_own_or_what_is_asked_of_every_algorithm() -> None:
    assert agent_of(trained()).asks == "return"
    fixed = agent_of(trained("deciding.target=0.9"))
    assert fixed.asks is None
    shown = np.array([[3.0, 1.0, 0.5]])
    assert torch.equal(fixed.plan(seen(shown, 0.0)).seen_BHS, fixed.plan(seen(shown, 9.0)).seen_BHS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["states.horizon=5"], "horizon 5 is no multiple of 2"),
        (["deciding.replan_every=4"], "deciding.replan_every 4 is no less than the 4 states"),
        (["goal.columns=[1]"], "differ in length"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(changes: list[str], said: str) -> None:
    with pytest.raises(MageError, match=said) as caught:
        make_config(SMALL, changes)
    assert "\n" not in str(caught.value)
