"""V-ADT: causal, prompted by Q in training and by V when it acts, weighted by advantage, the same step by step."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mage.algorithms.adt.algorithm import Adt, Context
from mage.config import make_config
from mage.data.steps import Steps
from mage.data.trajectories import Trajectories
from mage.interface import Seen
from tests.algorithms.runs import trained, untrained
from tests.data.builders import make_trajectories

CONTEXT = 5


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
