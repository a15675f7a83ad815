"""Claims about the losses of MAGE's stages, on the networks of the tiny trainer."""

import copy
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from mage.config import make_config
from mage.model.adapter import AdaptedDecoder, Adapter
from mage.model.autoencoder import TrajectoryAutoencoder
from mage.model.mage_policy import MagePolicy
from mage.model.quantizer import codebook_use
from mage.model.tokens import TokenChoice
from mage.training.algorithms import Material, mage_objective
from mage.training.autoencoder_objective import AutoencoderObjective
from mage.training.inverse_dynamics_objective import InverseDynamicsObjective
from mage.training.tokens import TrueTokens
from mage.training.trainer import Trainer
from mage.training.transformer_objective import TransformerObjective

INDICES = torch.arange(0, 12_000, 200)
COARSER_TOKENS = ("data", "generated")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def networks(trainer: Trainer, *overrides: str) -> Material:
    """The trained networks under another configuration, copied; what its overrides change in them is untrained."""
    config = make_config(trainer.config.model_dump(), overrides)
    torch.manual_seed(0)
    made = MagePolicy.build(config, trainer.trajectories.observation_size, trainer.trajectories.action_size)
    for name, network in made.items():
        if name in trainer.networks:
            network.load_state_dict(trainer.networks[name].state_dict(), strict=name == "autoencoder")
    return Material(config, {name: network.eval() for name, network in made.items()}, trainer.windows, 0.99)


def autoencoder(material: Material) -> TrajectoryAutoencoder:
    return cast(TrajectoryAutoencoder, material.networks["autoencoder"])


def stage_1(trainer: Trainer, *overrides: str) -> AutoencoderObjective:
    return cast(AutoencoderObjective, mage_objective("autoencoder", networks(trainer, *overrides))).eval()


def stage_2(trainer: Trainer, *overrides: str) -> TransformerObjective:
    return cast(TransformerObjective, mage_objective("transformer", networks(trainer, *overrides))).eval()


def predict(objective: TransformerObjective, indices_B: Tensor) -> Tensor:
    """Z of the Gumbel draws for these windows."""
    token_maps, condition_BY = objective.tokens.take(indices_B), objective.windows.conditions(indices_B)
    _, latent_BLC = objective._predict(token_maps, condition_BY, generator())
    assert latent_BLC is not None
    return latent_BLC


def awaken(decoder: nn.Module | None) -> AdaptedDecoder:
    """Adapters as after some training: at zero, `up` hides what lies before it."""
    assert isinstance(decoder, AdaptedDecoder)
    for adapter in decoder.adapters:
        assert isinstance(adapter, Adapter)
        nn.init.normal_(adapter.up.weight)
    return decoder


def touched(module: nn.Module) -> set[str]:
    """Parameters that a gradient other than zero has reached."""
    gradients = {name: value.grad for name, value in module.named_parameters()}
    return {name for name, grad in gradients.items() if grad is not None and grad.abs().max() > 0}


def test_stage_1_teaches_all_of_the_autoencoder_and_moves_the_codebook(tiny_trainer: Trainer) -> None:
    objective = stage_1(tiny_trainer)
    before_VC = objective.autoencoder.quantizer.codebook_VC.clone()
    loss, info = objective(INDICES, generator())
    loss.backward()
    assert touched(objective.autoencoder) == {name for name, _ in objective.autoencoder.named_parameters()}
    assert not torch.equal(objective.autoencoder.quantizer.codebook_VC, before_VC)
    terms = ("reconstruction_error", "inverse_dynamics_error", "quantizer_loss")
    torch.testing.assert_close(info["loss"], sum(info[name] for name in terms))


def test_padding_past_the_end_of_an_episode_costs_nothing(tiny_trainer: Trainer) -> None:
    objective = stage_1(tiny_trainer)
    last_step = tiny_trainer.windows.last_rows(INDICES)
    batch, model = tiny_trainer.windows.take(last_step), objective.autoencoder
    return_B1 = batch.condition_BY[:, :1]
    latent_BLC = model.quantizer.quantize(model.encoder(batch.trajectory_BHX, return_B1)).latent_BLC
    error_BHX = (model.decoder(latent_BLC, return_B1) - batch.trajectory_BHX).pow(2)
    _, info = objective(last_step, generator())
    torch.testing.assert_close(info["reconstruction_error"], error_BHX[:, 0].mean() / 24)


def test_explicit_inverse_dynamics_learn_on_true_states(tiny_trainer: Trainer) -> None:
    objective = stage_1_of_another_size(tiny_trainer, "inverse_dynamics.inputs=trajectory")
    batch, model = tiny_trainer.windows.take(INDICES), objective.autoencoder
    inputs = torch.cat([batch.condition_BY[:, 1:], batch.trajectory_BHX[:, 1, 1:]], 1)
    expected = (model.inverse_dynamics(inputs) - batch.action_BA).pow(2).mean()
    _, info = objective(INDICES, generator())
    torch.testing.assert_close(info["inverse_dynamics_error"], expected)


def stage_1_of_another_size(trainer: Trainer, *overrides: str) -> AutoencoderObjective:
    """Untrained, since the trained weights do not fit."""
    config = make_config(trainer.config.model_dump(), overrides)
    torch.manual_seed(0)
    made = MagePolicy.build(config, trainer.trajectories.observation_size, trainer.trajectories.action_size)
    material = Material(config, made, trainer.windows, 0.99)
    return cast(AutoencoderObjective, mage_objective("autoencoder", material)).eval()


def test_reweighting_weighs_every_window_by_its_return(tiny_trainer: Trainer) -> None:
    indices = torch.cat([tiny_trainer.windows.returns().topk(3).indices, INDICES[:3]])
    weights = tiny_trainer.windows.weights(indices)
    assert len(weights.unique()) > 2
    reweight = "training.reweight_by_return=true"
    cases: list[tuple] = [(stage_1, "reconstruction_error"), (stage_1, "inverse_dynamics_error")]
    for stage, name in [*cases, (stage_2, "cross_entropy")]:
        # a new objective for every window: a call of stage 1 moves the codebook
        alone = torch.stack([stage(tiny_trainer)(index[None], generator())[1][name] for index in indices])
        plain, reweighted = (stage(tiny_trainer, *extra)(indices, generator())[1][name] for extra in ([], [reweight]))
        torch.testing.assert_close(plain, alone.mean())
        torch.testing.assert_close(reweighted, (weights * alone).mean())


@pytest.mark.parametrize("coarser_tokens", COARSER_TOKENS)
def test_stage_2_teaches_transformer_and_adapters_and_nothing_of_the_frozen_autoencoder(
    tiny_trainer: Trainer, coarser_tokens: str
) -> None:
    objective = stage_2(tiny_trainer, f"transformer.coarser_tokens={coarser_tokens}")
    before = copy.deepcopy(objective.autoencoder.state_dict())
    objective.train()
    assert not objective.autoencoder.training
    loss, info = objective(INDICES, generator())
    loss.backward()
    assert all(value.grad is None for value in objective.autoencoder.parameters())
    assert all(torch.equal(before[name], value) for name, value in objective.autoencoder.state_dict().items())
    assert all(value.grad is not None for value in objective.transformer.parameters())
    expected = info["cross_entropy"] + objective.config.condition_weight * info["condition_error"]
    torch.testing.assert_close(info["loss"], expected)
    assert {name.split(".")[0] for name in objective.state_dict()} == {"transformer", "adapted_decoder"}


@pytest.mark.parametrize("coarser_tokens", COARSER_TOKENS)
def test_the_condition_loss_alone_reaches_adapters_and_the_logits_of_every_scale(
    tiny_trainer: Trainer, coarser_tokens: str
) -> None:
    objective = stage_2(tiny_trainer, f"transformer.coarser_tokens={coarser_tokens}")
    adapted = awaken(objective.adapted_decoder)
    reached: list[Tensor] = []

    def watch(module: nn.Module, inputs: tuple[Tensor], logits: Tensor) -> None:
        logits.register_hook(reached.append)

    objective.transformer.head.register_forward_hook(watch)
    condition_BY = tiny_trainer.windows.conditions(INDICES)
    objective.condition_loss(predict(objective, INDICES), condition_BY).backward()
    tokens = max(grad.shape[1] for grad in reached)
    by_token_T = torch.zeros(tokens)
    for grad in reached:
        by_token_T[: grad.shape[1]] += grad.abs().sum((0, 2))
    assert tokens == 12
    assert by_token_T.min() > 0
    learning = objective.transformer
    missed = {name for name, _ in learning.named_parameters()} - touched(learning)
    assert not missed, missed
    assert touched(adapted) == {name for name, _ in adapted.named_parameters()}
    assert all(parameter.grad is None for parameter in objective.autoencoder.parameters())


def test_where_the_decoder_is_tuned_it_is_the_only_part_of_the_autoencoder_that_learns(tiny_trainer: Trainer) -> None:
    objective = stage_2(tiny_trainer, "transformer.condition_path=decoder")
    condition_BY = tiny_trainer.windows.conditions(INDICES)
    objective.condition_loss(predict(objective, INDICES), condition_BY).backward()
    model = objective.autoencoder
    assert touched(model) == {f"decoder.{name}" for name, _ in model.decoder.named_parameters()}
    assert touched(objective.transformer)
    learning = {id(parameter) for parameter in objective.parameters() if parameter.requires_grad}
    assert {id(parameter) for parameter in model.decoder.parameters()} < learning


def test_the_condition_loss_judges_the_first_state_and_the_return_where_it_is_told_to(tiny_trainer: Trainer) -> None:
    condition_BY, latent_BLC = tiny_trainer.windows.conditions(INDICES), torch.randn(len(INDICES), 8, 8)
    for with_return in (True, False):
        objective = stage_2(tiny_trainer, f"transformer.return_in_condition_loss={with_return}")
        decoder = awaken(objective.adapted_decoder)
        error_BY = decoder(latent_BLC, condition_BY[:, :1])[:, 0] - condition_BY
        expected = (error_BY if with_return else error_BY[:, 1:]).pow(2).mean()
        torch.testing.assert_close(objective.condition_loss(latent_BLC, condition_BY), expected)


def test_the_condition_error_rises_when_the_latents_are_those_of_other_windows(tiny_trainer: Trainer) -> None:
    # else the decoder would read the condition off somewhere else, and the loss would teach the transformer nothing
    stages = ["training.autoencoder.steps=200", "training.transformer.steps=150", "training.inverse_dynamics.steps=0"]
    batches = ["training.autoencoder.batch_size=64", "training.transformer.batch_size=64"]
    config = make_config(tiny_trainer.config.model_dump(), [*stages, *batches, "training.log_every=350"])
    trained = Trainer(tiny_trainer.trajectories, config, seed=0)
    trained.advance(350)
    objective, indices = trained.stage.objective.eval(), torch.arange(0, 12_000, 40)
    assert isinstance(objective, TransformerObjective)
    condition_BY = trained.windows.conditions(indices)
    with torch.no_grad():
        latent_BLC = predict(objective, indices)
        own = objective.condition_loss(latent_BLC, condition_BY)
        shuffled = objective.condition_loss(latent_BLC.roll(len(indices) // 2, 0), condition_BY)
    assert shuffled > 1.5 * own, (shuffled, own)


def test_a_trained_autoencoder_leaves_less_over_from_scale_to_scale(tiny_trainer: Trainer) -> None:
    batch, model = tiny_trainer.windows.take(INDICES), autoencoder(networks(tiny_trainer))
    with torch.no_grad():
        latent_BLC = model.encoder(batch.trajectory_BHX, batch.condition_BY[:, :1])
        maps = model.quantizer.encode(latent_BLC)
        built = [torch.zeros_like(latent_BLC), *(model.quantizer.decode(maps[:k]) for k in (1, 2, 3))]
    left = [float((latent_BLC - built_BLC).pow(2).mean()) for built_BLC in built]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.5 * left[0]
    assert codebook_use(maps, 16)["codes_used_all"] > 50


def test_without_a_weight_there_is_no_condition_loss_and_there_are_no_adapters(tiny_trainer: Trainer) -> None:
    objective = stage_2(tiny_trainer, "transformer.condition_weight=0")
    _, info = objective(INDICES, generator())
    assert objective.adapted_decoder is None
    assert set(info) == {"loss", "cross_entropy", "token_accuracy"}
    torch.testing.assert_close(info["loss"], info["cross_entropy"])


@pytest.mark.parametrize("sampling", ["greedy", "expected"])
def test_stage_2b_teaches_the_inverse_dynamics_alone_on_generated_latents(tiny_trainer: Trainer, sampling: str) -> None:
    material = networks(tiny_trainer, f"policy.sampling={sampling}")
    objective = mage_objective("inverse_dynamics", material)
    assert isinstance(objective, InverseDynamicsObjective)
    loss, _ = objective(INDICES, generator())
    loss.backward()
    condition_BY, model = tiny_trainer.windows.conditions(INDICES), autoencoder(material)
    transformer = cast(MagePolicy, tiny_trainer.policy()).transformer
    _, latent_BLC = transformer.generate(condition_BY, model.quantizer, TokenChoice(material.config.policy))
    expected = (model.act(latent_BLC, condition_BY) - tiny_trainer.windows.actions(INDICES)).pow(2).mean()
    torch.testing.assert_close(loss, expected)
    assert touched(objective) == {name for name, _ in objective.named_parameters()}
    everything = nn.ModuleDict(dict(material.networks))
    assert all(name.startswith("autoencoder.inverse_dynamics") for name in touched(everything))


def test_tokens_kept_are_the_tokens_encoded_as_they_are_drawn(tiny_trainer: Trainer) -> None:
    model = autoencoder(networks(tiny_trainer))
    kept = TrueTokens(model, tiny_trainer.windows, draws=12_000)
    drawn = TrueTokens(model, tiny_trainer.windows, draws=11_999)
    first = torch.cat(kept.take(INDICES), 1)
    assert torch.equal(first, torch.cat(drawn.take(INDICES), 1))
    model.quantizer.codebook_VC.copy_(model.quantizer.codebook_VC.flip(0))
    assert torch.equal(first, torch.cat(kept.take(INDICES), 1))
    assert not torch.equal(first, torch.cat(drawn.take(INDICES), 1))
