"""R_0 in every block, windows that are told none, and guidance."""

import pytest
import torch

from mage.algorithms.mage.heard_condition import ConditionBins, GuidedChoice, dropped, generate_guided, untold
from mage.algorithms.mage.token_choice import Choice, TokenChoice
from mage.algorithms.mage.transformer import MultiScaleTransformer
from mage.training.trainer import Trainer
from tests.algorithms.mage.builders import conditions, quantizer, random, token_maps, transformer
from tests.algorithms.mage.test_stages import INDICES, generator, stage_2


def hearing() -> MultiScaleTransformer:
    """With bins whose vectors are not 0, as after training."""
    made = transformer(condition_bins=4, condition_dropout=0.2)
    assert made.bins is not None
    made.bins.learn(random(1000, seed=3))
    made.bins.vector_NQD.data.normal_(generator=torch.Generator().manual_seed(4))
    return made


def test_bins_hold_equal_shares_of_the_data_and_nothing_has_one_of_its_own() -> None:
    bins = ConditionBins(4, blocks=2, width=1)
    bins.learn(torch.arange(1000.0))
    bins.vector_NQD.data[:] = torch.arange(5.0)[:, None]
    asked_B = torch.tensor([-7.0, 0.0, 249.0, 251.0, 600.0, 999.0, 5000.0, float("nan")])
    found_NB1D = bins(asked_B)
    assert found_NB1D.shape == (2, 8, 1, 1)
    for block_B1D in found_NB1D:
        assert block_B1D.flatten().tolist() == [0, 0, 0, 1, 2, 3, 3, 4]


def test_bins_say_nothing_before_they_are_trained() -> None:
    plain, with_bins = transformer(), transformer(condition_bins=4)
    with_bins.load_state_dict(with_bins.state_dict() | plain.state_dict())
    assert with_bins.bins is not None
    with_bins.bins.vector_NQD.data.zero_()
    with_bins.bins.learn(random(100))
    with torch.no_grad():
        logits_BTV = with_bins(token_maps(), conditions(), quantizer())
        assert torch.equal(logits_BTV, plain(token_maps(), conditions(), quantizer()))


def test_what_is_told_nothing_depends_on_no_return() -> None:
    model, codes = hearing(), quantizer()
    one_BY, other_BY = conditions(), conditions()
    other_BY[:, 0] += 1.5
    with torch.no_grad():
        told = [model(token_maps(), condition_BY, codes) for condition_BY in (one_BY, other_BY)]
        nothing = [model(token_maps(), untold(condition_BY), codes) for condition_BY in (one_BY, other_BY)]
    assert not torch.allclose(*told)
    assert torch.equal(*nothing) and nothing[0].isfinite().all()
    assert not torch.allclose(told[0], nothing[0])


def test_a_share_of_the_conditions_is_dropped_and_their_states_are_kept() -> None:
    condition_BY = conditions(2000)
    left_BY = dropped(condition_BY, 0.25, torch.Generator().manual_seed(0))
    assert float(left_BY[:, 0].isnan().float().mean()) == pytest.approx(0.25, abs=0.04)
    assert torch.equal(left_BY[:, 1:], condition_BY[:, 1:])
    kept_B = ~left_BY[:, 0].isnan()
    assert torch.equal(left_BY[kept_B], condition_BY[kept_B])


def test_guided_logits_lean_away_from_those_that_were_told_nothing() -> None:
    told_BlV, nothing_BlV, codebook_VC = random(2, 3, 7, seed=1), random(2, 3, 7, seed=2), random(7, 4)
    tokens_Bl, code_BlC = GuidedChoice(TokenChoice(), 1.5)(torch.cat([told_BlV, nothing_BlV]), codebook_VC)
    expected_Bl = (2.5 * told_BlV - 1.5 * nothing_BlV).argmax(-1)
    assert torch.equal(tokens_Bl, expected_Bl.repeat(2, 1))
    assert torch.equal(code_BlC, codebook_VC[tokens_Bl])
    assert not torch.equal(expected_Bl, told_BlV.argmax(-1))


def test_no_guidance_is_the_plain_generation_and_guidance_another() -> None:
    model, codes, condition_BY = hearing(), quantizer(), conditions(16)

    def generate(told_BY: torch.Tensor, choose: Choice) -> tuple[list[torch.Tensor], torch.Tensor]:
        return model.generate(told_BY, codes, choose)

    plain_BLC = generate(condition_BY, TokenChoice())[1]
    maps, latent_BLC = generate_guided(generate, condition_BY, TokenChoice(), 0.0)
    assert torch.equal(latent_BLC, plain_BLC)
    maps, guided_BLC = generate_guided(generate, condition_BY, TokenChoice(), 2.0)
    assert [len(tokens_Bl) for tokens_Bl in maps] == [16] * 3 and guided_BLC.shape == plain_BLC.shape
    torch.testing.assert_close(guided_BLC, codes.decode(maps))
    assert not torch.equal(guided_BLC, plain_BLC)


def test_stage_2_learns_the_bins_of_the_data_and_drops_conditions(tiny_trainer: Trainer) -> None:
    learning = stage_2(tiny_trainer, "transformer.condition_bins=4", "transformer.condition_dropout=0.5")
    bins = learning.transformer.bins
    assert bins is not None and bins.edge_Q.isnan().all()
    losses = [learning.loss(INDICES, generator())[0] for _ in range(2)]
    assert torch.equal(*losses)  # the same windows are dropped for the same random numbers
    values = tiny_trainer.data.returns().unique()  # most of the data's are 0
    counts_Q = torch.bincount(torch.bucketize(values, bins.edge_Q), minlength=4)
    assert (counts_Q - len(values) / 4).abs().max() <= 1
    losses[0].backward()
    gradient_NQD = bins.vector_NQD.grad
    assert gradient_NQD is not None and gradient_NQD[:, -1].any()
