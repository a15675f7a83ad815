import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mage.nn.blocks import Block
from tests.algorithms.mage.builders import random


def block(dropout: float = 0.0) -> Block:
    torch.manual_seed(0)
    return Block(16, 2, dropout)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=20)
def test_a_cache_filled_in_pieces_equals_one_masked_pass(pieces: list[int]) -> None:
    layer, x_BTD = block(), random(3, sum(pieces), 16)
    piece_T = torch.repeat_interleave(torch.arange(len(pieces)), torch.tensor(pieces))
    whole_BTD = layer(x_BTD, piece_T[:, None] >= piece_T[None, :])
    cache = layer.new_cache(3, sum(pieces))
    in_pieces_BTD = torch.cat([layer(part, cache=cache) for part in x_BTD.split(pieces, 1)], 1)
    torch.testing.assert_close(in_pieces_BTD, whole_BTD)


def test_without_a_mask_every_token_sees_every_other() -> None:
    layer, x_BTD = block(), random(1, 4, 16).requires_grad_()
    layer(x_BTD)[0, 0].sum().backward()
    assert x_BTD.grad is not None
    assert x_BTD.grad[0].abs().amax(1).min() > 0


def test_dropout_is_for_training_only() -> None:
    layer, x_BTD = block(dropout=0.5), random(1, 4, 16)
    assert not torch.equal(layer(x_BTD), layer(x_BTD))
    assert torch.equal(layer.eval()(x_BTD), layer(x_BTD))
