"""Acting generates what the plain pass generates, to the bit, and forgets one step at the next."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mage.algorithms.mage.acting import Generation
from mage.algorithms.mage.config import PolicyConfig
from mage.algorithms.mage.token_choice import TokenChoice, row_by_row
from tests.algorithms.mage.builders import conditions, generators, quantizer, transformer

SCHEDULES = st.sampled_from([(8,), (1, 8), (1, 3, 8), (1, 2, 4, 8), (1, 2, 3, 4, 5, 6, 7, 8), (2, 5, 12)])
CHOICES = (
    {"sampling": "greedy"},
    {"sampling": "expected", "temperature": 2.0},
    {"sampling": "sample", "temperature": 2.0},
    {"sampling": "sample", "top_k": 3},
)


def choice(policy: dict[str, object], batch: int) -> TokenChoice:
    return TokenChoice(PolicyConfig.model_validate(policy), row_by_row(generators(*range(batch))))


@given(
    scales=SCHEDULES,
    depth=st.integers(1, 3),
    shape=st.sampled_from([(16, 2), (16, 1), (12, 3), (64, 4)]),
    return_condition=st.sampled_from(["all_scales", "first_scale", "none"]),
    policy=st.sampled_from(CHOICES),
    batch=st.sampled_from([1, 2, 3, 4, 7, 25]),
    seed=st.integers(0, 50),
)
@settings(max_examples=30)
def test_acting_generates_the_tokens_and_latents_of_the_plain_pass_to_the_bit(
    scales: tuple[int, ...],
    depth: int,
    shape: tuple[int, int],
    return_condition: str,
    policy: dict[str, object],
    batch: int,
    seed: int,
) -> None:
    model = transformer(scales, depth, seed, embed_dim=shape[0], num_heads=shape[1], return_condition=return_condition)
    codes = quantizer(scales, seed)
    generation = Generation(model, codes, batch)
    for step in range(2):  # what the cache holds of the step before must not be seen
        condition_BY = conditions(batch, seed + step)
        maps, latent_BLC = generation(condition_BY, choice(policy, batch))
        plain, plain_BLC = model.generate(condition_BY, codes, choice(policy, batch))
        assert all(torch.equal(one, other) for one, other in zip(maps, plain, strict=True))
        assert torch.equal(latent_BLC, plain_BLC)


@pytest.mark.parametrize("wanted", [1, 2, 3])
def test_scales_that_nobody_reads_are_left_out_and_the_others_are_the_same(wanted: int) -> None:
    model, codes, condition_BY = transformer(), quantizer(), conditions()
    maps, latent_BLC = Generation(model, codes, len(condition_BY), wanted)(condition_BY, TokenChoice())
    plain, _ = model.generate(condition_BY, codes)
    assert len(maps) == wanted
    assert all(torch.equal(one, other) for one, other in zip(maps, plain, strict=False))
    torch.testing.assert_close(latent_BLC, codes.decode(plain[:wanted]))


def test_generations_of_one_network_keep_their_caches_apart() -> None:
    model, codes, condition_BY = transformer(), quantizer(), conditions()
    one, other = Generation(model, codes, 4), Generation(model, codes, 4)
    own = one.blocks[0].known[-1][0]
    one(condition_BY, TokenChoice())
    before = own.clone()
    other(conditions(seed=1), TokenChoice())
    assert torch.equal(own, before)


def test_a_copied_generation_generates_the_same() -> None:
    model, codes, condition_BY = transformer(), quantizer(), conditions()
    generation = Generation(model, codes, 4)
    copied = copy.deepcopy(generation)
    assert torch.equal(copied(condition_BY, TokenChoice())[1], generation(condition_BY, TokenChoice())[1])
