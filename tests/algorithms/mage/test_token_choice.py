"""From logits to codes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mage.algorithms.mage.config import PolicyConfig
from mage.algorithms.mage.token_choice import TokenChoice, all_rows, row_by_row, straight_through_gumbel
from tests.algorithms.mage.builders import generators, random

CODEBOOK_VC = random(16, 8, seed=9)


def drawing(temperature: float = 1.0, top_k: int | None = None, seed: int = 0) -> TokenChoice:
    config = PolicyConfig(sampling="sample", temperature=temperature, top_k=top_k)
    return TokenChoice(config, all_rows(generators(seed)[0]))


def tokens(choose: TokenChoice, logits_BlV: Tensor) -> Tensor:
    return choose(logits_BlV, random(logits_BlV.shape[-1], 8))[0]


def test_tokens_are_drawn_in_proportion_to_the_softmax() -> None:
    logits_V = torch.tensor([0.0, 1.0, 2.0])
    drawn = tokens(drawing(0.5), logits_V.expand(1, 20_000, 3))
    share_V = torch.bincount(drawn[0], minlength=3) / 20_000
    torch.testing.assert_close(share_V, (logits_V / 0.5).softmax(-1), atol=0.015, rtol=0)


@given(st.integers(1, 16))
def test_only_the_k_likeliest_codes_are_drawn(top_k: int) -> None:
    logits_V = random(16)
    drawn = tokens(drawing(3.0, top_k), logits_V.expand(1, 2000, 16))
    assert set(drawn.unique().tolist()) == set(logits_V.topk(top_k).indices.tolist())


@pytest.mark.parametrize("sampling", ["greedy", "sample"])
def test_the_codes_are_those_of_the_tokens(sampling: str) -> None:
    choose = TokenChoice(PolicyConfig.model_validate({"sampling": sampling}), all_rows(generators(0)[0]))
    tokens_Bl, codes_BlC = choose(random(3, 5, 16), CODEBOOK_VC)
    assert torch.equal(codes_BlC, CODEBOOK_VC[tokens_Bl])


def test_greedy_tokens_are_the_likeliest_whatever_the_temperature() -> None:
    logits_BlV = random(3, 5, 16)
    drawn = tokens(TokenChoice(PolicyConfig(temperature=7.0)), logits_BlV)
    assert torch.equal(drawn, logits_BlV.argmax(-1))


@given(st.floats(0.2, 5.0), st.one_of(st.none(), st.integers(1, 16)))
@settings(max_examples=30)
def test_an_expected_code_is_the_codebook_weighed_by_the_probabilities(temperature: float, top_k: int | None) -> None:
    logits_BlV = random(3, 5, 16)
    config = PolicyConfig(sampling="expected", temperature=temperature, top_k=top_k)
    tokens_Bl, codes_BlC = TokenChoice(config)(logits_BlV, CODEBOOK_VC)
    assert torch.equal(tokens_Bl, logits_BlV.argmax(-1))
    weight_BlV = (logits_BlV / temperature).exp()
    likeliest_BlK = logits_BlV.argsort(-1, descending=True)[..., : top_k or 16]
    weight_BlV = weight_BlV * torch.zeros_like(weight_BlV).scatter(-1, likeliest_BlK, 1.0)
    weight_BlV = weight_BlV / weight_BlV.sum(-1, keepdim=True)
    expected_BlC = sum(weight_BlV[..., v, None] * CODEBOOK_VC[v] for v in range(16))
    torch.testing.assert_close(codes_BlC, expected_BlC, atol=1e-5, rtol=1e-4)


def test_noise_row_by_row_follows_its_generator_not_its_place() -> None:
    shape = torch.Size((3, 5, 7))
    one, other = row_by_row(generators(0, 1, 2))(shape), row_by_row(generators(5, 6, 1))(shape)
    assert torch.equal(one[1], other[2])
    assert not torch.equal(one[0], one[1])


@given(st.integers(0, 100), st.floats(0.1, 5.0))
@settings(max_examples=30)
def test_the_straight_through_choice_is_one_hot_forward(seed: int, temperature: float) -> None:
    choice_BTV = straight_through_gumbel(random(3, 5, 7, seed=seed), temperature, generators(seed)[0])
    torch.testing.assert_close(choice_BTV.amax(-1), torch.ones(3, 5))
    torch.testing.assert_close(choice_BTV.sum(-1), torch.ones(3, 5))
    torch.testing.assert_close(choice_BTV * (1 - choice_BTV), torch.zeros(3, 5, 7), atol=1e-6, rtol=0)


def test_the_straight_through_choice_has_the_gradient_of_the_softmax() -> None:
    logits_BTV, weight_BTV = random(3, 5, 7).requires_grad_(), random(3, 5, 7, seed=1)
    # noise does not matter to a temperature so high that the softmax is flat
    (straight_through_gumbel(logits_BTV, 1e4, generators(0)[0]) * weight_BTV).sum().backward()
    expected_BTV = (weight_BTV - weight_BTV.mean(-1, keepdim=True)) / 7 / 1e4
    torch.testing.assert_close(logits_BTV.grad, expected_BTV, atol=1e-7, rtol=1e-2)
