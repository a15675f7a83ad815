"""How MAGE acts: greedy, drawn, expected, or the best of several candidates."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.config import MageConfig
from mage.algorithms.mage.token_choice import TokenChoice, row_by_row
from mage.config import make_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.interface import Policy
from tests.algorithms.mage.builders import generators

CANDIDATES = ("policy.sampling=sample", "policy.temperature=2.0", "policy.candidates=5")


@pytest.fixture(scope="module")
def observations(tiny_maze: Trajectories) -> np.ndarray:
    return tiny_maze.observations[::1000]


def untrained(policy: Policy, *overrides: str) -> Mage:
    """Networks as at the start of a training of another configuration."""
    config = make_config(policy.config.model_dump(), overrides)
    assert isinstance(config, MageConfig)
    torch.manual_seed(0)
    return Mage(config, policy.agent.sizes, policy.statistics).eval()


def configured(policy: Policy, *overrides: str) -> Mage:
    """The same networks under another configuration; what its overrides add to them is untrained."""
    made = untrained(policy, *overrides)
    own = made.state_dict()
    made.load_state_dict(own | {name: value for name, value in policy.agent.state_dict().items() if name in own})
    return made


def act(
    agent: Mage,
    policy: Policy,
    observations: np.ndarray,
    target: float | None = None,
    generators: list[torch.Generator] | None = None,
) -> np.ndarray:
    """Actions without bounds."""
    free = policy.task.model_copy(update={"action_low": (-np.inf,) * 2, "action_high": (np.inf,) * 2})
    return Policy(agent, free, policy.target_return, 0).act(observations, target, generators)


def condition(agent: Mage, observations: np.ndarray, target: float) -> Tensor:
    """(R_0, s_0), normalised."""
    return agent.condition(torch.from_numpy(observations), torch.full((len(observations),), target))


def draw_candidates(agent: Mage, policy: Policy, observations: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Z, actions and conditions of 5 candidates an environment, drawn one environment after the other."""
    choose = TokenChoice(
        agent.config.policy, row_by_row([own for own in own_generators(observations) for _ in range(5)])
    )
    condition_NY = condition(agent, observations, policy.target_return).repeat_interleave(5, 0)
    _, latent_NLC = agent.transformer.generate(condition_NY, agent.autoencoder.quantizer, choose)
    with torch.no_grad():
        return latent_NLC, agent.autoencoder.act(latent_NLC, condition_NY), condition_NY


def own_generators(observations: np.ndarray) -> list[torch.Generator]:
    return generators(*range(len(observations)))


def test_the_action_is_read_off_the_generated_latents(tiny_policy: Policy, observations: np.ndarray) -> None:
    agent = configured(tiny_policy)
    condition_BY = condition(agent, observations, 7.0)
    maps, _ = agent.transformer.generate(condition_BY, agent.autoencoder.quantizer)
    with torch.no_grad():
        action_BA = agent.autoencoder.act(agent.autoencoder.quantizer.decode(maps), condition_BY)
    np.testing.assert_allclose(act(agent, tiny_policy, observations, 7.0), action_BA, atol=1e-6)


@pytest.mark.parametrize(
    "overrides",
    [(), ("inverse_dynamics.scales=1",), ("policy.sampling=sample", "inverse_dynamics.scales=1"), CANDIDATES],
    ids=["whole", "one_scale", "one_drawn_scale", "candidates"],
)
def test_acting_step_by_step_takes_the_actions_of_the_plain_pass(
    tiny_policy: Policy, observations: np.ndarray, overrides: tuple[str, ...]
) -> None:
    agent = configured(tiny_policy, *overrides)
    policy = Policy(agent, tiny_policy.task, tiny_policy.target_return, 0)
    own, again = own_generators(observations), own_generators(observations)
    repeated = [generator for generator in again for _ in range(agent.config.policy.candidates)]
    for shown in (observations, observations[::-1]):
        plan = agent.decide(
            condition(agent, shown.copy(), policy.target_return), TokenChoice(agent.config.policy, row_by_row(repeated))
        )
        np.testing.assert_array_equal(policy.act(shown, None, own), policy.clip(plan.action_BA))


def test_a_policy_that_is_moved_acts_there(tiny_policy: Policy, observations: np.ndarray) -> None:
    agent = configured(tiny_policy)
    policy = Policy(agent, tiny_policy.task, tiny_policy.target_return, 0)
    before = policy.act(observations)
    agent.transformer.position_TD.data.neg_()  # of which acting keeps something, as of where the weights are
    policy.to("cpu")
    assert not np.array_equal(policy.act(observations), before)


def test_a_sampling_policy_asks_for_generators(tiny_policy: Policy, observations: np.ndarray) -> None:
    sampling = configured(tiny_policy, "policy.sampling=sample")
    policy = Policy(sampling, tiny_policy.task, tiny_policy.target_return, 0)
    with pytest.raises(MageError, match="acts at random: pass one generator per environment"):
        policy.begin(len(observations)).act(observations)
    first, again = (act(sampling, tiny_policy, observations, None, own_generators(observations)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, act(configured(tiny_policy), tiny_policy, observations))


def test_a_sampling_policy_that_is_given_no_generators_draws_alike_after_every_reset(
    tiny_policy: Policy, observations: np.ndarray
) -> None:
    policy = Policy(configured(tiny_policy, "policy.sampling=sample"), tiny_policy.task, tiny_policy.target_return, 0)
    first, second = policy.act(observations), policy.act(observations)
    assert not np.array_equal(first, second)  # the same plan again would be no drawing
    policy.reset()
    np.testing.assert_array_equal(policy.act(observations), first)
    np.testing.assert_array_equal(policy.act(observations), second)


def test_a_sampling_policy_of_top_k_one_is_greedy(tiny_policy: Policy, observations: np.ndarray) -> None:
    sampling, greedy = configured(tiny_policy, "policy.sampling=sample", "policy.top_k=1"), configured(tiny_policy)
    actions = act(sampling, tiny_policy, observations, None, own_generators(observations))
    np.testing.assert_array_equal(actions, act(greedy, tiny_policy, observations))


def test_an_expecting_policy_needs_no_generators_and_is_not_greedy(
    tiny_policy: Policy, observations: np.ndarray
) -> None:
    expecting, greedy = configured(tiny_policy, "policy.sampling=expected"), configured(tiny_policy)
    actions = act(greedy, tiny_policy, observations)
    assert not np.allclose(act(expecting, tiny_policy, observations), actions)
    cold = configured(tiny_policy, "policy.sampling=expected", "policy.temperature=1.0e-4")
    np.testing.assert_allclose(act(cold, tiny_policy, observations), actions, atol=1e-4)


def test_the_candidate_whose_first_state_is_nearest_to_the_observation_is_acted_on(
    tiny_policy: Policy, observations: np.ndarray
) -> None:
    agent = configured(tiny_policy, *CANDIDATES)
    latent_NLC, action_NA, condition_NY = draw_candidates(agent, tiny_policy, observations)
    with torch.no_grad():
        decoded_NHX = agent.decoder(latent_NLC, condition_NY[:, :1])
    distance_NS = (decoded_NHX[:, 0, 1:] - condition_NY[:, 1:]).pow(2)
    nearest_B = distance_NS.sum(1).view(-1, 5).argmin(1)
    assert len(nearest_B.unique()) > 1
    expected_BA = action_NA.view(-1, 5, 2)[torch.arange(len(nearest_B)), nearest_B]
    actions = act(agent, tiny_policy, observations, None, own_generators(observations))
    np.testing.assert_allclose(actions, expected_BA, atol=1e-6)
    assert not np.allclose(actions, action_NA.view(-1, 5, 2)[:, 0])


def test_the_candidate_of_the_highest_value_is_acted_on(tiny_policy: Policy, observations: np.ndarray) -> None:
    agent = configured(tiny_policy, *CANDIDATES, "policy.select=value", "training.value.steps=1")
    assert agent.critic is not None
    _, action_NA, condition_NY = draw_candidates(agent, tiny_policy, observations)
    with torch.no_grad():
        value_BN = agent.critic(condition_NY[:, 1:], action_NA).view(-1, 5)
    best_B = value_BN.argmax(1)
    assert len(best_B.unique()) > 1
    expected_BA = action_NA.view(-1, 5, 2)[torch.arange(len(best_B)), best_B]
    actions = act(agent, tiny_policy, observations, None, own_generators(observations))
    np.testing.assert_allclose(actions, expected_BA, atol=1e-6)


def test_an_unconditional_transformer_acts_alike_whatever_is_asked_of_it(
    tiny_policy: Policy, observations: np.ndarray
) -> None:
    agent = untrained(tiny_policy, "transformer.return_condition=none", "inverse_dynamics.inputs=latent")
    low, high = (act(agent, tiny_policy, observations, target) for target in (0.0, 1e3))
    np.testing.assert_array_equal(low, high)


def test_explicit_inverse_dynamics_read_what_the_adapted_decoder_makes_of_z(
    tiny_policy: Policy, observations: np.ndarray
) -> None:
    agent = untrained(tiny_policy, "inverse_dynamics.inputs=trajectory")
    assert agent.adapted_decoder is not None
    for parameter in agent.adapted_decoder.parameters():
        torch.nn.init.normal_(parameter)
    condition_BY = condition(agent, observations, 7.0)
    _, latent_BLC = agent.transformer.generate(condition_BY, agent.autoencoder.quantizer)
    with torch.no_grad():
        by_d, by_adapted = (
            agent.autoencoder.act(latent_BLC, condition_BY, decoder(latent_BLC, condition_BY[:, :1]))
            for decoder in (agent.autoencoder.decoder, agent.adapted_decoder)
        )
    actions = act(agent, tiny_policy, observations, 7.0)
    np.testing.assert_allclose(actions, by_adapted, atol=1e-6)
    assert not np.allclose(actions, by_d, atol=1e-2)


UNASKED = ("transformer.return_condition=none", "inverse_dynamics.inputs=latent")
BY_STATE = ("policy.sampling=sample", "policy.candidates=4")


@pytest.mark.parametrize(
    "overrides",
    [
        ("inverse_dynamics.inputs=latent",),
        UNASKED,
        (*UNASKED, "inverse_dynamics.inputs=latent_and_observation"),
        (*UNASKED, "inverse_dynamics.inputs=latent_and_condition"),
        (*UNASKED, "inverse_dynamics.inputs=trajectory"),
        (*UNASKED, "inverse_dynamics.inputs=trajectory", "autoencoder.return_in_decoder=false"),
        (*UNASKED, *BY_STATE),
        (*UNASKED, *BY_STATE, "autoencoder.return_in_decoder=false"),
        (*UNASKED, *BY_STATE, "autoencoder.return_in_decoder=false", "transformer.condition_weight=0"),
        (*UNASKED, *BY_STATE, "autoencoder.return_in_decoder=false", "transformer.condition_path=decoder"),
    ],
)
def test_a_return_can_be_asked_for_where_asking_for_another_changes_what_it_does(
    tiny_policy: Policy, tiny_maze: Trajectories, overrides: tuple[str, ...]
) -> None:
    agent = untrained(tiny_policy, *overrides)
    for parameter in agent.parameters():  # adapters and other parts that begin at zero, too
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    observations = tiny_maze.observations[:200:4]
    low, high = (
        act(agent, tiny_policy, observations, target, own_generators(observations)) for target in (-50.0, 50.0)
    )
    assert (not np.array_equal(low, high)) == (agent.asks == "return")
