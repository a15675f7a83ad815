"""A codebook that moving averages carry."""

import torch

from mage.nn.codebook import Codebook
from tests.algorithms.mage.builders import random


def codebook(codes: int = 4, width: int = 3, decay: float = 0.99) -> Codebook:
    torch.manual_seed(0)
    return Codebook(codes, width, decay)


def test_codes_start_small_and_no_gradient_reaches_them() -> None:
    made = codebook(50)
    assert float(made.code_VC.abs().max()) <= 1 / 50
    assert torch.equal(made.sum_VC, made.code_VC) and made.count_V.eq(1).all()
    assert list(made.parameters()) == []


def test_the_nearest_code_is_chosen() -> None:
    made, latent_BMC = codebook(), random(2, 5, 3)
    made.code_VC.copy_(random(4, 3, seed=1))
    distance = (latent_BMC.unsqueeze(2) - made.code_VC).norm(dim=-1)
    assert torch.equal(made.nearest(latent_BMC), distance.argmin(-1))
    assert made.lookup(made.nearest(latent_BMC)).shape == (2, 5, 3)


def test_one_step_of_the_averages() -> None:
    made, latent_NC = codebook(2, 1), torch.tensor([[2.0], [4.0]])
    before = made.code_VC.clone()
    made.learn(latent_NC, torch.tensor([0, 0]))
    torch.testing.assert_close(made.code_VC[0], (0.99 * before[0] + 0.01 * 6) / (0.99 + 0.02))
    torch.testing.assert_close(made.code_VC[1], before[1])


def test_a_code_becomes_the_mean_of_what_chooses_it_and_one_that_nothing_chooses_stays_where_it_is() -> None:
    made, latent_NC = codebook(decay=0.9), random(8, 3) + 5
    before = made.code_VC.clone()
    for _ in range(2000):  # until what is left of the first count is no longer a number
        made.learn(latent_NC, torch.zeros(8, dtype=torch.long))
    torch.testing.assert_close(made.code_VC[0], latent_NC.mean(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(made.code_VC[1:], before[1:])
    assert made.nearest(latent_NC).eq(0).all()
    for _ in range(3):  # and it comes back to life when it is chosen
        made.learn(latent_NC, torch.ones(8, dtype=torch.long))
    torch.testing.assert_close(made.code_VC[1], latent_NC.mean(0), atol=1e-3, rtol=0)
