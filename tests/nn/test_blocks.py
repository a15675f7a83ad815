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


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=20)
def test_tokens_that_are_not_shown_are_seen_by_none_with_a_cache_or_without(pieces: list[int]) -> None:
    layer, tokens = block(), sum(pieces) + 1  # the first one is shown, and every other
    x_BTD, place_T = random(2, tokens, 16), torch.arange(tokens)
    causal_TT = place_T[:, None] >= place_T[None, :]
    hidden = place_T % 2 == 1
    whole_BTD = layer(x_BTD, causal_TT & ~hidden)
    shown = (~hidden).nonzero().squeeze(1)
    torch.testing.assert_close(layer(x_BTD, causal_TT[:, shown], shown=shown), whole_BTD)
    cache, parts = layer.new_cache(2, tokens), []
    for place in torch.split(place_T, [1, *pieces]):
        mask = causal_TT[place][:, shown[shown <= place[-1]]]
        parts.append(layer(x_BTD[:, place], mask, cache, (place % 2 == 0).nonzero().squeeze(1)))
    torch.testing.assert_close(torch.cat(parts, 1), whole_BTD)


def test_a_cache_goes_on_with_chosen_rows() -> None:
    layer, x_BTD, chosen = block(), random(3, 5, 16), torch.tensor([2, 0, 0, 1])
    cache = layer.new_cache(3, 5)
    layer(x_BTD[:, :4], torch.ones(4, 4).tril().bool(), cache)
    cache.select(chosen)
    whole_BTD = layer(x_BTD[chosen], torch.ones(5, 5).tril().bool())
    torch.testing.assert_close(layer(x_BTD[chosen, 4:], cache=cache), whole_BTD[:, 4:])
