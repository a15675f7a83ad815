import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mage.algorithms.mage.quantizer import MultiScaleQuantizer, averaging_matrix, codebook_use, interpolation_matrix
from tests.algorithms.mage.builders import autoencoder_config, quantizer, random

SCHEDULES = st.sampled_from([(8,), (1, 8), (1, 3, 8), (1, 2, 4, 8), (1, 2, 3, 4, 5, 6, 7, 8)])


def train(learner: MultiScaleQuantizer, latent_BLC: Tensor, steps: int) -> None:
    """Updates of the codebook alone, on one batch."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        learner.quantize(latent_BLC, generator)


@given(SCHEDULES, st.integers(0, 100))
@settings(max_examples=20)
def test_algorithm_2_rebuilds_what_algorithm_1_summed(scales: tuple[int, ...], seed: int) -> None:
    model, latent_BLC = quantizer(scales, seed), random(6, 8, 8, seed=seed)
    maps = model.encode(latent_BLC)
    assert [tuple(tokens.shape) for tokens in maps] == [(6, length) for length in scales]
    quantized = model.quantize(latent_BLC)
    torch.testing.assert_close(model.decode(maps), quantized.latent_BLC)
    assert all(torch.equal(a, b) for a, b in zip(maps, quantized.token_maps, strict=True))


def test_every_scale_explains_what_the_coarser_ones_left_over() -> None:
    model, residual_BLC = quantizer(), random(6, 8, 8)
    maps = model.encode(residual_BLC)
    norms = model.quantize(residual_BLC).residual_norms
    for k, tokens_Bl in enumerate(maps):
        low_BlC = torch.einsum("lL,BLC->BlC", model.down[k], residual_BLC)
        assert torch.equal(torch.cdist(low_BlC, model.codebook_VC[None]).argmin(-1), tokens_Bl)
        residual_BLC = residual_BLC - torch.einsum("Ll,BlC->BLC", model.up[k], model.codebook_VC[tokens_Bl])
        torch.testing.assert_close(norms[k], residual_BLC.pow(2).mean())


def test_residuals_shrink_from_scale_to_scale_once_the_codebook_has_learned() -> None:
    torch.manual_seed(0)
    model = MultiScaleQuantizer(autoencoder_config((1, 2, 4, 8), codebook_size=64))
    latent_BLC = random(64, 1, 8) + 0.5 * random(64, 8, 8, seed=1)
    train(model, latent_BLC, 100)
    norms = [latent_BLC.pow(2).mean(), *model.quantize(latent_BLC).residual_norms]
    assert all(finer < coarser for coarser, finer in itertools.pairwise(norms)), norms
    assert norms[-1] < 0.2 * norms[0]


def test_codes_that_no_latent_chooses_are_restarted() -> None:
    model, latent_BLC = MultiScaleQuantizer(autoencoder_config((8,))), random(64, 8, 8)
    model.codebook_VC.fill_(100.0)
    model.code_count_V.fill_(0.11)
    model.code_sum_VC.fill_(11.0)
    assert codebook_use(model.encode(latent_BLC), 16)["codes_used_all"] == 100 / 16
    train(model, latent_BLC, 20)
    assert int(model.restarts) == 15  # all but the one that was chosen, once
    assert codebook_use(model.encode(latent_BLC), 16)["codes_used_all"] > 80


def test_without_restarts_a_code_that_is_not_chosen_stays_where_it_is() -> None:
    torch.manual_seed(0)
    config = autoencoder_config().model_copy(update={"dead_code_threshold": 0.0})
    model = MultiScaleQuantizer(config)
    model.codebook_VC[3] = 50.0
    start_VC = model.codebook_VC.clone()
    train(model, random(64, 8, 8), 3)
    assert torch.equal(model.codebook_VC[3], start_VC[3])
    assert int(model.restarts) == 0
    assert not torch.equal(model.codebook_VC, start_VC)


def test_a_chosen_code_moves_to_the_mean_of_the_latents_that_chose_it() -> None:
    torch.manual_seed(0)
    model = MultiScaleQuantizer(autoencoder_config((8,), codebook_size=2))
    model.codebook_VC.copy_(torch.tensor([[5.0], [-5.0]]).expand(2, 8))
    latent_BLC = random(64, 8, 8) + torch.where(torch.arange(64) < 32, 5.0, -5.0)[:, None, None]
    train(model, latent_BLC, 1)
    torch.testing.assert_close(model.codebook_VC[0], latent_BLC[:32].mean((0, 1)))
    torch.testing.assert_close(model.codebook_VC[1], latent_BLC[32:].mean((0, 1)))


def test_without_a_generator_nothing_is_learned() -> None:
    model = quantizer()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.quantize(random(6, 8, 8))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_straight_through_gradient_reaches_the_encoder_as_if_nothing_were_quantized() -> None:
    model, latent_BLC = quantizer(), random(6, 8, 8).requires_grad_()
    weight_BLC = random(6, 8, 8, seed=1)
    (model.quantize(latent_BLC).latent_BLC * weight_BLC).sum().backward()
    torch.testing.assert_close(latent_BLC.grad, weight_BLC)


def test_the_loss_commits_the_encoder_and_teaches_the_scale_matrices() -> None:
    model, latent_BLC = quantizer(), random(6, 8, 8).requires_grad_()
    quantized = model.quantize(latent_BLC)
    quantized.loss.backward()
    built_BLC = quantized.latent_BLC.detach()
    expected_BLC = 2 * 0.25 * (latent_BLC.detach() - built_BLC) / latent_BLC.numel()
    torch.testing.assert_close(latent_BLC.grad, expected_BLC)
    for matrix in [*model.down, *model.up]:
        assert matrix.grad is not None
        assert matrix.grad.abs().max() > 0


def test_the_coarse_scales_are_a_sum_of_their_codes_and_teach_only_what_they_hold() -> None:
    model, latent_BLC = quantizer(), random(3, 8, 8).requires_grad_()
    quantized = model.quantize(latent_BLC)
    for scales in (1, 2, 3):
        coarse_BLC = model.coarse(latent_BLC, quantized, scales)
        torch.testing.assert_close(coarse_BLC, model.decode(quantized.token_maps[:scales]))
    (gradient_BLC,) = torch.autograd.grad(
        (model.coarse(latent_BLC, quantized, 1) * random(3, 8, 8, seed=1)).sum(), latent_BLC
    )
    # one token a window: every place of f counts as it enters that token, and in no other way
    weight_L = model.down[0].detach()[0]
    ratio_BLC = gradient_BLC / weight_L[:, None]
    torch.testing.assert_close(ratio_BLC, ratio_BLC[:, :1].expand_as(ratio_BLC), atol=1e-4, rtol=1e-3)
    assert not model.down[0].grad and not model.up[0].grad


@given(st.integers(1, 24), st.integers(1, 24))
def test_averaging_and_interpolation_keep_a_constant_constant(a: int, b: int) -> None:
    coarse, fine = min(a, b), max(a, b)
    torch.testing.assert_close(averaging_matrix(coarse, fine).sum(1), torch.ones(coarse))
    torch.testing.assert_close(interpolation_matrix(fine, coarse).sum(1), torch.ones(fine))
    assert averaging_matrix(coarse, fine).min() >= 0
    assert interpolation_matrix(fine, coarse).min() >= 0


@given(st.integers(1, 24))
def test_the_finest_scale_starts_as_the_identity(length: int) -> None:
    torch.testing.assert_close(averaging_matrix(length, length), torch.eye(length))
    torch.testing.assert_close(interpolation_matrix(length, length), torch.eye(length))


def test_averaging_halves_by_the_mean_of_neighbours() -> None:
    values = torch.tensor([1.0, 3.0, 5.0, 9.0])
    torch.testing.assert_close(averaging_matrix(2, 4) @ values, torch.tensor([2.0, 7.0]))
    torch.testing.assert_close(averaging_matrix(1, 4) @ values, torch.tensor([4.5]))


def test_codebook_use_counts_codes_and_their_spread() -> None:
    maps = [torch.tensor([[0], [0]]), torch.tensor([[0, 1], [2, 3]])]
    use = codebook_use(maps, 8)
    assert (use["codes_used_scale1"], use["codes_used_scale2"], use["codes_used_all"]) == (12.5, 50.0, 50.0)
    assert use["perplexity_scale1"] == pytest.approx(1)
    assert use["perplexity_scale2"] == pytest.approx(4)
    entropy = -(0.5 * math.log(0.5) + 3 * (1 / 6) * math.log(1 / 6))
    assert use["perplexity_all"] == pytest.approx(math.exp(entropy))
