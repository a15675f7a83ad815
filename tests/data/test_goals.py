"""Goals: the part of an observation that shows one, and draws that keep to their walk and to their shares."""

import numpy as np
import pytest
import torch

from mage.data.goals import GoalConfig, GoalSampler, GoalShares, GoalView, check_goal
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories
from mage.errors import MageError
from tests.data.builders import make_trajectories

DRAWS = 100_000
DISCOUNT = 0.99


def steps_of(trajectories: Trajectories) -> Steps:
    return Steps(trajectories, Statistics.from_trajectories(trajectories))


def sampler(*lengths: int) -> GoalSampler:
    return GoalSampler(steps_of(make_trajectories(list(lengths))))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_state_is_all_but_the_goal_and_its_goal_is_at_rest_there_and_else_as_told() -> None:
    view = GoalView(6, GoalConfig(columns=(0, 1), position=(2, 3), velocity=(4,)))
    observation_BO, elsewhere_O = torch.arange(12.0).view(2, 6), torch.arange(-6.0, 0.0)
    assert view.state(observation_BO).tolist() == [[2, 3, 4, 5], [8, 9, 10, 11]]
    assert view.goal(observation_BO, elsewhere_O).tolist() == [[0, 1, 0, -1], [6, 7, 0, -1]]
    assert elsewhere_O.tolist() == list(range(-6, 0))


def test_where_no_goal_is_shown_the_state_is_everything_and_the_goal_is_the_one_that_is_told() -> None:
    view = GoalView(3, GoalConfig())
    observation_BO, elsewhere_O = torch.randn(2, 3), torch.randn(3)
    assert torch.equal(view.state(observation_BO), observation_BO)
    assert torch.equal(view.goal(observation_BO, elsewhere_O), elsewhere_O.expand(2, 3))


@pytest.mark.parametrize(
    "goal",
    [
        GoalConfig(columns=(3,), position=(0,), velocity=()),
        GoalConfig(columns=(2,), position=(0, 1), velocity=()),
        GoalConfig(columns=(2,), position=(0,), velocity=(5,)),
    ],
)
def test_columns_that_an_observation_does_not_have_are_refused(goal: GoalConfig) -> None:
    with pytest.raises(MageError, match="do not fit the 3 columns of an observation"):
        GoalView(3, goal)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((0,), "they change within an episode"),
        ((1,), None),  # the episode's number
        ((1, 2), "they change within an episode"),
        ((4,), r"of the columns \[3\] beside them there is one that never changes"),
        ((3, 4), None),
        ((), None),
    ],
)
def test_a_goal_stays_within_an_episode_and_what_lies_beside_it_does_not(
    columns: tuple[int, ...], said: str | None
) -> None:
    data = make_trajectories([6, 3])
    wide = np.concatenate([data.observations, np.ones((9, 2), np.float32)], 1)
    steps = steps_of(make_trajectories([6, 3], observations=wide))
    if said is None:
        check_goal(steps, columns)
        return
    with pytest.raises(MageError, match=said):
        check_goal(steps, columns)


def test_the_last_row_of_a_walk_teaches_nothing() -> None:
    assert sampler(3, 1, 2).starts.tolist() == [0, 1, 4]
    with pytest.raises(MageError, match="there are no walks"):
        sampler(1, 1)


def test_kinds_of_goals_come_in_their_shares() -> None:
    goals, rows = sampler(3000, 3000), torch.full((DRAWS,), 100)
    drawn = goals.shared(rows, GoalShares(), DISCOUNT, generator())
    assert float((drawn == 100).float().mean()) == pytest.approx(0.2, abs=0.01)
    # beyond the row's own walk, which is half of the data, only a goal of any kind lies
    assert float((drawn >= 3000).float().mean()) == pytest.approx(0.15, abs=0.01)
    assert float(((drawn > 100) & (drawn < 3000)).float().mean()) == pytest.approx(0.65 - 0.3 * 101 / 6000, abs=0.01)


def test_shares_of_more_than_all_are_refused() -> None:
    with pytest.raises(ValueError, match=r"current 0.6 and random 0.5 add up to more than 1"):
        GoalShares(current=0.6, random=0.5)


def test_geometric_goals_are_a_hundred_steps_ahead_on_average_and_at_least_one() -> None:
    ahead = sampler(100_000).geometric(torch.zeros(DRAWS, dtype=torch.long), DISCOUNT, generator())
    assert float(ahead.float().mean()) == pytest.approx(100, rel=0.02)
    assert float((ahead == 1).float().mean()) == pytest.approx(0.01, abs=0.002)
    assert int(ahead.min()) == 1


def test_future_goals_are_ahead_in_the_same_walk_and_uniform() -> None:
    goals, rows = sampler(4, 6, 3), torch.arange(13).repeat(2000)
    for drawn in (goals.future(rows, generator()), goals.geometric(rows, 0.5, generator())):
        last = goals.data.last_rows(rows)
        assert ((drawn > rows) | (rows == last)).all()
        assert (drawn <= last).all()
    far = goals.future(torch.full((DRAWS,), 4), generator())
    shares = [float((far == row).float().mean()) for row in range(5, 10)]
    assert shares == pytest.approx([0.125, 0.25, 0.25, 0.25, 0.125], abs=0.01)  # ends are half as wide when rounded


def test_what_lies_ahead_is_cut_at_the_end_of_the_walk() -> None:
    goals = sampler(4, 6)
    assert goals.ahead(torch.tensor([0, 2, 4, 9]), 3).tolist() == [3, 3, 7, 9]
