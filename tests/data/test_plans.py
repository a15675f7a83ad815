"""Windows as plans: where they start, what lies past an episode's end, their ends, and following one."""

import numpy as np
import pytest
import torch

from mage.data.goals import GoalConfig
from mage.data.plans import Layout, Padding, shifted, window_starts
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories
from mage.errors import MageError
from tests.data.builders import make_trajectories

TRAJECTORIES = make_trajectories([6, 3])
MAZE = GoalConfig(columns=(4, 5))


def steps_of(trajectories: Trajectories) -> Steps:
    return Steps(trajectories, Statistics.from_trajectories(trajectories))


@pytest.mark.parametrize(
    ("padding", "starts"),
    [
        ("none", [0, 1, 2]),  # only the first episode has 4 steps
        ("zeros", [0, 1, 2, 6, 7]),  # the longest episode has 4 steps left at its third; not from a last step
        ("last", list(range(9))),
    ],
)
def test_windows_start_where_their_padding_allows(padding: Padding, starts: list[int]) -> None:
    assert window_starts(steps_of(TRAJECTORIES), 4, padding).tolist() == starts


def test_a_horizon_that_no_episode_has_is_refused() -> None:
    with pytest.raises(MageError, match="no episode of this data has the 8 steps of a plan; set plan"):
        window_starts(steps_of(TRAJECTORIES), 8, "none")
    assert window_starts(steps_of(TRAJECTORIES), 8, "zeros").tolist() == [0, 6]


@pytest.mark.parametrize("is_zero", [False, True])
def test_past_the_end_the_action_is_0_and_the_observation_the_last_or_what_is_said(is_zero: bool) -> None:
    data, layout = steps_of(TRAJECTORIES), Layout(3, 1, GoalConfig())
    past_O = torch.tensor([7.0, 8.0, 9.0]) if is_zero else None
    plan_BHD = layout.windows(data, torch.tensor([1, 7]), 4, past_O)
    whole = torch.arange(1, 5)
    torch.testing.assert_close(plan_BHD[0], torch.cat([data.actions(whole), data.observations(whole)], 1))
    last = data.observations(torch.tensor(8))
    assert torch.equal(plan_BHD[1, 1, 1:], last)
    assert plan_BHD[1, 2:, 0].tolist() == [0, 0]
    assert torch.equal(plan_BHD[1, 3, 1:], last if past_O is None else past_O)


def test_past_an_episode_that_ended_at_its_goal_a_plan_is_there() -> None:
    shown = np.array([[0, 0, 5], [1, 0, 5], [2, 0, 5], [0, 1, 6], [1, 1, 6]], np.float32)
    ended = make_trajectories(
        [3, 2],
        observations=shown,
        rewards=np.array([0, 0, 1, 0, 1], np.float32),
        terminations=np.array([True, False]),  # the second one was rewarded there, and went on
    )
    data, layout = steps_of(ended), Layout(3, 1, GoalConfig(columns=(2,), position=(0,), velocity=()))
    plan_BHD = layout.windows(data, torch.tensor([1, 3]), 4)
    units = Statistics.from_trajectories(ended)
    raw_BH2 = plan_BHD[..., 1:].numpy() * units.observation_std[:2] + units.observation_mean[:2]
    wanted = [[[1, 0], [2, 0], [5, 0], [5, 0]], [[0, 1], [1, 1], [1, 1], [1, 1]]]
    np.testing.assert_allclose(raw_BH2, wanted, atol=1e-5)


def test_the_rows_of_the_data_are_all_of_it_without_the_goal() -> None:
    data, layout = steps_of(TRAJECTORIES), Layout(3, 1, GoalConfig(columns=(1,), position=(0,), velocity=(2,)))
    (rows_ND,) = layout.rows(data)
    everything = torch.arange(9)
    assert (layout.kept, layout.values) == ([0, 2], 3)
    assert torch.equal(rows_ND, torch.cat([data.actions(everything), data.observations(everything)[:, [0, 2]]], 1))


def test_a_plan_begins_at_its_first_observation_and_ends_at_the_goal_where_there_is_one() -> None:
    first_BD, last_BD = torch.full((2, 6), 1.0), torch.full((2, 6), 2.0)
    maze_BHD = Layout(6, 2, MAZE).clamp(torch.zeros(2, 5, 6), first_BD, last_BD)
    assert maze_BHD[0].tolist() == [[0, 0, 1, 1, 1, 1], *[[0.0] * 6] * 3, [0, 0, 2, 2, 2, 2]]
    free_BHD = Layout(4, 2, GoalConfig()).clamp(torch.zeros(2, 5, 6), first_BD, last_BD)
    assert free_BHD[0].tolist() == [[0, 0, 1, 1, 1, 1], *[[0.0] * 6] * 4]


def test_at_the_goal_the_position_is_the_goals_and_all_else_0() -> None:
    observation_BO = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    assert Layout(6, 2, MAZE).goals(observation_BO).tolist() == [[5, 6, 0, 0, 0, 0]]


def test_columns_that_are_no_goal_are_refused() -> None:
    goal = GoalConfig(columns=(0,), position=(2,), velocity=())
    with pytest.raises(MageError, match=r"columns \(0,\) of this data are not its goal: they change within an episode"):
        Layout(3, 1, goal).check_goal(steps_of(TRAJECTORIES))
    Layout(3, 1, goal.model_copy(update={"columns": (1,)})).check_goal(steps_of(TRAJECTORIES))  # the episode's number
    with pytest.raises(MageError, match=r"goal.columns \(4, 5\) .* are not all among the 3 columns"):
        Layout(3, 1, MAZE)


def test_a_straight_plan_is_followed_to_its_end_where_the_mass_comes_to_rest() -> None:
    layout, horizon = Layout(6, 2, MAZE), 40
    fraction_H = torch.linspace(0, 1, horizon)
    planned_BHS = torch.zeros(1, horizon, 4)
    planned_BHS[0, :, 0], planned_BHS[0, :, 2] = 2 * fraction_H, 2 / horizon
    state, within = np.zeros(6, np.float32), []
    for age in range(3 * horizon):  # a point mass of unit mass and time, pushed by the action
        action_A = layout.steer(planned_BHS, torch.from_numpy(state)[None], age)[0].numpy()
        state[2:4] += action_A
        state[:2] += 0.5 * state[2:4]
        within.append(abs(state[0] - 2) < 0.1 and abs(state[1]) < 1e-6)
    assert all(within[horizon + 5 :])
    assert abs(state[2]) < 1e-3


def test_who_is_late_goes_on_from_where_it_is_and_rests_at_the_end() -> None:
    layout = Layout(4, 2, GoalConfig())
    corner = torch.tensor([[0, 0, 1, 0], [1, 0, 1, 0], [2, 0, 0, 1], [2, 1, 0, 1], [2, 2, 0, 1]]).float()
    late = torch.tensor([[1.0, 0, 0, 0]])
    by_time = layout.steer(corner.unsqueeze(0), late, 3)
    waits = layout.steer(corner.unsqueeze(0), late, 3, lateness=0.1)
    hurries = layout.steer(corner.unsqueeze(0), late, 3, lateness=10.0)
    assert by_time.tolist() == hurries.tolist() == [[1, 3]]  # across the corner
    assert waits.tolist() == [[1, 1]]  # to (2, 0), where it is to turn
    there = torch.tensor([[2.0, 1.75, 0, 1.0]])
    assert layout.steer(corner.unsqueeze(0), there, 9, lateness=0.1).tolist() == [[0, -0.75]]


def test_a_plan_a_step_later_begins_with_its_second_action_and_ends_with_none() -> None:
    assert shifted(torch.tensor([[[1.0], [2.0], [3.0]]])).tolist() == [[[2.0], [3.0], [0.0]]]
