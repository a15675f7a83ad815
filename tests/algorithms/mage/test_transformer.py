"""Token maps coarse to fine: what each scale sees, and that generating them with a cache changes nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mage.algorithms.mage.config import PolicyConfig
from mage.algorithms.mage.quantizer import MultiScaleQuantizer
from mage.algorithms.mage.token_choice import TokenChoice, row_by_row, straight_through_gumbel
from mage.algorithms.mage.transformer import MultiScaleTransformer
from mage.nn.blocks import block_causal_mask
from tests.algorithms.mage.builders import (
    OBSERVATION_SIZE,
    conditions,
    generators,
    quantizer,
    random,
    token_maps,
    transformer,
)

SCHEDULES = st.sampled_from([(8,), (1, 8), (1, 3, 8), (1, 2, 4, 8), (1, 2, 3, 4, 5, 6, 7, 8)])
RETURN_CONDITIONS = ("all_scales", "first_scale", "none")
SCALES = (1, 3, 8)


def drawing(temperature: float, *seeds: int, top_k: int | None = None) -> TokenChoice:
    config = PolicyConfig(sampling="sample", temperature=temperature, top_k=top_k)
    return TokenChoice(config, row_by_row(generators(*seeds)))


def precise(
    scales: tuple[int, ...], return_condition: str, seed: int
) -> tuple[MultiScaleTransformer, MultiScaleQuantizer, Tensor]:
    """In double precision: no two codes are so nearly as likely that rounding decides between them."""
    model = transformer(scales, seed=seed, return_condition=return_condition).double()
    return model, quantizer(scales, seed).double(), conditions(seed=seed).double()


@given(SCHEDULES, st.sampled_from(RETURN_CONDITIONS), st.integers(0, 50))
@settings(max_examples=30)
def test_generation_with_the_cache_equals_the_pass_without_it_token_for_token(
    scales: tuple[int, ...], return_condition: str, seed: int
) -> None:
    model, codes, condition_BY = precise(scales, return_condition, seed)
    maps, latent_BLC = model.generate(condition_BY, codes)
    with torch.no_grad():
        logits_BTV = model(maps, condition_BY, codes)
    assert torch.equal(logits_BTV.argmax(-1), torch.cat(maps, 1))
    torch.testing.assert_close(latent_BLC, codes.decode(maps))


@pytest.mark.parametrize("given_scales", [1, 2, 3])
def test_generation_goes_on_from_the_token_maps_that_it_is_given(given_scales: int) -> None:
    model, codes, condition_BY = precise((1, 3, 8), "all_scales", 0)
    given = token_maps()[:given_scales]
    maps, latent_BLC = model.generate(condition_BY, codes, given=given)
    free, _ = model.generate(condition_BY, codes)
    assert all(torch.equal(own, kept) for own, kept in zip(given, maps, strict=False))
    assert not any(torch.equal(one, other) for one, other in zip(maps, free, strict=True))
    with torch.no_grad():
        logits_BTV = model(maps, condition_BY, codes)
    first = sum(model.schedule[:given_scales])
    assert torch.equal(logits_BTV[:, first:].argmax(-1), torch.cat(maps, 1)[:, first:])
    torch.testing.assert_close(latent_BLC, codes.decode(maps))


def test_the_tokens_that_these_tests_generate_are_not_all_alike() -> None:
    maps, _ = transformer().generate(conditions(), quantizer())
    assert len(torch.cat(maps, 1).unique()) > 3
    assert len(torch.cat(maps, 1).unique(dim=0)) == 4


@given(SCHEDULES, st.sampled_from(RETURN_CONDITIONS), st.integers(0, 50))
@settings(max_examples=20)
def test_an_unrolled_pass_of_the_likeliest_codes_is_the_generation(
    scales: tuple[int, ...], return_condition: str, seed: int
) -> None:
    model, codes, condition_BY = precise(scales, return_condition, seed)
    maps, latent_BLC = model.generate(condition_BY, codes)
    logits_BTV, unrolled_BLC = model.unroll(
        condition_BY, codes, lambda logits: F.one_hot(logits.argmax(-1), 16).to(logits)
    )
    assert torch.equal(logits_BTV.argmax(-1), torch.cat(maps, 1))
    torch.testing.assert_close(unrolled_BLC, latent_BLC)
    torch.testing.assert_close(logits_BTV, model(maps, condition_BY, codes))


@pytest.mark.parametrize("judged", [0, 1, 2])
def test_in_an_unrolled_pass_gradients_reach_the_logits_of_all_coarser_scales(judged: int) -> None:
    model, codes = transformer(), quantizer()
    seen: list[Tensor] = []

    def draw(logits: Tensor) -> Tensor:
        logits.retain_grad()
        seen.append(logits)
        return straight_through_gumbel(logits, 1.0, generators(0)[0])

    logits_BTV, _ = model.unroll(conditions(), codes, draw)
    logits_BTV.split(SCALES, 1)[judged].pow(2).sum().backward()
    reached = [logits.grad is not None and bool(logits.grad.abs().max() > 0) for logits in seen]
    assert reached == [k <= judged for k in range(3)]


@pytest.mark.parametrize("perturbed", [0, 1, 2])
def test_a_scale_depends_on_all_coarser_scales_and_on_no_finer_one(perturbed: int) -> None:
    model, codes, maps = transformer(), quantizer(), token_maps()
    other = list(maps)
    other[perturbed] = (maps[perturbed] + 1) % 16
    before = model(maps, conditions(), codes).split(SCALES, 1)
    after = model(other, conditions(), codes).split(SCALES, 1)
    for k in range(len(SCALES)):
        # a scale predicts its own tokens, so it must not see them either
        changed = not torch.equal(before[k], after[k])
        assert changed == (k > perturbed), f"scale {k} when scale {perturbed} changes"


def test_what_enters_at_a_finer_scale_leaks_into_no_coarser_one() -> None:
    model, codes, maps = transformer(), quantizer(), token_maps()
    before = model(maps, conditions(), codes).split(SCALES, 1)
    model.position_TD.data[-8:] += 1  # the input of the finest scale, whatever the tokens
    after = model(maps, conditions(), codes).split(SCALES, 1)
    assert [torch.equal(one, other) for one, other in zip(before, after, strict=True)] == [True, True, False]


@given(SCHEDULES)
def test_the_mask_lets_a_token_look_at_its_own_and_coarser_scales(scales: tuple[int, ...]) -> None:
    mask = block_causal_mask(scales)
    ends = torch.tensor([sum(scales[: k + 1]) for k, length in enumerate(scales) for _ in range(length)])
    assert torch.equal(mask, torch.arange(sum(scales)) < ends[:, None])


@pytest.mark.parametrize("value", range(1 + OBSERVATION_SIZE))
def test_every_value_of_the_condition_reaches_every_scale(value: int) -> None:
    model, codes, maps, condition_BY = transformer(), quantizer(), token_maps(), conditions()
    other_BY = condition_BY.clone()
    other_BY[:, value] += 1
    before = model(maps, condition_BY, codes).split(SCALES, 1)
    after = model(maps, other_BY, codes).split(SCALES, 1)
    for k in range(len(SCALES)):
        assert (before[k] - after[k]).abs().amax((0, 2)).min() > 1e-3


@pytest.mark.parametrize("scales", [(8,), SCALES])
def test_without_a_return_condition_the_return_is_ignored(scales: tuple[int, ...]) -> None:
    model, codes, condition_BY = transformer(scales, return_condition="none"), quantizer(scales), conditions()
    other_BY = condition_BY.clone()
    other_BY[:, 0] += 100
    maps = token_maps(scales)
    assert torch.equal(model(maps, condition_BY, codes), model(maps, other_BY, codes))
    assert torch.equal(model.generate(condition_BY, codes)[1], model.generate(other_BY, codes)[1])
    other_BY[:, 1] += 1
    assert not torch.equal(model(maps, condition_BY, codes), model(maps, other_BY, codes))


def test_with_the_return_at_the_first_scale_it_does_not_enter_at_the_finer_ones() -> None:
    model, codes, maps = transformer(return_condition="first_scale"), quantizer(), token_maps()
    richer_BY = conditions()
    richer_BY[:, 0] += 1
    built_BLC = codes.decode(maps[:1])
    one, other = (
        [model._scale_input(k, built_BLC if k else None, model.embed_conditions(condition_BY), codes) for k in (0, 1)]
        for condition_BY in (conditions(), richer_BY)
    )
    assert not torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    # what is left is what they see of the first scale; without that, nothing
    cut = model.mask_TT.clone()
    cut[1:, 0] = False
    model.mask_TT = cut
    before, after = (model(maps, condition_BY, codes).split(SCALES, 1) for condition_BY in (conditions(), richer_BY))
    assert [torch.equal(x, y) for x, y in zip(before, after, strict=True)] == [False, True, True]


def test_with_one_scale_and_the_return_at_the_first_no_parameter_waits_for_a_gradient() -> None:
    for return_condition in RETURN_CONDITIONS:
        model, codes = transformer((8,), return_condition=return_condition), quantizer((8,))
        model(token_maps((8,)), conditions(), codes).pow(2).sum().backward()
        learning = {name: value.grad for name, value in model.named_parameters() if value.requires_grad}
        assert [name for name, grad in learning.items() if grad is None] == []


@given(st.integers(0, 50), st.floats(0.5, 2.0))
@settings(max_examples=20)
def test_a_drawn_token_does_not_depend_on_its_neighbours(seed: int, temperature: float) -> None:
    model, codes = transformer(), quantizer()
    condition_BY, other_BY = conditions(seed=seed), conditions(seed=seed + 1)
    other_BY[1] = condition_BY[1]
    drawn, _ = model.generate(condition_BY, codes, drawing(temperature, 1, seed, 2, 3))
    again, _ = model.generate(other_BY, codes, drawing(temperature, 7, seed, 8, 9))
    assert torch.equal(torch.cat(drawn, 1)[1], torch.cat(again, 1)[1])


def test_another_generator_draws_other_tokens() -> None:
    model, codes, condition_BY = transformer(), quantizer(), conditions(1).repeat(4, 1)
    drawn, _ = model.generate(condition_BY, codes, drawing(2.0, 0, 1, 2, 3))
    assert len(torch.cat(drawn, 1).unique(dim=0)) == 4


def test_drawing_among_the_single_likeliest_code_is_greedy() -> None:
    model, codes, condition_BY = transformer(), quantizer(), conditions()
    greedy, _ = model.generate(condition_BY, codes)
    drawn, _ = model.generate(condition_BY, codes, drawing(5.0, 0, 1, 2, 3, top_k=1))
    assert torch.equal(torch.cat(drawn, 1), torch.cat(greedy, 1))


def test_expected_codes_are_fed_back_as_they_are() -> None:
    model, codes, condition_BY = transformer(), quantizer(), conditions()
    choose = TokenChoice(PolicyConfig(sampling="expected", temperature=2.0))
    _, latent_BLC = model.generate(condition_BY, codes, choose)
    _, unrolled_BLC = model.unroll(condition_BY, codes, lambda logits: (logits / 2.0).softmax(-1))
    torch.testing.assert_close(latent_BLC, unrolled_BLC)
    assert not torch.allclose(latent_BLC, model.generate(condition_BY, codes)[1])


def test_scales_are_told_apart_by_position_and_by_scale() -> None:
    model, codes, maps, condition_BY = transformer(), quantizer(), token_maps(), conditions()
    before = model(maps, condition_BY, codes)
    for parameter in (model.position_TD, model.scale_KD):
        changed = parameter.data.clone()
        parameter.data += random(*parameter.shape, seed=3)
        assert not torch.allclose(model(maps, condition_BY, codes), before)
        parameter.data = changed
