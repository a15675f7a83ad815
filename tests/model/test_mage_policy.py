"""How MAGE acts: greedy, drawn, expected, or the best of several candidates."""

import copy
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from mage.config import make_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.model.mage_policy import MagePolicy
from mage.model.policy import Policy
from mage.model.tokens import TokenChoice, row_by_row
from mage.model.value import Critic
from tests.model.builders import generators

CANDIDATES = ("policy.sampling=sample", "policy.temperature=2.0", "policy.candidates=5")


@pytest.fixture(scope="module")
def observations(tiny_maze: Trajectories) -> np.ndarray:
    return tiny_maze.observations[::1000]


def configured(policy: Policy, *overrides: str) -> MagePolicy:
    """The same networks under another configuration, and no bounds on the actions."""
    changed = copy.copy(cast(MagePolicy, policy))
    changed.config = make_config(policy.config.model_dump(), overrides)
    changed.task = policy.task.model_copy(update={"action_low": (-np.inf,) * 2, "action_high": (np.inf,) * 2})
    return changed


def draw_candidates(policy: MagePolicy, observations: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Z, actions and conditions of 5 candidates an environment, drawn one environment after the other."""
    choose = TokenChoice(
        policy.config.policy, row_by_row([own for own in own_generators(observations) for _ in range(5)])
    )
    condition_NY = policy.condition(observations).repeat_interleave(5, 0)
    _, latent_NLC = policy.transformer.generate(condition_NY, policy.autoencoder.quantizer, choose)
    with torch.no_grad():
        return latent_NLC, policy.autoencoder.act(latent_NLC, condition_NY), condition_NY


def own_generators(observations: np.ndarray) -> list[torch.Generator]:
    return generators(*range(len(observations)))


def test_the_action_is_read_off_the_generated_latents(tiny_policy: Policy, observations: np.ndarray) -> None:
    policy = configured(tiny_policy)
    condition_BY = policy.condition(observations, 7.0)
    maps, _ = policy.transformer.generate(condition_BY, policy.autoencoder.quantizer)
    with torch.no_grad():
        action_BA = policy.autoencoder.act(policy.autoencoder.quantizer.decode(maps), condition_BY)
    np.testing.assert_allclose(policy.act(observations, 7.0), action_BA, atol=1e-6)


def test_a_sampling_policy_asks_for_generators(tiny_policy: Policy, observations: np.ndarray) -> None:
    sampling = configured(tiny_policy, "policy.sampling=sample")
    with pytest.raises(MageError, match=r"samples tokens \(policy.sampling=sample\): pass one generator"):
        sampling.act(observations)
    first, again = (sampling.act(observations, None, own_generators(observations)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, tiny_policy.act(observations))


def test_a_sampling_policy_of_top_k_one_is_greedy(tiny_policy: Policy, observations: np.ndarray) -> None:
    sampling = configured(tiny_policy, "policy.sampling=sample", "policy.top_k=1")
    actions = sampling.act(observations, None, own_generators(observations))
    np.testing.assert_array_equal(actions, configured(tiny_policy).act(observations))


def test_an_expecting_policy_needs_no_generators_and_is_not_greedy(
    tiny_policy: Policy, observations: np.ndarray
) -> None:
    expecting = configured(tiny_policy, "policy.sampling=expected")
    assert not np.allclose(expecting.act(observations), configured(tiny_policy).act(observations))
    cold = configured(tiny_policy, "policy.sampling=expected", "policy.temperature=1.0e-4")
    np.testing.assert_allclose(cold.act(observations), configured(tiny_policy).act(observations), atol=1e-4)


def test_the_candidate_whose_first_state_is_nearest_to_the_observation_is_acted_on(
    tiny_policy: Policy, observations: np.ndarray
) -> None:
    policy = configured(tiny_policy, *CANDIDATES)
    latent_NLC, action_NA, condition_NY = draw_candidates(policy, observations)
    with torch.no_grad():
        decoded_NHX = policy.decoder(latent_NLC, condition_NY[:, :1])
    distance_NS = (decoded_NHX[:, 0, 1:] - condition_NY[:, 1:]).pow(2)
    nearest_B = distance_NS.sum(1).view(-1, 5).argmin(1)
    assert len(nearest_B.unique()) > 1
    expected_BA = action_NA.view(-1, 5, 2)[torch.arange(len(nearest_B)), nearest_B]
    actions = policy.act(observations, None, own_generators(observations))
    np.testing.assert_allclose(actions, expected_BA, atol=1e-6)
    assert not np.allclose(actions, action_NA.view(-1, 5, 2)[:, 0])


def test_the_candidate_of_the_highest_value_is_acted_on(tiny_policy: Policy, observations: np.ndarray) -> None:
    policy = configured(tiny_policy, *CANDIDATES, "policy.select=value", "training.value.steps=1")
    torch.manual_seed(0)
    critic = Critic(policy.config.value, policy.observation_size, 2)
    policy.networks = {**policy.networks, "critic": critic}
    _, action_NA, condition_NY = draw_candidates(policy, observations)
    with torch.no_grad():
        value_BN = critic(condition_NY[:, 1:], action_NA).view(-1, 5)
    best_B = value_BN.argmax(1)
    assert len(best_B.unique()) > 1
    expected_BA = action_NA.view(-1, 5, 2)[torch.arange(len(best_B)), best_B]
    actions = policy.act(observations, None, own_generators(observations))
    np.testing.assert_allclose(actions, expected_BA, atol=1e-6)


def test_an_unconditional_transformer_acts_alike_whatever_is_asked_of_it(
    tiny_policy: Policy, observations: np.ndarray
) -> None:
    policy = configured(tiny_policy, "transformer.return_condition=none", "inverse_dynamics.inputs=latent")
    torch.manual_seed(0)
    networks = MagePolicy.build(policy.config, policy.observation_size, 2)
    policy.networks = {name: network.eval() for name, network in networks.items()}
    np.testing.assert_array_equal(policy.act(observations, 0.0), policy.act(observations, 1e3))
