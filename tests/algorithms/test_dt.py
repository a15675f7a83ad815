"""Decision Transformer: causal, blind to padding and to what lies before its context, and the same step by step."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from mage.algorithms.dt import (
    Context,
    DecisionTransformer,
    DecisionTransformerAlgorithm,
    DecisionTransformerConfig,
    DecisionTransformerNetworkConfig,
)
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories
from mage.interface import Policy, Sizes
from tests.algorithms.mage.builders import random
from tests.config.messages import message_of
from tests.data.builders import make_trajectories, normalised

CONTEXT, OBSERVATION_SIZE, ACTION_SIZE = 5, 3, 1
SMALL = DecisionTransformerNetworkConfig(depth=2, embed_dim=16, num_heads=2, context=CONTEXT, max_episode_steps=12)
CONFIG = DecisionTransformerConfig(decision_transformer=SMALL)


def agent(trajectories: Trajectories) -> DecisionTransformerAlgorithm:
    torch.manual_seed(0)
    sizes, statistics = Sizes(OBSERVATION_SIZE, ACTION_SIZE), Statistics.from_trajectories(trajectories)
    made = DecisionTransformerAlgorithm(CONFIG, sizes, statistics).eval()
    for parameter in made.parameters():
        parameter.data *= 2  # so that everything that is seen shows
    return made


def network() -> DecisionTransformer:
    return agent(make_trajectories([9])).transformer


def inputs(steps: int = CONTEXT) -> tuple[Tensor, Tensor, Tensor]:
    """Conditions, actions and timesteps of two windows."""
    timestep_BH = torch.arange(steps).expand(2, -1)
    return random(2, steps, 1 + OBSERVATION_SIZE), random(2, steps, ACTION_SIZE, seed=1), timestep_BH


def policy(trajectories: Trajectories) -> Policy:
    task = trajectories.task.model_copy(update={"action_low": (-np.inf,), "action_high": (np.inf,)})
    return Policy(agent(trajectories), task, 1.0, 0)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("decision_transformer.embed_dim=30", ["decision_transformer", "embed_dim 30", "num_heads 4"]),
        ("decision_transformer.discount=1.5", ["decision_transformer.discount", "less than or equal to 1", "1.5"]),
    ],
)
def test_an_error_is_one_line_that_names_the_field_and_the_value(override: str, said: list[str]) -> None:
    message = message_of("algorithm=dt", override)
    assert all(part in message for part in said), message


@pytest.mark.parametrize(("part", "first_seen"), [("return", 0), ("observation", 0), ("action", 1)])
@pytest.mark.parametrize("step", range(CONTEXT))
def test_an_action_depends_on_what_came_before_it_and_on_nothing_after(part: str, first_seen: int, step: int) -> None:
    model, (condition_BHY, action_BHA, timestep_BH) = network(), inputs()
    before_BHA = model(condition_BHY, action_BHA, timestep_BH)
    if part == "action":
        action_BHA[:, step] += 1
    else:
        condition_BHY[:, step, slice(0, 1) if part == "return" else slice(1, None)] += 1
    changed_H = (model(condition_BHY, action_BHA, timestep_BH) - before_BHA).abs().amax((0, 2)) > 0
    assert changed_H.tolist() == [later >= step + first_seen for later in range(CONTEXT)]


def test_steps_past_the_end_of_an_episode_do_not_count() -> None:
    trajectories = make_trajectories([2, 9])
    data = Steps(trajectories, Statistics.from_trajectories(trajectories))
    made, rows = agent(trajectories), torch.tensor([0, 1, 3])
    loss, _ = made.loss(made.conditions(data), rows, torch.Generator())
    errors = []
    for start, end in [(0, 2), (1, 2), (3, 8)]:  # window by window, without padding
        row_H = torch.arange(start, end)
        condition_HY, action_HA = data.conditions(row_H), data.actions(row_H)
        predicted_BHA = made.transformer(condition_HY[None], action_HA[None], data.timesteps(row_H)[None])
        errors.append((predicted_BHA[0] - action_HA).pow(2))
    torch.testing.assert_close(loss, torch.cat(errors).mean())


def test_the_mean_over_workers_is_the_loss_of_the_batch_however_the_padding_is_spread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trajectories = make_trajectories([2, 9])
    data = Steps(trajectories, Statistics.from_trajectories(trajectories))
    made, rows = agent(trajectories), torch.tensor([0, 3, 1, 4])
    whole, _ = made.loss(made.conditions(data), rows, torch.Generator())
    steps = data.window_rows(rows, CONTEXT)[1].sum()
    shards = [rows[rank::2] for rank in range(2)]
    assert len({float(data.window_rows(shard, CONTEXT)[1].sum()) for shard in shards}) == 2
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.copy_(steps))
    losses = [made.loss(made.conditions(data), shard, torch.Generator())[0] for shard in shards]
    torch.testing.assert_close(torch.stack(losses).mean(), whole)


def test_acting_step_by_step_is_the_pass_over_the_window() -> None:
    trajectories = make_trajectories([9])
    observations, targets = trajectories.observations[:CONTEXT], np.linspace(3, 0, CONTEXT, dtype=np.float32)
    acting = policy(trajectories)
    acting.reset()
    actions = np.stack([acting.act(observations[t : t + 1], targets[t : t + 1]) for t in range(CONTEXT)], 1)
    condition_BHY = torch.from_numpy(normalised(acting.statistics, targets, observations))[None]
    with torch.no_grad():
        whole_BHA = network()(condition_BHY, torch.from_numpy(actions), torch.arange(CONTEXT)[None])
    np.testing.assert_allclose(actions, whole_BHA, atol=1e-5)


def test_a_policy_remembers_as_many_steps_as_its_context() -> None:
    trajectories = make_trajectories([12])
    observations, policy_5 = trajectories.observations, policy(trajectories)
    assert policy_5.agent.context == CONTEXT
    for forgotten, steps in [(True, CONTEXT + 2), (False, CONTEXT)]:
        acted = []
        for first in (0.0, 10.0):  # the target of the first step: CONTEXT - 1 steps back it still counts, then no more
            acting = policy_5.begin(1)
            actions = [acting.act(observations[t : t + 1], 1.0 if t else first) for t in range(steps)]
            # the actions that followed are remembered too, and differ
            remembered = acting._state
            assert isinstance(remembered, Context)
            acting._state = Context(remembered.conditions, (torch.zeros(1, ACTION_SIZE),) * len(remembered.actions))
            acting._action_BA = np.zeros((1, ACTION_SIZE), np.float32)
            acted.append(acting.act(observations[steps : steps + 1], 1.0) if forgotten else actions[-1])
        assert np.array_equal(acted[0], acted[1]) == forgotten
    assert len(acting._state.conditions) == CONTEXT


def test_timesteps_go_on_counting_past_the_context_and_stop_at_the_last_that_is_known() -> None:
    trajectories = make_trajectories([20])
    made, watched = agent(trajectories), list[list[int]]()

    def watch(module: torch.nn.Module, arguments: tuple[Tensor, Tensor, Tensor]) -> None:
        watched.append(arguments[2][0].tolist())

    made.transformer.register_forward_pre_hook(watch)
    acting = Policy(made, trajectories.task, 1.0, 0).begin(1)
    for t in range(14):
        acting.act(trajectories.observations[t : t + 1])
    assert watched == [list(range(max(0, t + 1 - CONTEXT), t + 1)) for t in range(14)]
    model, (condition_BHY, action_BHA, timestep_BH) = network(), inputs()
    last = model(condition_BHY, action_BHA, timestep_BH * 0 + 11)
    assert torch.equal(model(condition_BHY, action_BHA, timestep_BH + 500), last)
