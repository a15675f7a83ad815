"""By what the best of several plans is chosen."""

import pytest
import torch
from torch import Tensor

from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.candidates import REFUSED, merits, promises
from mage.algorithms.mage.config import MageConfig
from mage.config import make_config
from mage.interface import Policy

BY_RETURN = (
    "policy.sampling=sample",
    "policy.candidates=3",
    "policy.select=return",
    "autoencoder.return_in_decoder=false",
)


def chooser(policy: Policy, *overrides: str) -> Mage:
    config = make_config(policy.config.model_dump(), [*BY_RETURN, *overrides])
    assert isinstance(config, MageConfig)
    torch.manual_seed(0)
    return Mage(config, policy.agent.sizes, policy.statistics).eval()


def windows(agent: Mage, returns: list[tuple[float, float]]) -> Tensor:
    """Decoded windows (N, H, X) with these returns at their first and last steps, in the data's units."""
    generator = torch.Generator().manual_seed(0)
    decoded_NHX = torch.randn(len(returns), agent.config.autoencoder.horizon, 7, generator=generator)
    first, last = torch.tensor(returns).T
    for step, value_N in ((0, first), (-1, last)):
        decoded_NHX[:, step, 0] = (value_N - agent.mean_Y[0]) / agent.deviation_Y[0]
    return decoded_NHX


def test_a_plan_promises_the_return_that_it_decodes_to(tiny_policy: Policy) -> None:
    agent = chooser(tiny_policy)
    torch.testing.assert_close(promises(agent, windows(agent, [(3.0, 1.0), (-2.0, 0.0)])), torch.tensor([3.0, -2.0]))


def test_beyond_a_plans_end_counts_the_value_and_not_what_came_there(tiny_policy: Policy) -> None:
    agent = chooser(tiny_policy, "condition.kind=advantage", "condition.reward.scale=2", "autoencoder.step_stride=2")
    assert agent.advantage is not None
    agent.discount.fill_(0.9)
    decoded_NHX = windows(agent, [(3.0, 1.0), (3.0, 5.0)])
    with torch.no_grad():
        value_N = agent.advantage(decoded_NHX[:, -1, 1:])
        found_N = promises(agent, decoded_NHX)
    ahead = 0.9 ** (2 * (agent.config.autoencoder.horizon - 1))
    torch.testing.assert_close(found_N, 2 * (3 - ahead * torch.tensor([1.0, 5.0])) + ahead * value_N)


@pytest.mark.parametrize(("implausible", "order"), [("100", [1, 0, 2]), ("0.5", [0, 2, 1])])
def test_a_plan_that_begins_elsewhere_comes_last(tiny_policy: Policy, implausible: str, order: list[int]) -> None:
    agent = chooser(tiny_policy, f"policy.implausible={implausible}")
    decoded_NHX = windows(agent, [(3.0, 0.0), (9.0, 0.0), (1.0, 0.0)])
    condition_NY = torch.cat([torch.zeros(3, 1), decoded_NHX[:, 0, 1:]], 1)
    condition_NY[1, 1:] += 0.6  # the plan that promises most is of another place
    agent.adapted_decoder = None
    agent.autoencoder.decoder = Decoded(decoded_NHX)  # type: ignore[assignment]
    found_N = merits(agent, torch.zeros(3, 1, 1), torch.zeros(3, 2), condition_NY)
    assert found_N.argsort(descending=True).tolist() == order
    assert bool((found_N <= -REFUSED).any()) == (implausible == "0.5")


class Decoded(torch.nn.Module):
    """A decoder that decodes to these windows."""

    def __init__(self, decoded_NHX: Tensor) -> None:
        super().__init__()
        self.decoded_NHX = decoded_NHX

    def forward(self, latent_NLC: Tensor, return_N1: Tensor) -> Tensor:
        return self.decoded_NHX
