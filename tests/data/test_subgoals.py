"""Plans at two levels: what is seen at every K-th step, what is known of their ends, and segments that are joined."""

import torch

from mage.data.subgoals import Known, joined, jumps

ACTION, INTERVAL, SUBGOALS = 2, 3, 4


def window() -> torch.Tensor:
    """Of 12 steps with 2 actions and 1 observed value, which is the step; actions are 100 and 200 more."""
    step_H = torch.arange(INTERVAL * SUBGOALS, dtype=torch.float32)
    return torch.stack([step_H + 100, step_H + 200, step_H], 1).unsqueeze(0)


def test_sub_goals_are_what_is_seen_at_every_kth_step_from_the_first() -> None:
    assert jumps(window(), ACTION, INTERVAL, dense=False)[0, :, 0].tolist() == [0, 3, 6, 9]


def test_dense_sub_goals_have_the_actions_that_follow_each() -> None:
    high_MD = jumps(window(), ACTION, INTERVAL, dense=True)[0]
    assert high_MD.shape == (SUBGOALS, INTERVAL * ACTION + 1)
    assert high_MD[1].tolist() == [103, 203, 104, 204, 105, 205, 3]
    back_HA = high_MD[:, :-1].reshape(-1, ACTION)
    assert torch.equal(back_HA, window()[0, :, :ACTION])


def test_joined_segments_keep_every_sub_goal_and_double_none() -> None:
    subgoal_BMS = torch.randn(2, SUBGOALS, 1)
    segment_ZKD = Known.between(subgoal_BMS).write(torch.zeros(2 * (SUBGOALS - 1), INTERVAL + 1, ACTION + 1))
    plan_BHD = joined(segment_ZKD.unflatten(0, (2, -1)))
    assert plan_BHD.shape == (2, (SUBGOALS - 1) * INTERVAL + 1, ACTION + 1)
    assert torch.equal(plan_BHD[:, ::INTERVAL, ACTION:], subgoal_BMS)
    assert not plan_BHD[..., :ACTION].any()
    between_H = torch.ones(plan_BHD.shape[1], dtype=torch.bool)
    between_H[::INTERVAL] = False
    assert not plan_BHD[:, between_H].any()


def test_of_the_last_step_only_what_is_known_is_written() -> None:
    first_BS, last_BS = torch.full((2, 3), 7.0), torch.full((2, 3), 9.0)
    plan_BHD = Known(first_BS, last_BS, [0, 2]).write(torch.zeros(2, 4, 5))
    assert plan_BHD[0, 0].tolist() == [0, 0, 7, 7, 7]
    assert plan_BHD[1, -1].tolist() == [0, 0, 9, 0, 9]
    assert not Known(first_BS, last_BS, ()).write(torch.zeros(2, 4, 5))[:, -1].any()
    repeated = Known(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]]), [0]).repeated(2)
    assert (repeated.first_BS[:, 0].tolist(), repeated.last_BS[:, 0].tolist()) == ([1, 1, 2, 2], [3, 3, 4, 4])
