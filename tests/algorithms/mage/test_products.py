"""Products in 8 bits are near to those in single precision, and come out alike wherever they are packed."""

import copy
import pickle

import pytest
import torch
from torch import nn

from mage.algorithms.mage.acting import Generation
from mage.algorithms.mage.products import EightBits, linear
from mage.algorithms.mage.token_choice import TokenChoice
from tests.algorithms.mage.builders import conditions, quantizer, random, transformer


@pytest.mark.parametrize("shape", [(3, 48), (2, 5, 48)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_in_8_bits_is_off_by_little(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(48, 32, bias=bias), random(*shape)
    with torch.inference_mode():
        exact, found = layer(inputs), linear(layer, in_8_bits=True)(inputs)
    assert found.shape == exact.shape
    off = (found - exact).pow(2).mean().sqrt() / exact.std()
    assert 1e-4 < off < 0.03


def test_a_row_of_noughts_stays_nought() -> None:
    layer = nn.Linear(8, 4)
    layer.weight.data[1] = 0
    with torch.inference_mode():
        torch.testing.assert_close(EightBits(layer)(random(3, 8))[:, 1], layer.bias[1].expand(3))


def test_copies_and_what_is_sent_give_the_same_product() -> None:
    product, inputs = EightBits(nn.Linear(8, 4)), random(3, 8)
    expected = product(inputs)
    assert torch.equal(copy.deepcopy(product)(inputs), expected)
    assert torch.equal(pickle.loads(pickle.dumps(product))(inputs), expected)


def test_in_8_bits_most_tokens_of_the_first_scale_are_those_of_the_plain_pass() -> None:
    model, codes, condition_BY = transformer((4, 8)), quantizer((4, 8)), conditions(64)
    maps, latent_BLC = Generation(model, codes, 64, in_8_bits=True)(condition_BY, TokenChoice())
    plain, plain_BLC = model.generate(condition_BY, codes)
    assert (maps[0] == plain[0]).float().mean() > 0.8
    assert not torch.equal(latent_BLC, plain_BLC)
    torch.testing.assert_close(latent_BLC, codes.decode(maps))
