"""ADT: causal, weighted by advantage, the same step by step; prompted by Q in training and by V when it acts, or by the
state ahead in training and by a displacement towards the goal when it acts.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mage.algorithms.adt.algorithm import Adt, Context
from mage.config import make_config
from mage.data.steps import Steps
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.interface import Seen
from tests.algorithms.runs import trained, untrained
from tests.data.builders import make_trajectories

CONTEXT, AHEAD = 5, 3


def settings(steps: int = 20, transformer: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    small = {"context": CONTEXT, "depth": 2, "embed_dim": 16, "num_heads": 2, "dropout": 0.0, "max_episode_steps": 12}
    stages = {
        "values": {"steps": steps, "batch_size": 64, "learning_rate": 1e-2},
        "policy": {"steps": steps, "batch_size": 32, "learning_rate": 5e-3, "warmup_steps": 10},
    }
    return {
        "algorithm": "adt",
        "values": {"hidden_dim": 32, "target_rate": 0.2} | values,
        "adt": small | (transformer or {}),
        "training": stages | {"log_every": 10},
    }


def agent(trajectories: Trajectories, **values: Any) -> tuple[Adt, Steps]:
    made, data = untrained(make_config(settings(**values)), trajectories)
    for parameter in made.transformer.parameters():
        parameter.data *= 5  # so that everything that is seen shows
    made.eval()
    return made, data


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Conditions, actions and timesteps of two windows."""
    random = torch.Generator().manual_seed(0)
    condition, action = (torch.randn(2, CONTEXT, size, generator=random) for size in (4, 1))
    return condition, action, torch.arange(CONTEXT).expand(2, -1)


@pytest.mark.parametrize(("part", "first_seen"), [("prompt", 0), ("observation", 0), ("action", 1)])
@pytest.mark.parametrize("step", range(CONTEXT))
def test_an_action_depends_on_what_came_before_it_and_on_nothing_after(part: str, first_seen: int, step: int) -> None:
    model, (condition_BHY, action_BHA, timestep_BH) = agent(make_trajectories([9]))[0].transformer, inputs()
    before_BHA = model(condition_BHY, action_BHA, timestep_BH)
    if part == "action":
        action_BHA[:, step] += 1
    else:
        condition_BHY[:, step, slice(0, 1) if part == "prompt" else slice(1, None)] += 1
    changed_H = (model(condition_BHY, action_BHA, timestep_BH) - before_BHA).abs().amax((0, 2)) > 0
    assert changed_H.tolist() == [later >= step + first_seen for later in range(CONTEXT)]


def test_where_all_actions_are_worth_the_same_the_loss_is_the_mean_squared_error_of_true_steps() -> None:
    made, data = agent(make_trajectories([2, 9]))
    for network in (made.critic, made.value):
        for parameter in network.parameters():
            parameter.data *= 0
    rows = torch.tensor([0, 1, 3])
    loss, info = made.loss(data, rows, torch.Generator())
    errors = []
    for start, end in [(0, 2), (1, 2), (3, 8)]:  # window by window, without padding
        row_H = torch.arange(start, end)
        condition_HY = torch.cat([torch.zeros(len(row_H), 1), data.observations(row_H)], 1)
        predicted = made.transformer(condition_HY[None], data.actions(row_H)[None], data.timesteps(row_H)[None])
        errors.append((predicted[0] - data.actions(row_H)).pow(2))
    torch.testing.assert_close(loss, torch.cat(errors).mean())
    assert float(info["weight"]) == 1


def test_weights_are_of_the_advantage_and_cut_at_100() -> None:
    made, data = agent(make_trajectories([2, 9]), beta=0.5)
    rows = torch.tensor([2, 3])
    rows_BH, _ = data.window_rows(rows, CONTEXT)
    with torch.no_grad():
        worth = made.critic(data.observations(rows_BH), data.actions(rows_BH)).amin(0)
        weights = (0.5 * (worth - made.value(data.observations(rows_BH)).squeeze(-1))).exp()
    assert float(made.loss(data, rows, torch.Generator())[1]["weight"]) == pytest.approx(float(weights.mean()))
    torch.nn.init.constant_(list(made.value.parameters())[-1], -1e4)  # the bias of its last layer
    loss, info = made.loss(data, rows, torch.Generator())
    assert float(info["weight"]) == 100
    assert loss.isfinite()


def test_it_is_prompted_by_q_in_training_and_by_v_when_it_acts() -> None:
    made, data = agent(make_trajectories([9]))
    prompts: list[Tensor] = []
    made.transformer.register_forward_pre_hook(lambda module, arguments: prompts.append(arguments[0][..., 0]))
    made.loss(data, torch.tensor([0]), torch.Generator())
    row_H = torch.arange(CONTEXT)
    observation, action = data.observations(row_H), data.actions(row_H)
    torch.testing.assert_close(prompts[0][0], made.critic(observation, action).amin(0))
    made.act(made.begin(1), seen(make_trajectories([9]).observations[:1], 0))
    torch.testing.assert_close(prompts[1][0], made.value(observation[:1]).squeeze(-1))


def seen(observations: np.ndarray, step: int, action: Tensor | None = None) -> Seen:
    number = len(observations)
    empty = torch.zeros(number)
    before = torch.zeros(number, 1) if action is None else action
    return Seen(torch.from_numpy(observations), empty, empty, before, step)


def test_acting_step_by_step_is_the_pass_over_the_window_and_older_steps_are_forgotten() -> None:
    trajectories = make_trajectories([12])
    made, data = agent(trajectories)
    state, actions = made.begin(1), list[Tensor]()
    for step in range(CONTEXT + 2):
        shown = trajectories.observations[step : step + 1]
        action, state = made.act(state, seen(shown, step, actions[-1] if actions else None))
        actions.append(action)
        row_H = torch.arange(max(0, step + 1 - CONTEXT), step + 1)
        observation = data.observations(row_H)
        with torch.no_grad():
            condition = made.prompted(made.value(observation).squeeze(-1), observation)[None]
            whole = made.transformer(condition, torch.cat(actions)[row_H][None], row_H[None])
        torch.testing.assert_close(action[0], whole[0, -1], atol=1e-5, rtol=0)
    assert isinstance(state, Context) and len(state.conditions) == len(state.actions) == CONTEXT
    assert made.begin(1) == Context()


def test_prompted_by_v_it_takes_the_better_of_two_actions_of_the_data() -> None:
    number = 200
    better = np.arange(number) % 2 == 0
    bandit = make_trajectories(
        [1] * number,
        observations=np.ones((number, 1), np.float32),
        actions=np.where(better, 0.6, -0.4).astype(np.float32)[:, None],
        rewards=better.astype(np.float32),
        terminations=np.ones(number, bool),
    )
    made: Adt = trained(bandit, settings(150, expectile=0.9, beta=0.0))  # no weights: the prompt alone tells
    action, _ = made.act(made.begin(1), seen(np.ones((1, 1), np.float32), 0))
    assert float(action) == pytest.approx(0.6, abs=0.15)


def prompted_by_subgoals(lengths: list[int], **changes: Any) -> tuple[Adt, Steps]:
    """Of walks whose last column is the goal."""
    data = make_trajectories(lengths)
    goals = np.repeat(np.arange(len(lengths)), lengths).astype(np.float32)[:, None]
    shown = make_trajectories(lengths, observations=np.concatenate([data.observations, goals], 1))
    made, steps = untrained(make_config(by_subgoals(**changes)), shown)
    made.stages(steps)
    made.eval()
    return made, steps


def by_subgoals(training_steps: int = 20, values: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    base = settings(training_steps, {"prompt": "subgoal"}, **(values or {}))
    own = {"policy_dim": 32, "steps": AHEAD} | changes
    return base | {"subgoals": own, "goal": {"columns": (3,), "position": (2,), "velocity": ()}}


def test_in_training_it_is_prompted_by_the_state_some_steps_ahead_in_its_walk() -> None:
    made, data = prompted_by_subgoals([4, 9])
    prompts: list[Tensor] = []
    made.transformer.register_forward_pre_hook(lambda module, arguments: prompts.append(arguments[0]))
    made.loss(data, torch.tensor([1, 5]), torch.Generator())
    # the first column of a state is its row: as recorded, not in deviations; three columns, without the goal
    assert prompts[0].shape == (2, CONTEXT, 6)
    assert prompts[0][..., 3].tolist() == [[1, 2, 3, 3, 3], [5, 6, 7, 8, 9]]
    assert prompts[0][..., 0].tolist() == [[3, 3, 3, 3, 3], [8, 9, 10, 11, 12]]


def test_actions_weigh_by_how_much_nearer_to_the_subgoal_they_led_and_a_walks_last_not_at_all() -> None:
    made, data = prompted_by_subgoals([9], values={"beta": 2.0})
    assert made.subgoals is not None
    row_H = torch.arange(4, 9)
    _, weight_BH, mask_BH = made.subgoals.windows(data, row_H[None], torch.ones(1, 5))
    assert mask_BH.tolist() == [[1, 1, 1, 1, 0]]
    state_HS = data.recorded_observations(torch.arange(9))[:, :3]
    ahead_HS = state_HS[(row_H + AHEAD).clamp_max(8)]
    with torch.no_grad():
        then_H, now_H = (
            made.subgoals.value(state_HS[rows], ahead_HS).mean(0) for rows in ((row_H + 1).clamp_max(8), row_H)
        )
    torch.testing.assert_close(weight_BH[0], (2.0 * (then_H - now_H)).exp().clamp_max(100))


@pytest.mark.parametrize("squashed", [False, True])
def test_when_it_acts_the_subgoal_is_the_state_and_the_mean_displacement_towards_the_goal(squashed: bool) -> None:
    made, data = prompted_by_subgoals([9], squashed=squashed)
    assert made.subgoals is not None
    seen_BO = torch.tensor([[1.0, 2.0, 3.0, 7.0]])
    goal_BS = data.recorded_observations(torch.tensor([0]))[:, :3].clone()  # else as in the data's first observation
    goal_BS[:, 2] = 7
    with torch.no_grad():
        away_BS = made.subgoals.high(torch.cat([seen_BO[:, :3], goal_BS], 1))
        away_BS = away_BS.tanh() if squashed else away_BS
        condition_BY = made.condition_now(seen_BO)
    torch.testing.assert_close(condition_BY, torch.cat([seen_BO[:, :3] + away_BS, seen_BO[:, :3]], 1))


def test_values_and_displacements_are_trained_each_by_their_own_loss() -> None:
    made, data = prompted_by_subgoals([9, 12])
    assert made.subgoals is not None
    own = made.subgoals.own
    goals = made.subgoals.sampler(data)
    batch = goals.batch(
        torch.arange(len(goals.starts)), made.subgoals.view, own.goals, 0.9, own.any_goals, AHEAD, torch.Generator()
    )
    for which, trained_by_it in [(0, "value"), (1, "high")]:
        made.zero_grad()
        made.subgoals.losses(batch)[which].backward()
        touched = {
            name for name, part in made.subgoals.named_children() if any(p.grad is not None for p in part.parameters())
        }
        assert touched == {trained_by_it}
    mean_BS = made.subgoals.high(torch.cat([batch.state_BS, batch.far_goal_BS], 1))
    away_BS = batch.target_BS - batch.state_BS
    # deviations begin at 1
    density_B = (-0.5 * (away_BS - mean_BS).pow(2) - 0.5 * np.log(2 * np.pi)).sum(1)
    advantage_B = [made.subgoals.value(s, batch.far_goal_BS).mean(0) for s in (batch.target_BS, batch.state_BS)]
    weight_B = (advantage_B[0] - advantage_B[1]).exp().clamp_max(100).detach()
    torch.testing.assert_close(made.subgoals.losses(batch)[1], -(weight_B * density_B).mean())


def test_prompted_by_subgoals_it_goes_to_the_goal_of_a_corridor() -> None:
    """Random walks between 20 places, the goal beside them; the action is to the left or to the right."""
    rng, length, places = np.random.default_rng(0), 40, 20
    states, actions = [], []
    for _ in range(60):
        state = int(rng.integers(places))
        for _ in range(length):
            states.append(state)
            actions.append(float(rng.choice([-0.8, 0.8])))
            state = min(max(state + int(np.sign(actions[-1])), 0), places - 1)
    column = np.array(states, np.float32)[:, None] / 10
    walks = make_trajectories(
        [length] * 60,
        observations=np.concatenate([column, np.zeros_like(column)], 1),
        actions=np.array(actions, np.float32)[:, None],
    )
    goal = {"columns": (1,), "position": (0,), "velocity": ()}
    values = {"hidden_layers": 2, "discount": 0.95, "target_rate": 0.03}
    config = by_subgoals(150, values | {"beta": 3.0}, steps=4, beta=3.0)
    made: Adt = trained(walks, config | {"goal": goal})
    for place, wanted in [(0.2, 1.8), (1.8, 0.2), (0.5, 1.2)]:
        action, _ = made.act(made.begin(1), seen(np.array([[place, wanted]], np.float32), 0))
        assert np.sign(float(action)) == np.sign(wanted - place), (place, wanted)


def test_without_a_goal_subgoals_are_refused_in_one_line() -> None:
    with pytest.raises(MageError, match=r"goal.columns names none in the observation") as caught:
        untrained(make_config(by_subgoals() | {"goal": {}}), make_trajectories([8]))
    assert "\n" not in str(caught.value)
