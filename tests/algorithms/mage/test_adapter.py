import copy

import torch

from mage.algorithms.mage.adapter import AdaptedDecoder, Adapter
from tests.algorithms.mage.builders import autoencoder, random, transformer_config


def adapted(**changes: str) -> AdaptedDecoder:
    torch.manual_seed(0)
    return AdaptedDecoder(autoencoder().decoder, 16, transformer_config(**changes))


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


def test_where_the_decoder_itself_is_tuned_there_are_no_adapters() -> None:
    model = adapted(condition_path="decoder")
    assert list(model.parameters()) == []
    latent_BLC, return_B1 = random(3, 8, 8), random(3, 1)
    assert torch.equal(model(latent_BLC, return_B1), model.decoder(latent_BLC, return_B1))


def test_a_trained_adapter_listens_to_the_return() -> None:
    adapter, hidden_BLD = awaken(adapted().adapters[0]), random(3, 8, 16)
    assert not torch.allclose(adapter(hidden_BLD, torch.zeros(3, 1)), adapter(hidden_BLD, torch.ones(3, 1)))
