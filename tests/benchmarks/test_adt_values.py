"""The benchmark of ADT's values: what is worth more is imitated, and the prompt is Q in training, V when it plays."""

import pytest
import torch

from benchmarks.adt_values import WeighedPolicy
from mage.algorithms.adt.algorithm import Adt
from mage.config import make_config
from mage.interface import Seen
from mage.training.trainer import Trainer
from tests.algorithms.test_adt import settings
from tests.data.builders import make_trajectories


@pytest.fixture(scope="module")
def made() -> Trainer:
    trainer = Trainer(make_trajectories([6, 9, 12]), make_config(settings()), seed=0)
    trainer.stage.train_until(20)
    trainer.agent.eval()
    return trainer


def test_it_is_prompted_by_v_when_it_plays_and_sees_its_last_actions(made: Trainer) -> None:
    agent = made.agent
    assert isinstance(agent, Adt)
    policy = WeighedPolicy(agent, made.data, beta=1.0, is_prompted=True, past=2)
    playing = policy.playing(made).agent
    shown_BS = torch.from_numpy(made.trajectories.observations[:2])
    action_BA, state = torch.ones(2, 1), playing.begin(2)
    with torch.no_grad():
        observation_BS = agent.see(shown_BS)
        value_B = agent.value(observation_BS).squeeze(-1)
        for step, past_PBA in enumerate([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]):
            seen = Seen(shown_BS, torch.zeros(2), torch.zeros(2), action_BA, step, [torch.Generator()] * 2)
            acted_BA, state = playing.act(state, seen)
            wanted_BA = policy(observation_BS, value_B, [torch.full((2, 1), past) for past in past_PBA])
            torch.testing.assert_close(acted_BA, wanted_BA)
        assert not torch.allclose(acted_BA, policy(observation_BS, value_B + 1, [action_BA, action_BA]))


def test_a_large_beta_imitates_the_better_actions_more_closely_than_none_does(made: Trainer) -> None:
    agent, data = made.agent, made.data
    assert isinstance(agent, Adt)
    rows = torch.arange(len(data))
    with torch.no_grad():
        observation_NS, action_NA = data.observations(rows), data.actions(rows)
        worth_N = agent.critic(observation_NS, action_NA).amin(0)
        advantage_N = worth_N - agent.value(observation_NS).squeeze(-1)
    spread = float(advantage_N.std())
    is_good_N = advantage_N > advantage_N.quantile(0.7)
    errors = {}
    for beta in (0.0, 5 / spread):
        policy = WeighedPolicy(agent, data, beta, is_prompted=False, past=0)
        policy.learn(40)
        with torch.no_grad():
            error_N = (policy(observation_NS, worth_N, []) - action_NA).pow(2).mean(-1)
        errors[beta] = float(error_N[is_good_N].mean())
    assert errors[5 / spread] < errors[0.0]
