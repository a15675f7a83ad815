"""MPPI: it finds the best plan, reaches what its horizon reaches and no more, and never leaves the bounds."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mage.algorithms.mppi import Mppi, PlannerConfig, improved
from mage.config import make_config
from mage.data.plans import shifted
from mage.data.trajectories import Statistics
from mage.errors import MageError
from mage.interface import Seen, Sizes
from tests.algorithms.runs import trained, untrained
from tests.data.builders import make_trajectories

ENVIRONMENTS = 8


def settings(**planner: Any) -> dict[str, Any]:
    return {
        "algorithm": "mppi",
        "model": {"hidden_dim": 16, "members": 2},
        "planner": {"plans": 16, "horizon": 5} | planner,
        "training": {"model": {"steps": 20, "batch_size": 32}, "log_every": 10},
    }


def noise(plans: int, horizon: int, environments: int = 1, actions: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(environments, plans, horizon, actions, generator=torch.Generator().manual_seed(seed))


def seen(observations: np.ndarray, step: int = 0, first: int = 0) -> Seen:
    number = len(observations)
    generators = [torch.Generator().manual_seed(first + i) for i in range(number)]
    empty = torch.zeros(number)
    return Seen(torch.from_numpy(observations), empty, empty, torch.zeros(number, 1), step, generators)


def test_the_best_of_all_plans_is_found() -> None:
    # two bumps: the higher one is narrow; the best plan turns back after its first step
    def judge(actions_BKHA: Tensor) -> Tensor:
        place_BKH = actions_BKHA.squeeze(-1).cumsum(-1)
        return torch.exp(-8 * (place_BKH[..., 0] - 0.8).pow(2)) + 2 * torch.exp(
            -20 * (place_BKH[..., 1] - 0.2).pow(2) - 8 * (place_BKH[..., 2] - 0.5).pow(2)
        )

    steps = torch.linspace(-1, 1, 41)
    every = torch.cartesian_prod(steps, steps, steps)[None, :, :, None]
    best = every[0, judge(every)[0].argmax()]
    plan = torch.zeros(1, 3, 1)
    for seed in range(40):
        # widely at first, and then to the point: the mean of what is wide lies beside a lopsided optimum
        config = PlannerConfig(plans=256, horizon=3, temperature=0.05, sigma=0.5 if seed < 20 else 0.1)
        plan = improved(plan, noise(256, 3, seed=seed), judge, config.model_copy(update={"correction": False}))
    torch.testing.assert_close(plan[0], best, atol=0.08, rtol=0)
    assert float(judge(plan[:, None])) > 0.98 * float(judge(every).max())


def point_mass(start: float, radius: float | None, steps: int = 80, **changes: Any) -> Tensor:
    """How far from 0 a point of acceleration |u| <= 1 ends; rewarded for being near it, or within a radius alone."""
    config = PlannerConfig(plans=64, horizon=30, **changes)
    state_B2 = torch.tensor([start, 0.0]).repeat(ENVIRONMENTS, 1)
    plan_BHA = torch.zeros(ENVIRONMENTS, 30, 1)

    def moved(state: Tensor, action: Tensor) -> Tensor:
        speed = state[..., 1] + 0.1 * action
        return torch.stack([state[..., 0] + 0.1 * speed, speed], -1)

    def judge(actions_BKHA: Tensor) -> Tensor:
        state, total = state_B2[:, None].expand(-1, 64, -1), torch.zeros(ENVIRONMENTS, 64)
        for step in range(30):
            state = moved(state, actions_BKHA[:, :, step, 0])
            away = state[..., 0].abs()
            total += 0.99**step * (-away if radius is None else (away < radius).float())
        return total

    for step in range(steps):
        for again in range(1 if step else config.first_iterations):
            plan_BHA = improved(plan_BHA, noise(64, 30, ENVIRONMENTS, seed=100 * again + step), judge, config)
        state_B2, plan_BHA = moved(state_B2, plan_BHA[:, 0, 0]), shifted(plan_BHA)
    return state_B2[:, 0].abs()


def test_a_point_is_brought_to_rest_where_it_is_rewarded() -> None:
    assert (point_mass(1.0, None) < 0.15).all()


def test_a_sparse_reward_is_reached_within_the_horizon_and_not_from_beyond_it() -> None:
    assert (point_mass(1.0, 0.1, first_iterations=5) < 0.3).float().mean() >= 0.75
    far = point_mass(10.0, 0.1)
    assert ((far > 8) & (far < 12)).all()  # it trembles in place


def test_the_temperature_goes_from_the_best_plan_to_no_move_at_all() -> None:
    def judge(actions_BKHA: Tensor) -> Tensor:
        return -(actions_BKHA.sum((2, 3)) - 0.6).pow(2)

    plan, drawn = torch.zeros(1, 1, 1), noise(2000, 1)
    best = improved(plan, drawn, judge, PlannerConfig(horizon=1, temperature=1e-6, least_temperature=1e-9))
    assert float(best) == pytest.approx(0.6, abs=0.01)
    moved = improved(plan, drawn, judge, PlannerConfig(horizon=1, temperature=0.5))
    assert 0.05 < float(moved) < 0.6
    still = improved(plan, drawn, judge, PlannerConfig(horizon=1, temperature=1e6))
    assert float(still) == pytest.approx(0, abs=0.05)


def test_a_plan_stays_within_the_bounds_however_long_it_is_pushed() -> None:
    config, plan = PlannerConfig(plans=64, horizon=2, sigma=2.0), torch.zeros(1, 2, 1)
    for seed in range(50):
        plan = improved(plan, noise(64, 2, seed=seed), lambda actions: actions.sum((2, 3)), config)
        assert (plan.abs() <= 1 + 1e-6).all()
    assert (plan > 0.8).all()
    for seed in range(50):
        plan = improved(plan, noise(64, 2, seed=seed), lambda actions: -actions.sum((2, 3)), config)
    assert (plan < -0.8).all()  # it does not stick there


def test_the_correction_is_what_the_paper_subtracts() -> None:
    plan, drawn = torch.tensor([[[0.3], [-0.2]]]), 0.1 * noise(50, 2)
    config = PlannerConfig(plans=50, horizon=2, sigma=0.5, temperature=1.0)
    moved = improved(plan, drawn, lambda actions: actions.sum((2, 3)), config)
    actions = plan[:, None] + 0.5 * drawn
    returns = actions.sum((2, 3))
    temperature = returns.std(correction=0)
    corrected = returns - temperature * (plan[:, None] * (0.5 * drawn)).sum((2, 3)) / 0.25
    weights = torch.softmax(corrected / temperature, 1)
    torch.testing.assert_close(moved, plan + (weights[..., None, None] * 0.5 * drawn).sum(1))


def test_the_plan_is_remembered_a_step_later_and_a_new_episode_has_none() -> None:
    made: Mppi = trained(make_trajectories([30, 30]), settings())
    observations = np.zeros((2, 3), np.float32)
    action, remembered = made.act(made.begin(2), seen(observations))
    assert torch.equal(remembered[:, -1], torch.zeros(2, 1))
    _, later = made.act(remembered, seen(observations, 1))
    assert remembered.shape == later.shape == (2, 5, 1)
    assert torch.equal(made.act(made.begin(2), seen(observations))[0], action)


def test_an_episode_is_the_same_alone_and_among_others() -> None:
    made: Mppi = trained(make_trajectories([30, 30]), settings())
    observations = np.random.default_rng(0).normal(size=(6, 5, 3)).astype(np.float32)
    together, alone, states = list[Tensor](), list[Tensor](), [made.begin(5), made.begin(1)]
    for step, shown in enumerate(observations):
        for which, (number, acted) in enumerate([(5, together), (1, alone)]):
            action, states[which] = made.act(states[which], seen(shown[:number], step))
            acted.append(action[0])
    torch.testing.assert_close(torch.stack(together), torch.stack(alone), atol=1e-4, rtol=0)


def test_returns_are_those_of_the_model_step_by_step() -> None:
    made: Mppi = trained(make_trajectories([30, 30]), settings(discount=0.5))
    observation, actions = torch.randn(2, 3), torch.rand(2, 3, 5, 1) * 2 - 1
    with torch.no_grad():
        found = made.returns(observation, actions)
        for environment in range(2):
            for plan in range(3):
                state, total = observation[environment].expand(2, 1, 3), 0.0
                for step in range(5):
                    action = actions[environment, plan, step].expand(2, 1, 1)
                    after = made.dynamics(state, action)
                    total += 0.5**step * float(made.rewarded(state, action, after)[plan % 2, 0])
                    state = after[plan % 2].expand(2, 1, 3)
                assert float(found[environment, plan]) == pytest.approx(total, abs=1e-4)


def test_at_a_goal_that_is_shown_the_reward_is_1() -> None:
    goal = {"columns": [0], "position": [2], "velocity": []}
    config = make_config(settings() | {"model": {"reward": "goal", "radius": 0.5}, "goal": goal})
    made, _ = untrained(config, make_trajectories([8]))
    shown, after = torch.tensor([[1.0, 0.0, 9.0]] * 3), torch.tensor([[0.0, 1.4], [0.0, 1.6], [1.0, 0.0]])
    assert made.rewarded(shown, torch.zeros(3, 1), after).tolist() == [1, 0, 0]  # the state is columns 1 and 2
    with pytest.raises(MageError, match=r"model.reward=goal needs to be shown a goal"):
        untrained(make_config({"algorithm": "mppi"}, ["model.reward=goal"]), make_trajectories([8]))


def test_whole_episodes_are_held_out_and_told_of() -> None:
    made, data = untrained(make_config(settings()), make_trajectories([6] * 20))
    learned, judged = made.split(data)
    assert len(learned) == 18 * 5 and len(judged) == 2 * 5
    assert (judged // 6).unique().tolist() == [9, 19]
    (stage,) = made.stages(data)
    row, words = stage.end()
    assert set(row) == {"stage", "error_after_1", "error_after_5"}
    assert "2 walks held out" in words


def test_many_action_values_are_warned_of() -> None:
    statistics = Statistics.from_trajectories(make_trajectories([8]))
    with pytest.warns(UserWarning, match="draws 9 action values at once"):
        Mppi(make_config(settings()), Sizes(3, 9), statistics)  # type: ignore[arg-type]
