"""HIQL: values are distances, sub-goals lie on the way, no gradient goes astray, goals are read off observations."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mage.algorithms.hiql.algorithm import Hiql, of_one_length
from mage.config import get_field, load_config, make_config
from mage.data.goals import GoalBatch, GoalSampler
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.interface import Seen
from tests.algorithms.runs import trained, untrained
from tests.data.builders import make_trajectories

STATES, AHEAD, DISCOUNT = 20, 4, 0.95
SHOWN = {"columns": (3,), "position": (2,), "velocity": ()}


def settings(steps: int = 20, **changes: Any) -> dict[str, Any]:
    """Small and fast."""
    network = {"hidden_dim": 32, "hidden_layers": 2, "policy_dim": 32, "policy_layers": 2, "subgoal_steps": AHEAD}
    stage = {"steps": steps, "batch_size": 64, "learning_rate": 2e-3}
    training = {"hierarchy": stage, "log_every": 100}
    return {"algorithm": "hiql", "hiql": network | changes, "goal": SHOWN, "training": training}


def shown_goal(lengths: list[int]) -> Trajectories:
    """Random episodes whose last column is a goal."""
    data = make_trajectories(lengths)
    goals = np.repeat(np.arange(len(lengths)), lengths).astype(np.float32)[:, None]
    return make_trajectories(lengths, observations=np.concatenate([data.observations, goals], 1))


def agent(**changes: Any) -> tuple[Hiql, GoalSampler]:
    made, data = untrained(make_config(settings(**changes)), shown_goal([8, 12]))
    return made, GoalSampler(data)


def batch(made: Hiql, goals: GoalSampler) -> GoalBatch:
    return made.draw(goals, torch.arange(len(goals.starts)), torch.Generator().manual_seed(0))


def places() -> Tensor:
    """All states of the corridor, (20, 1)."""
    return torch.linspace(-1, 1, STATES)[:, None]


@pytest.fixture(scope="module")
def walker() -> Hiql:
    """Has seen 100 fair random walks of 100 steps in a corridor."""
    rng, length = np.random.default_rng(0), 100
    states, actions = [], []
    for _ in range(100):
        state = int(rng.integers(STATES))
        for _ in range(length):
            states.append(state)
            actions.append(float(rng.choice([-1, 1])))
            state = min(max(state + int(actions[-1]), 0), STATES - 1)
    shown = torch.cat([places()[states], torch.zeros(len(states), 1)], 1).numpy()
    data = make_trajectories([length] * 100, observations=shown, actions=np.array(actions, np.float32)[:, None])
    goal = {"columns": (1,), "position": (0,), "velocity": ()}
    # targets that follow six times faster than published, for so few steps
    made: Hiql = trained(data, settings(500, discount=DISCOUNT, target_rate=0.03) | {"goal": goal})
    return made


@pytest.mark.slow
@pytest.mark.parametrize("goal", [0, 10, 19])
def test_values_fall_with_the_distance_and_are_0_at_the_goal(walker: Hiql, goal: int) -> None:
    with torch.no_grad():
        values = walker.worth(places(), places()[goal].expand(STATES, -1))
    distance = (torch.arange(STATES) - goal).abs()
    ranks = np.argsort(np.argsort(values.numpy())), np.argsort(np.argsort(-distance.numpy()))
    assert np.corrcoef(*ranks)[0, 1] > 0.9
    assert abs(int(values.argmax()) - goal) <= 1
    assert float(values[goal]) == pytest.approx(0, abs=1.2)
    shortest = -(1 - DISCOUNT**AHEAD) / (1 - DISCOUNT)
    # a random walk takes longer than the shortest way; the expectile takes back most of that
    assert (values[distance == AHEAD] < 0.8 * shortest).all()
    assert (values[distance == AHEAD] > 2.0 * shortest).all()


@pytest.mark.slow
def test_subgoals_are_the_representation_of_a_state_ahead_on_the_way(walker: Hiql) -> None:
    for state, goal in [(2, 19), (10, 0), (15, 3)]:
        here = places()[state].expand(STATES, -1)
        with torch.no_grad():
            wanted_BZ = of_one_length(walker.high(torch.cat([here, places()[goal].expand(STATES, -1)], 1)))
            found = int((walker.phi(here, places()) - wanted_BZ).pow(2).sum(1).argmin())
        best = state + AHEAD * (1 if goal > state else -1)
        assert 0 < abs(found - state) <= AHEAD + 1 and abs(found - best) <= AHEAD, (state, goal, found)


@pytest.mark.slow
@pytest.mark.parametrize(("start", "goal"), [(0, 19), (19, 0), (4, 12)])
def test_it_goes_to_the_goal_that_is_shown_by_the_shortest_way(walker: Hiql, start: int, goal: int) -> None:
    state = start
    for _ in range(abs(goal - start)):
        action_BA, _ = walker.act(None, seen(torch.cat([places()[state], places()[goal]])[None].numpy()))
        state = min(max(state + (1 if action_BA.item() > 0 else -1), 0), STATES - 1)
    assert state == goal


def seen(observations: np.ndarray) -> Seen:
    number = len(observations)
    return Seen(torch.from_numpy(observations), torch.zeros(number), torch.zeros(number), torch.zeros(number, 1), 0)


def test_the_same_observation_gets_the_same_action_alone_or_among_others() -> None:
    made, _ = agent()
    observations = np.random.default_rng(0).normal(size=(25, 4)).astype(np.float32)
    together, _ = made.act(None, seen(observations))
    alone, _ = made.act(None, seen(observations[:1]))
    torch.testing.assert_close(together[:1], alone)
    assert torch.equal(made.act(None, seen(observations))[0], together)


def test_a_representation_is_as_long_as_the_root_of_its_size() -> None:
    made, _ = agent()
    length_B = made.phi(torch.randn(7, 3), torch.randn(7, 3)).norm(dim=-1)
    torch.testing.assert_close(length_B, torch.full((7,), 10**0.5))


def test_the_value_alone_trains_the_representation_and_each_loss_its_own_networks() -> None:
    made, goals = agent()
    networks = {"phi": made.phi, "value": made.value, "low": made.low, "high": made.high, "target": made.target}
    for loss, own in [("value", ["phi", "value"]), ("low", ["low"]), ("high", ["high"])]:
        made.zero_grad()
        getattr(made.losses(batch(made, goals)), loss).backward()
        touched = [name for name, network in networks.items() if any(p.grad is not None for p in network.parameters())]
        assert touched == own


def test_the_losses_are_those_of_the_authors_code() -> None:
    made, goals = agent(expectile=0.8)
    for parameter in made.value.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # its targets are then another network
    for parameter in made.target.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    drawn = batch(made, goals)
    with torch.no_grad():
        next_phi, phi = made.phi(drawn.next_BS, drawn.goal_BS), made.phi(drawn.state_BS, drawn.goal_BS)
        target_next, target_now = made.target(drawn.next_BS, next_phi), made.target(drawn.state_BS, phi)
        value, total = made.value(drawn.state_BS, phi), 0.0
        for i in range(len(drawn.goes_on_B)):
            goes_on = float(drawn.goes_on_B[i])
            reward, discount = (-1.0, made.own.discount) if goes_on else (0.0, 0.0)
            advantage = reward + discount * target_next[:, i].min() - target_now[:, i].mean()
            weight = 0.8 if advantage >= 0 else 1 - 0.8
            for head in range(2):
                total += float(weight * (reward + discount * target_next[head, i] - value[head, i]) ** 2)
    losses = made.losses(drawn)
    assert float(losses.value.detach()) == pytest.approx(total / len(drawn.goes_on_B), rel=1e-4)
    advantage_B = made.worth(drawn.next_BS, drawn.waypoint_BS) - made.worth(drawn.state_BS, drawn.waypoint_BS)
    weight_B = (3.0 * advantage_B).exp().clamp_max(100).detach()
    towards_BZ = made.phi(drawn.state_BS, drawn.waypoint_BS).detach()
    density_B = made.low.log_density(torch.cat([drawn.state_BS, towards_BZ], 1), drawn.action_BA)
    torch.testing.assert_close(losses.low, -(weight_B * density_B).mean())


def test_without_weights_both_policies_are_behaviour_cloning() -> None:
    made, goals = agent(beta_high=0.0, beta_low=0.0)
    drawn = batch(made, goals)
    losses = made.losses(drawn)
    with torch.no_grad():
        waypoint_BZ, target_BZ = (made.phi(drawn.state_BS, towards) for towards in (drawn.waypoint_BS, drawn.target_BS))
    low_B = made.low.log_density(torch.cat([drawn.state_BS, waypoint_BZ], 1), drawn.action_BA)
    high_B = made.high.log_density(torch.cat([drawn.state_BS, drawn.far_goal_BS], 1), target_BZ)
    torch.testing.assert_close((losses.low, losses.high), (-low_B.mean(), -high_B.mean()))


def test_weights_of_advantages_of_thousands_are_cut_and_finite() -> None:
    made, goals = agent()
    for parameter in made.value.parameters():
        parameter.data *= 100
    losses = made.losses(batch(made, goals))
    assert torch.stack(losses).isfinite().all()
    assert float(losses.high_weight) <= 100


def test_targets_follow_the_heads_of_before_the_step() -> None:
    made, goals = agent(target_rate=1.0)
    before = [parameter.detach().clone() for parameter in made.value.parameters()]

    class Moves:
        def minimise(self, loss: Tensor) -> None:
            for parameter in made.value.parameters():
                parameter.data += 1

    made.learn(goals, torch.arange(4), {"all": Moves()}, torch.Generator())  # type: ignore[dict-item]
    for followed, old in zip(made.target.parameters(), before, strict=True):
        assert torch.equal(followed, old)


def test_goals_of_a_batch_are_states_of_the_walk_ahead() -> None:
    made, goals = agent()
    drawn = batch(made, goals)  # the first column of a state is its row
    row_B, last_B = goals.starts, goals.data.last_rows(goals.starts)
    assert torch.equal(drawn.next_BS[:, 0].long(), row_B + 1)
    assert torch.equal(drawn.waypoint_BS[:, 0].long(), torch.minimum(row_B + AHEAD, last_B))
    far_B, target_B = drawn.far_goal_BS[:, 0].long(), drawn.target_BS[:, 0].long()
    assert (far_B > row_B).all() and (far_B <= last_B).all()
    assert torch.equal(target_B, torch.minimum(row_B + AHEAD, far_B))
    assert torch.equal(drawn.goes_on_B == 0, drawn.goal_BS[:, 0].long() == row_B)
    anything = batch(*agent(any_goals=1.0))
    assert (anything.far_goal_BS[:, 0].long() < row_B).any()
    assert torch.equal(anything.target_BS, drawn.waypoint_BS)


def test_a_goal_that_no_observation_shows_is_where_the_data_was_rewarded() -> None:
    rewards = np.zeros(20, np.float32)
    rewards[[7, 15]] = 1
    data = make_trajectories([8, 12], rewards=rewards)
    config = make_config(settings(goal="rewarded") | {"goal": {}})
    made, steps = untrained(config, data)
    made.stages(steps)
    assert made.elsewhere_O.tolist() == data.observations[7].tolist()
    with pytest.raises(MageError, match="no step of this data is rewarded with 1"):
        made.stages(untrained(config, make_trajectories([8], rewards=np.zeros(8, np.float32)))[1])


@pytest.mark.parametrize("family", ["adroit", "locomotion"])
def test_where_there_is_no_goal_it_is_refused(family: str) -> None:
    with pytest.raises(MageError, match=r"goal.columns names none in the observation") as caught:
        untrained(load_config(domain=family, algorithm="hiql"), make_trajectories([8]))
    assert "\n" not in str(caught.value)


def test_a_goal_that_is_a_whole_state_is_gone_to_as_it_is_shown() -> None:
    data = make_trajectories([8, 12])
    goal = data.observations[[7] * 8 + [19] * 12]
    shown = make_trajectories([8, 12], observations=np.concatenate([data.observations, goal], 1))
    preset = load_config("paper", domain="ogbench", algorithm="hiql", scenario="pointmaze-giant-goals-v0")
    config = make_config(settings() | {"goal": {"columns": (3, 4, 5), "position": (0, 1, 2), "velocity": ()}})
    assert get_field(preset, "goal.position") == (0, 1) and get_field(preset, "hiql.goal") == "shown"
    made, _ = untrained(config, shown)
    goals: list[Tensor] = []
    made.high.register_forward_pre_hook(lambda module, arguments: goals.append(arguments[0][:, 3:]))
    made.act(None, seen(shown.observations[:1]))
    assert goals[0].tolist() == data.observations[[7]].tolist()
