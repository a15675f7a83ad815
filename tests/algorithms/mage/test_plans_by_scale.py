import numpy as np
import pytest
import torch

from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.plans_by_scale import plans_by_scale
from mage.algorithms.mage.token_choice import TokenChoice, all_rows
from mage.interface import Policy


@pytest.mark.parametrize(
    "policy",
    [{}, {"sampling": "expected"}, {"sampling": "sample", "candidates": 3}],
    ids=["greedy", "expected", "best of several"],
)
def test_the_finest_view_is_what_the_policy_acts_on_and_each_scale_adds(
    tiny_policy: Policy, policy: dict[str, object]
) -> None:
    tiny = tiny_policy.agent
    assert isinstance(tiny, Mage)
    config = tiny.config.model_copy(update={"policy": type(tiny.config.policy)(**policy)})
    agent = Mage(config, tiny.sizes, tiny.statistics).eval()
    agent.load_state_dict(tiny.state_dict())
    condition_BY = torch.randn(4, 1 + tiny.sizes.observation, generator=torch.Generator().manual_seed(0))
    views = plans_by_scale(agent, condition_BY)
    assert list(views) == ["scale 1", "scales 1 to 2", "scales 1 to 3"]
    with torch.no_grad():
        choose = TokenChoice(config.policy, all_rows(torch.Generator().manual_seed(0)))
        latent_BLC = agent.decide(condition_BY, choose).latent_BLC
        decoded_BHS = agent.decoder(latent_BLC, condition_BY[:, :1])[..., agent.autoencoder.layout["state"]]
    whole_BHS = decoded_BHS * agent.deviation_Y[1:] + agent.mean_Y[1:]
    np.testing.assert_allclose(views["scales 1 to 3"], whole_BHS, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(views["scale 1"], views["scales 1 to 3"])
