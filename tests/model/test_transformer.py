import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mage.model.transformer import TokenChoice, block_causal_mask
from tests.model.builders import OBSERVATION_SIZE, quantizer, random, token_maps, transformer

SCHEDULES = st.sampled_from([(8,), (1, 8), (1, 3, 8), (1, 2, 4, 8), (1, 2, 3, 4, 5, 6, 7, 8)])
SCALES = (1, 3, 8)


def conditions(batch: int = 4, seed: int = 0) -> torch.Tensor:
    return random(batch, 1 + OBSERVATION_SIZE, seed=seed)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@given(SCHEDULES, st.integers(0, 50))
@settings(max_examples=20)
def test_generation_with_the_cache_equals_the_pass_without_it_token_for_token(
    scales: tuple[int, ...], seed: int
) -> None:
    model, codes, condition_BX = transformer(scales, seed=seed), quantizer(scales, seed), conditions(seed=seed)
    maps, latent_BLC = model.generate(condition_BX, codes)
    with torch.no_grad():
        logits_BTV = model(maps, condition_BX, codes)
    assert torch.equal(logits_BTV.argmax(-1), torch.cat(maps, 1))
    torch.testing.assert_close(latent_BLC, codes.decode(maps))


def test_the_tokens_that_these_tests_generate_are_not_all_alike() -> None:
    maps, _ = transformer().generate(conditions(), quantizer())
    assert len(torch.cat(maps, 1).unique()) > 3
    assert len(torch.cat(maps, 1).unique(dim=0)) == 4


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


@given(SCHEDULES)
def test_the_mask_lets_a_token_look_at_its_own_and_coarser_scales(scales: tuple[int, ...]) -> None:
    mask = block_causal_mask(scales)
    ends = torch.tensor([sum(scales[: k + 1]) for k, length in enumerate(scales) for _ in range(length)])
    assert torch.equal(mask, torch.arange(sum(scales)) < ends[:, None])


@pytest.mark.parametrize("value", range(1 + OBSERVATION_SIZE))
def test_every_value_of_the_condition_reaches_every_scale(value: int) -> None:
    model, codes, maps, condition_BX = transformer(), quantizer(), token_maps(), conditions()
    other_BX = condition_BX.clone()
    other_BX[:, value] += 1
    before = model(maps, condition_BX, codes).split(SCALES, 1)
    after = model(maps, other_BX, codes).split(SCALES, 1)
    for k in range(len(SCALES)):
        assert (before[k] - after[k]).abs().amax((0, 2)).min() > 1e-3


@given(st.integers(0, 50), st.floats(0.5, 2.0))
@settings(max_examples=20)
def test_a_drawn_token_does_not_depend_on_its_neighbours(seed: int, temperature: float) -> None:
    model, codes = transformer(), quantizer()
    condition_BX, other_BX = conditions(seed=seed), conditions(seed=seed + 1)
    other_BX[1] = condition_BX[1]
    drawn, _ = model.generate(condition_BX, codes, TokenChoice(temperature, None, generators(1, seed, 2, 3)))
    again, _ = model.generate(other_BX, codes, TokenChoice(temperature, None, generators(7, seed, 8, 9)))
    assert torch.equal(torch.cat(drawn, 1)[1], torch.cat(again, 1)[1])


def test_another_generator_draws_other_tokens() -> None:
    model, codes, condition_BX = transformer(), quantizer(), conditions(1).repeat(4, 1)
    drawn, _ = model.generate(condition_BX, codes, TokenChoice(2.0, None, generators(0, 1, 2, 3)))
    assert len(torch.cat(drawn, 1).unique(dim=0)) == 4


def test_drawing_among_the_single_likeliest_code_is_greedy() -> None:
    model, codes, condition_BX = transformer(), quantizer(), conditions()
    greedy, _ = model.generate(condition_BX, codes)
    drawn, _ = model.generate(condition_BX, codes, TokenChoice(5.0, 1, generators(0, 1, 2, 3)))
    assert torch.equal(torch.cat(drawn, 1), torch.cat(greedy, 1))


def test_tokens_are_drawn_in_proportion_to_the_softmax() -> None:
    logits_V = torch.tensor([0.0, 1.0, 2.0])
    drawn = TokenChoice(0.5, None, generators(0))(logits_V.expand(1, 20_000, 3))
    share_V = torch.bincount(drawn[0], minlength=3) / 20_000
    torch.testing.assert_close(share_V, (logits_V / 0.5).softmax(-1), atol=0.015, rtol=0)


@given(st.integers(1, 16))
def test_only_the_k_likeliest_codes_are_drawn(top_k: int) -> None:
    logits_V = random(16)
    drawn = TokenChoice(3.0, top_k, generators(0))(logits_V.expand(1, 2000, 16))
    assert set(drawn.unique().tolist()) == set(logits_V.topk(top_k).indices.tolist())
