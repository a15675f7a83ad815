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


def test_where_the_decoder_does_not_see_the_return_its_adapters_do_not_either() -> None:
    for with_return in (True, False):
        torch.manual_seed(0)
        model = AdaptedDecoder(autoencoder(return_in_decoder=with_return).decoder, 16, transformer_config())
        for adapter in model.adapters:
            awaken(adapter)
        low, high = (model(random(3, 8, 8), torch.full((3, 1), value)) for value in (-1.0, 1.0))
        assert torch.equal(low, high) != with_return


def test_a_trained_adapter_listens_to_the_return() -> None:
    adapter, hidden_BLD = awaken(adapted().adapters[0]), random(3, 8, 16)
    assert not torch.allclose(adapter(hidden_BLD, torch.zeros(3, 1)), adapter(hidden_BLD, torch.ones(3, 1)))
