"""Claims about the losses of all stages, on the networks of the tiny trainer."""

import copy

import pytest
import torch

from mage.config import make_config
from mage.model.adapter import AdaptedDecoder, Adapter
from mage.training.autoencoder_objective import AutoencoderObjective
from mage.training.inverse_dynamics_objective import InverseDynamicsObjective
from mage.training.tokens import TrueTokens
from mage.training.trainer import Trainer
from mage.training.transformer_objective import TransformerObjective

INDICES = torch.arange(0, 12_000, 200)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def trainer(tiny_trainer: Trainer) -> Trainer:
    """A copy to be changed at will."""
    changeable = copy.copy(tiny_trainer)
    changeable.autoencoder = copy.deepcopy(tiny_trainer.autoencoder).eval()
    changeable.transformer = copy.deepcopy(tiny_trainer.transformer).eval()
    return changeable


def stage_2(trainer: Trainer, *overrides: str) -> TransformerObjective:
    config = make_config(trainer.config.model_dump(), overrides).transformer
    tokens = TrueTokens(trainer.autoencoder, trainer.windows, draws=1)
    torch.manual_seed(0)
    return TransformerObjective(trainer.transformer, trainer.autoencoder, config, trainer.windows, tokens).eval()


def test_stage_1_teaches_all_of_the_autoencoder_and_moves_the_codebook(trainer: Trainer) -> None:
    objective = AutoencoderObjective(trainer.autoencoder, trainer.config.inverse_dynamics, trainer.windows)
    before_VC = trainer.autoencoder.quantizer.codebook_VC.clone()
    loss, info = objective(INDICES, generator())
    loss.backward()
    parameters = dict(trainer.autoencoder.named_parameters())
    assert [name for name, value in parameters.items() if value.grad is None or not value.grad.abs().max()] == []
    assert not torch.equal(trainer.autoencoder.quantizer.codebook_VC, before_VC)
    terms = ("reconstruction_error", "inverse_dynamics_error", "quantizer_loss")
    torch.testing.assert_close(info["loss"], sum(info[name] for name in terms))


def test_padding_past_the_end_of_an_episode_costs_nothing(trainer: Trainer) -> None:
    objective = AutoencoderObjective(trainer.autoencoder, trainer.config.inverse_dynamics, trainer.windows)
    last_step = trainer.windows.last_row_N[INDICES]
    batch, model = trainer.windows.take(last_step), trainer.autoencoder
    latent_BLC = model.quantizer.quantize(model.encoder(batch.trajectory_BHX)).latent_BLC
    error_BHX = (model.decoder(latent_BLC, batch.trajectory_BHX[:, 0, :1]) - batch.trajectory_BHX).pow(2)
    _, info = objective(last_step, generator())
    torch.testing.assert_close(info["reconstruction_error"], error_BHX[:, 0].mean() / 24)


def test_stage_2_teaches_transformer_and_adapters_and_nothing_of_the_frozen_autoencoder(trainer: Trainer) -> None:
    objective = stage_2(trainer)
    before = copy.deepcopy(trainer.autoencoder.state_dict())
    objective.train()
    loss, info = objective(INDICES, generator())
    loss.backward()
    assert all(value.grad is None for value in trainer.autoencoder.parameters())
    assert all(torch.equal(before[name], value) for name, value in trainer.autoencoder.state_dict().items())
    assert all(value.grad is not None for value in trainer.transformer.parameters())
    expected = info["cross_entropy"] + trainer.config.transformer.condition_weight * info["condition_error"]
    torch.testing.assert_close(info["loss"], expected)
    assert {name.split(".")[0] for name in objective.state_dict()} == {"transformer", "adapted"}


def test_the_condition_loss_alone_reaches_transformer_and_adapters(trainer: Trainer) -> None:
    objective = stage_2(trainer)
    assert isinstance(objective.adapted, AdaptedDecoder)
    for adapter in objective.adapted.adapters:  # at zero, `up` hides what lies before it
        assert isinstance(adapter, Adapter)
        torch.nn.init.normal_(adapter.up.weight)
    condition_BX = trainer.windows.rows_NX[INDICES]
    logits_BTV = trainer.transformer(objective.tokens.take(INDICES), condition_BX, trainer.autoencoder.quantizer)
    objective.condition_loss(logits_BTV, condition_BX, generator()).backward()
    learning = [*trainer.transformer.head.parameters(), *trainer.transformer.blocks.parameters()]
    for parameter in [*learning, *objective.adapted.parameters()]:
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in trainer.autoencoder.parameters())


def test_the_condition_error_rises_when_the_latents_are_those_of_other_windows(tiny_trainer: Trainer) -> None:
    # else the decoder would read the condition off somewhere else, and the loss would teach the transformer nothing
    stages = ["training.autoencoder.steps=200", "training.transformer.steps=150", "training.inverse_dynamics.steps=0"]
    batches = ["training.autoencoder.batch_size=64", "training.transformer.batch_size=64"]
    config = make_config(tiny_trainer.config.model_dump(), [*stages, *batches, "training.log_every=350"])
    trained = Trainer(tiny_trainer.trajectories, config, seed=0)
    trained.advance(350)
    objective, indices = trained.stage.objective.eval(), torch.arange(0, 12_000, 40)
    assert isinstance(objective, TransformerObjective)
    condition_BX = trained.windows.rows_NX[indices]
    with torch.no_grad():
        logits_BTV = trained.transformer(objective.tokens.take(indices), condition_BX, trained.autoencoder.quantizer)
        own = objective.condition_loss(logits_BTV, condition_BX, generator())
        shuffled = objective.condition_loss(logits_BTV.roll(len(indices) // 2, 0), condition_BX, generator())
    assert shuffled > 1.5 * own, (shuffled, own)


def test_without_a_weight_there_is_no_condition_loss_and_there_are_no_adapters(trainer: Trainer) -> None:
    objective = stage_2(trainer, "transformer.condition_weight=0")
    _, info = objective(INDICES, generator())
    assert objective.adapted is None
    assert set(info) == {"loss", "cross_entropy", "token_accuracy"}
    torch.testing.assert_close(info["loss"], info["cross_entropy"])


def test_stage_2b_teaches_the_inverse_dynamics_alone_on_generated_latents(trainer: Trainer) -> None:
    objective = InverseDynamicsObjective(trainer.autoencoder, trainer.transformer, trainer.windows)
    loss, _ = objective(INDICES, generator())
    loss.backward()
    condition_BX = trainer.windows.rows_NX[INDICES]
    _, latent_BLC = trainer.transformer.generate(condition_BX, trainer.autoencoder.quantizer)
    action_BA = trainer.autoencoder.inverse_dynamics(latent_BLC, condition_BX[:, 1:])
    torch.testing.assert_close(loss, (action_BA - trainer.windows.actions_NA[INDICES]).pow(2).mean())
    assert all(parameter.grad is not None for parameter in objective.parameters())
    frozen = [
        trainer.autoencoder.encoder,
        trainer.autoencoder.quantizer,
        trainer.autoencoder.decoder,
        trainer.transformer,
    ]
    assert all(parameter.grad is None for module in frozen for parameter in module.parameters())


def test_tokens_kept_are_the_tokens_encoded_as_they_are_drawn(trainer: Trainer) -> None:
    kept = TrueTokens(trainer.autoencoder, trainer.windows, draws=12_000)
    drawn = TrueTokens(trainer.autoencoder, trainer.windows, draws=11_999)
    assert kept.kept_NT is not None
    assert drawn.kept_NT is None
    for a, b in zip(kept.take(INDICES), drawn.take(INDICES), strict=True):
        assert torch.equal(a, b)
