"""The value of states, and the advantage of n steps over it, on chains whose best values are known."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from mage.data.condition import ConditionConfig
from mage.data.n_step import NStepReturns
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories
from mage.data.transitions import RewardConfig
from mage.nn.advantage import Advantage
from tests.data.builders import make_task

LENGTH, DISCOUNT = 5, 0.9
"""Places of the chain, from 0; the place is the observation."""


def chain(terminal: bool, seed: int = 0) -> Steps:
    """Walks along the chain, a step forward or none; the last place pays 1 a step, or, where it is terminal, 1 once."""
    rng = np.random.default_rng(seed)
    places, actions, rewards, lengths = [], [], [], []
    for _ in range(60):
        place, length = int(rng.integers(LENGTH)), 0
        for _ in range(8):
            action = int(rng.random() < 0.5)
            places.append(place)
            actions.append(action)
            place, length = min(place + action, LENGTH - 1), length + 1
            rewards.append(float(place == LENGTH - 1))
            if terminal and place == LENGTH - 1:
                break
        lengths.append(length)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ended = np.array(rewards, np.float32)[starts[1:] - 1] > 0
    trajectories = Trajectories(
        observations=np.array(places, np.float32)[:, None],
        actions=np.array(actions, np.float32)[:, None],
        rewards=np.array(rewards, np.float32),
        terminations=ended & terminal,
        episode_starts=starts.astype(np.int64),
        task=make_task(discount=DISCOUNT),
    )
    return Steps(trajectories, Statistics.from_trajectories(trajectories))


@cache
def learned(terminal: bool, shift: float = 0.0, at_goal: bool = False) -> tuple[Advantage, NStepReturns]:
    """By an expectile near the best, over two steps."""
    torch.manual_seed(0)
    reward = RewardConfig(shift=shift)
    config = ConditionConfig(expectile=0.99, horizon=2, hidden_dim=32, hidden_layers=1, target_rate=0.05, reward=reward)
    returns = NStepReturns(chain(terminal), config.horizon, reward, at_goal)
    made = Advantage(config, observation_size=1)
    made.begin(returns)
    adam = torch.optim.Adam(made.value.parameters(), 1e-2)
    for _ in range(600):
        adam.zero_grad()
        made.loss(returns, returns.known).backward()
        adam.step()
        made.target.follow(made.value)
    made.end(returns)
    return made, returns


def values(made: Advantage, returns: NStepReturns) -> Tensor:
    """V of each place that is in the data."""
    rows = torch.arange(len(returns.data))
    places = returns.data.recorded_observations(rows)[:, 0]
    first = [int((places == place).nonzero()[0]) for place in places.unique()]
    with torch.no_grad():
        return made(returns.data.observations(torch.tensor(first)))


def test_at_a_time_limit_the_value_goes_on() -> None:
    best = [DISCOUNT ** (LENGTH - 2 - place) / (1 - DISCOUNT) for place in range(LENGTH - 1)] + [1 / (1 - DISCOUNT)]
    # episodes of 8 steps hold at most 5.7 of the 10 that staying is worth
    np.testing.assert_allclose(values(*learned(terminal=False)), best, rtol=0.1)


def test_after_a_terminal_step_nothing_follows() -> None:
    found = values(*learned(terminal=True))[: LENGTH - 1]
    np.testing.assert_allclose(found, [DISCOUNT ** (LENGTH - 2 - place) for place in range(LENGTH - 1)], atol=0.08)


def test_with_a_step_that_costs_one_the_value_counts_the_steps_to_a_sparse_goal() -> None:
    found = values(*learned(terminal=True, shift=-1.0))[: LENGTH - 1]
    left = np.arange(LENGTH - 2, -1, -1)  # of steps that cost; the one that reaches the goal does not
    np.testing.assert_allclose(found, -(1 - DISCOUNT**left) / (1 - DISCOUNT), atol=0.25)


def test_a_goal_in_a_recording_that_goes_on_ends_it_where_that_is_asked() -> None:
    found = values(*learned(terminal=False, shift=-1.0, at_goal=True))
    assert abs(float(found[LENGTH - 2])) < 0.25
    assert float(found[0]) < -1.5


def test_labels_are_those_of_a_hand_computation() -> None:
    made, returns = learned(terminal=False)
    data, rows = returns.data, torch.arange(len(returns.data))
    with torch.no_grad():
        value_N, reward_N = made(data.observations(rows)), data.rewards(rows)
    raw = []
    for row in rows.tolist():
        last = int(data.last_rows(torch.tensor(row)))
        steps = min(2, last - row)
        paid = sum(DISCOUNT**i * float(reward_N[row + i]) for i in range(steps))
        raw.append(paid + DISCOUNT**steps * float(value_N[row + steps]) - float(value_N[row]))
    deviation = np.std(np.array(raw)[returns.known])
    np.testing.assert_allclose(made.deviation, deviation, rtol=1e-4)
    np.testing.assert_allclose(made.labels(returns), np.clip(raw / deviation, -3, 3), atol=1e-4)


def test_quantiles_are_those_of_the_labels_within_the_clip() -> None:
    made, returns = learned(terminal=False)
    label_N = made.labels(returns)[returns.known].numpy()
    for share in (0.0, 0.1, 0.9, 0.95, 1.0):
        assert made.quantile(share) == pytest.approx(np.quantile(label_N, share), abs=1e-5)
    assert np.abs(label_N).max() <= made.config.clip
    assert made.quantile(0.1) < 0 <= made.quantile(0.95)


def test_going_on_along_the_chain_is_the_better_thing_to_do() -> None:
    made, returns = learned(terminal=False)
    label_N, rows = made.labels(returns), returns.known
    place_B = returns.data.recorded_observations(rows)[:, 0]
    action_B = returns.data.actions(rows)[:, 0]
    short = place_B < LENGTH - 2
    went, stayed = (label_N[rows][short & (action_B == action)].mean() for action in (1, 0))
    assert went > stayed + 0.5


def test_data_in_which_nothing_differs_has_labels_of_nought() -> None:
    torch.manual_seed(0)
    data = chain(terminal=True)
    data._reward_N = torch.zeros(len(data))
    returns = NStepReturns(data, 2)
    made = Advantage(ConditionConfig(hidden_dim=4, hidden_layers=1), 1)
    for parameter in made.value.parameters():
        parameter.data.zero_()
    made.begin(returns)
    made.end(returns)
    assert float(made.deviation) == 1.0
    assert made.labels(returns).unique().tolist() == [0.0]
