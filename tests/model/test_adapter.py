import copy

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mage.model.adapter import AdaptedDecoder, Adapter, straight_through_gumbel
from tests.model.builders import autoencoder, random


def adapted() -> AdaptedDecoder:
    torch.manual_seed(0)
    return AdaptedDecoder(autoencoder().decoder, 16, 4)


def awaken(adapter: torch.nn.Module) -> Adapter:
    """As after some training: no longer zero."""
    assert isinstance(adapter, Adapter)
    torch.nn.init.normal_(adapter.up.weight)
    return adapter


def test_adapters_change_nothing_at_the_start() -> None:
    latent_BLC, return_B1 = random(3, 8, 8), random(3, 1)
    assert torch.equal(adapted()(latent_BLC, return_B1), autoencoder().decoder(latent_BLC, return_B1))


def test_there_is_an_adapter_after_every_block_and_nothing_else_to_train() -> None:
    model = adapted()
    assert len(model.adapters) == 2
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"adapters"}
    latent_BLC, return_B1 = random(3, 8, 8), random(3, 1)
    before = model(latent_BLC, return_B1)
    for index in range(2):
        changed = copy.deepcopy(model)
        awaken(changed.adapters[index])
        assert not torch.allclose(changed(latent_BLC, return_B1), before)


def test_a_trained_adapter_listens_to_the_return() -> None:
    adapter, hidden_BLD = awaken(adapted().adapters[0]), random(3, 8, 16)
    assert not torch.allclose(adapter(hidden_BLD, torch.zeros(3, 1)), adapter(hidden_BLD, torch.ones(3, 1)))


@given(st.integers(0, 100), st.floats(0.1, 5.0))
@settings(max_examples=30)
def test_the_straight_through_choice_is_one_hot_forward(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    choice_BTV = straight_through_gumbel(random(3, 5, 7, seed=seed), temperature, generator)
    torch.testing.assert_close(choice_BTV.amax(-1), torch.ones(3, 5))
    torch.testing.assert_close(choice_BTV.sum(-1), torch.ones(3, 5))
    torch.testing.assert_close(choice_BTV * (1 - choice_BTV), torch.zeros(3, 5, 7), atol=1e-6, rtol=0)


def test_the_straight_through_choice_has_the_gradient_of_the_softmax() -> None:
    logits_BTV, weight_BTV = random(3, 5, 7).requires_grad_(), random(3, 5, 7, seed=1)
    # noise does not matter to a temperature so high that the softmax is flat
    (straight_through_gumbel(logits_BTV, 1e4, torch.Generator().manual_seed(0)) * weight_BTV).sum().backward()
    expected_BTV = (weight_BTV - weight_BTV.mean(-1, keepdim=True)) / 7 / 1e4
    torch.testing.assert_close(logits_BTV.grad, expected_BTV, atol=1e-7, rtol=1e-2)
