"""Claims about the losses of MAGE's stages, on the networks of the tiny trainer."""

import copy

import pytest
import torch
from torch import Tensor, nn

from mage.algorithms.mage import stage_inverse_dynamics
from mage.algorithms.mage.adapter import AdaptedDecoder, Adapter
from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.config import MageConfig, PolicyConfig
from mage.algorithms.mage.quantizer import codebook_use
from mage.algorithms.mage.sequence import Windows
from mage.algorithms.mage.stage_autoencoder import AutoencoderLearning
from mage.algorithms.mage.stage_inverse_dynamics import InverseDynamicsLearning
from mage.algorithms.mage.stage_transformer import TransformerLearning
from mage.algorithms.mage.token_choice import TokenChoice, all_rows, gumbel
from mage.algorithms.mage.true_tokens import TrueTokens
from mage.config import make_config
from mage.errors import MageError
from mage.interface import ONE, Stage
from mage.training.engine import Engine
from mage.training.trainer import Trainer
from tests.algorithms.mage.forks import trained_at_the_fork

INDICES = torch.arange(0, 12_000, 200)
COARSER_TOKENS = ("data", "generated")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def networks(trainer: Trainer, *overrides: str) -> Mage:
    """The trained networks under another configuration, copied; what its overrides change in them is untrained."""
    config = make_config(trainer.config.model_dump(), overrides)
    assert isinstance(config, MageConfig)
    torch.manual_seed(0)
    made = Mage(config, trainer.agent.sizes, trainer.agent.statistics)
    own, trained = made.state_dict(), trainer.agent.state_dict()
    fitting = {name: trained[name] for name in own if name in trained and trained[name].shape == own[name].shape}
    made.load_state_dict(own | fitting)
    return made.eval()


def begin(stage: Stage, agent: Mage) -> Engine:
    """Frozen is what the stage does not train, and what it trains is in training mode."""
    trainable = [parameter for parameter in agent.parameters() if parameter.requires_grad]
    return Engine(stage, agent, trainable, len(INDICES), agent.config.training, seed=0)


def windows(trainer: Trainer) -> Windows:
    assert isinstance(trainer.config, MageConfig)
    return Windows(trainer.data, trainer.config.autoencoder)


def stage_1(trainer: Trainer, *overrides: str) -> AutoencoderLearning:
    """Stage 1 under way, without dropout."""
    agent = networks(trainer, *overrides)
    learning = AutoencoderLearning(agent.autoencoder, agent.config, Windows(trainer.data, agent.config.autoencoder))
    begin(learning.stage(), agent)
    agent.eval()
    return learning


def stage_2(trainer: Trainer, *overrides: str) -> TransformerLearning:
    """Stage 2 under way, without dropout."""
    agent = networks(trainer, *overrides)
    learning = learning_of(agent, trainer)
    begin(learning.stage(), agent)
    agent.eval()
    return learning


def learning_of(agent: Mage, trainer: Trainer) -> TransformerLearning:
    data = Windows(trainer.data, agent.config.autoencoder)
    return TransformerLearning(agent.transformer, agent.autoencoder, agent.adapted_decoder, agent.config, data)


def stage_2b(agent: Mage, trainer: Trainer) -> InverseDynamicsLearning:
    return InverseDynamicsLearning(agent.autoencoder, agent.transformer, agent.decoder, agent.config, windows(trainer))


def predict(learning: TransformerLearning, rows_B: Tensor) -> Tensor:
    """Z of the Gumbel draws for these windows."""
    token_maps, condition_BY = learning.tokens.take(rows_B), learning.windows.steps.conditions(rows_B)
    _, latent_BLC = learning._predict(token_maps, condition_BY, generator())
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
    learning = stage_1(tiny_trainer)
    before_VC = learning.autoencoder.quantizer.codebook_VC.clone()
    loss, info = learning.loss(INDICES, generator())
    loss.backward()
    assert touched(learning.autoencoder) == {name for name, _ in learning.autoencoder.named_parameters()}
    assert not torch.equal(learning.autoencoder.quantizer.codebook_VC, before_VC)
    terms = ("reconstruction_error", "inverse_dynamics_error", "quantizer_loss")
    torch.testing.assert_close(info["loss"], sum(info[name] for name in terms))


def test_padding_past_the_end_of_an_episode_costs_nothing(tiny_trainer: Trainer) -> None:
    learning = stage_1(tiny_trainer)
    last_step = tiny_trainer.data.last_rows(INDICES)
    batch, model = windows(tiny_trainer).take(last_step), learning.autoencoder
    return_B1 = batch.condition_BY[:, :1]
    latent_BLC = model.quantizer.quantize(model.encoder(batch.trajectory_BHX, return_B1)).latent_BLC
    error_BHX = (model.decoder(latent_BLC, return_B1) - batch.trajectory_BHX).pow(2)
    _, info = learning.loss(last_step, generator())
    torch.testing.assert_close(info["reconstruction_error"], error_BHX[:, 0].mean() / 24)


def test_explicit_inverse_dynamics_learn_on_true_states(tiny_trainer: Trainer) -> None:
    learning = stage_1(tiny_trainer, "inverse_dynamics.inputs=trajectory")
    batch, model = windows(tiny_trainer).take(INDICES), learning.autoencoder
    inputs = torch.cat([batch.condition_BY[:, 1:], batch.trajectory_BHX[:, 1, 1:]], 1)
    expected = (model.inverse_dynamics(inputs) - batch.action_BA).pow(2).mean()
    _, info = learning.loss(INDICES, generator())
    torch.testing.assert_close(info["inverse_dynamics_error"], expected)


def test_explicit_inverse_dynamics_do_not_learn_on_a_last_state_repeated(tiny_trainer: Trainer) -> None:
    learning = stage_1(tiny_trainer, "inverse_dynamics.inputs=trajectory")
    last_step = tiny_trainer.data.last_rows(INDICES)
    _, info = learning.loss(torch.cat([last_step, last_step]), generator())
    assert info["inverse_dynamics_error"] == 0
    other = stage_1(tiny_trainer)
    assert other.loss(last_step, generator())[1]["inverse_dynamics_error"] > 0


def test_reweighting_weighs_every_window_by_its_return(tiny_trainer: Trainer) -> None:
    indices = torch.cat([tiny_trainer.data.returns().topk(3).indices, INDICES[:3]])
    weights = tiny_trainer.data.weights(indices)
    assert len(weights.unique()) > 2
    reweight = "training.reweight_by_return=true"
    cases: list[tuple] = [(stage_1, "reconstruction_error"), (stage_1, "inverse_dynamics_error")]
    for stage, name in [*cases, (stage_2, "cross_entropy")]:
        # the networks anew for every window: a call of stage 1 moves the codebook
        alone = torch.stack([stage(tiny_trainer).loss(row[None], generator())[1][name] for row in indices])
        plain, reweighted = (
            stage(tiny_trainer, *extra).loss(indices, generator())[1][name] for extra in ([], [reweight])
        )
        torch.testing.assert_close(plain, alone.mean())
        torch.testing.assert_close(reweighted, (weights * alone).mean())


@pytest.mark.parametrize("coarser_tokens", COARSER_TOKENS)
def test_stage_2_teaches_transformer_and_adapters_and_nothing_of_the_frozen_autoencoder(
    tiny_trainer: Trainer, coarser_tokens: str
) -> None:
    agent = networks(tiny_trainer, f"transformer.coarser_tokens={coarser_tokens}")
    learning = learning_of(agent, tiny_trainer)
    before = copy.deepcopy(agent.autoencoder.state_dict())
    begin(learning.stage(), agent)
    assert agent.transformer.training
    assert not any(module.training for module in agent.autoencoder.modules())
    loss, info = learning.loss(INDICES, generator())
    loss.backward()
    assert all(value.grad is None for value in agent.autoencoder.parameters())
    assert all(torch.equal(before[name], value) for name, value in agent.autoencoder.state_dict().items())
    assert all(value.grad is not None for value in agent.transformer.parameters())
    expected = info["cross_entropy"] + learning.config.condition_weight * info["condition_error"]
    torch.testing.assert_close(info["loss"], expected)
    assert learning.stage().trains == {ONE: [agent.transformer, agent.adapted_decoder]}


@pytest.mark.parametrize("coarser_tokens", COARSER_TOKENS)
def test_the_condition_loss_alone_reaches_adapters_and_the_logits_of_every_scale(
    tiny_trainer: Trainer, coarser_tokens: str
) -> None:
    learning = stage_2(tiny_trainer, f"transformer.coarser_tokens={coarser_tokens}")
    adapted = awaken(learning.adapted_decoder)
    reached: list[Tensor] = []

    def watch(module: nn.Module, inputs: tuple[Tensor], logits: Tensor) -> None:
        logits.register_hook(reached.append)

    learning.transformer.head.register_forward_hook(watch)
    condition_BY = tiny_trainer.data.conditions(INDICES)
    learning.condition_loss(predict(learning, INDICES), condition_BY).backward()
    tokens = max(grad.shape[1] for grad in reached)
    by_token_T = torch.zeros(tokens)
    for grad in reached:
        by_token_T[: grad.shape[1]] += grad.abs().sum((0, 2))
    assert tokens == 12
    assert by_token_T.min() > 0
    model = learning.transformer
    missed = {name for name, _ in model.named_parameters()} - touched(model)
    assert not missed, missed
    assert touched(adapted) == {name for name, _ in adapted.named_parameters()}
    assert all(parameter.grad is None for parameter in learning.autoencoder.parameters())


def test_a_free_running_latent_is_one_that_is_generated_and_leaves_the_cross_entropy_alone(
    tiny_trainer: Trainer,
) -> None:
    cold = "transformer.gumbel_temperature=0.01"
    forced, free = (
        stage_2(tiny_trainer, cold, f"transformer.condition_latent={latent}")
        for latent in ("teacher_forced", "free_running")
    )
    cross_entropies = [learning.loss(INDICES, generator())[1]["cross_entropy"] for learning in (forced, free)]
    assert torch.equal(*cross_entropies)
    # the same draws, scale by scale, with what they build fed back
    condition_BY, quantizer = free.windows.steps.conditions(INDICES), free.autoencoder.quantizer
    uniform = generator()

    def draw(logits_BlV: Tensor, codebook_VC: Tensor) -> tuple[Tensor, Tensor]:
        tokens_Bl = (logits_BlV + gumbel(torch.rand(logits_BlV.shape, generator=uniform))).argmax(-1)
        return tokens_Bl, codebook_VC[tokens_Bl]

    _, generated_BLC = free.transformer.generate(condition_BY, quantizer, draw)
    torch.testing.assert_close(predict(free, INDICES), generated_BLC, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(predict(forced, INDICES), generated_BLC, atol=0.1)


def test_where_the_decoder_is_tuned_it_is_the_only_part_of_the_autoencoder_that_learns(tiny_trainer: Trainer) -> None:
    learning = stage_2(tiny_trainer, "transformer.condition_path=decoder")
    condition_BY = tiny_trainer.data.conditions(INDICES)
    learning.condition_loss(predict(learning, INDICES), condition_BY).backward()
    model = learning.autoencoder
    assert touched(model) == {f"decoder.{name}" for name, _ in model.decoder.named_parameters()}
    assert touched(learning.transformer)
    trained = {id(parameter) for parameter in learning.stage().parameters(ONE, model.parameters())}
    assert trained == {id(parameter) for parameter in model.decoder.parameters()}


def test_the_condition_loss_judges_the_first_state_and_the_return_where_it_is_told_to(tiny_trainer: Trainer) -> None:
    condition_BY, latent_BLC = tiny_trainer.data.conditions(INDICES), torch.randn(len(INDICES), 8, 8)
    for with_return in (True, False):
        learning = stage_2(tiny_trainer, f"transformer.return_in_condition_loss={with_return}")
        decoder = awaken(learning.adapted_decoder)
        error_BY = decoder(latent_BLC, condition_BY[:, :1])[:, 0] - condition_BY
        expected = (error_BY if with_return else error_BY[:, 1:]).pow(2).mean()
        torch.testing.assert_close(learning.condition_loss(latent_BLC, condition_BY), expected)


@pytest.mark.slow
def test_the_condition_error_rises_when_the_latents_are_those_of_other_windows(tiny_trainer: Trainer) -> None:
    # else the decoder would read the condition off somewhere else, and the loss would teach the transformer nothing
    stages = ["training.autoencoder.steps=200", "training.transformer.steps=150", "training.inverse_dynamics.steps=0"]
    batches = ["training.autoencoder.batch_size=64", "training.transformer.batch_size=64"]
    config = make_config(tiny_trainer.config.model_dump(), [*stages, *batches, "training.log_every=350"])
    trained = Trainer(tiny_trainer.trajectories, config, seed=0)
    trained.advance(350)
    agent, indices = trained.policy().agent, torch.arange(0, 12_000, 40)
    assert isinstance(agent, Mage)
    learning = learning_of(agent, trained)
    condition_BY = trained.data.conditions(indices)
    with torch.no_grad():
        latent_BLC = predict(learning, indices)
        own = learning.condition_loss(latent_BLC, condition_BY)
        shuffled = learning.condition_loss(latent_BLC.roll(len(indices) // 2, 0), condition_BY)
    assert shuffled > 1.5 * own, (shuffled, own)


def test_a_trained_autoencoder_leaves_less_over_from_scale_to_scale(tiny_trainer: Trainer) -> None:
    batch, model = windows(tiny_trainer).take(INDICES), networks(tiny_trainer).autoencoder
    with torch.no_grad():
        latent_BLC = model.encoder(batch.trajectory_BHX, batch.condition_BY[:, :1])
        maps = model.quantizer.encode(latent_BLC)
        built = [torch.zeros_like(latent_BLC), *(model.quantizer.decode(maps[:k]) for k in (1, 2, 3))]
    left = [float((latent_BLC - built_BLC).pow(2).mean()) for built_BLC in built]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.5 * left[0]
    assert codebook_use(maps, 16)["codes_used_all"] > 50


def test_without_a_weight_there_is_no_condition_loss_and_there_are_no_adapters(tiny_trainer: Trainer) -> None:
    learning = stage_2(tiny_trainer, "transformer.condition_weight=0")
    _, info = learning.loss(INDICES, generator())
    assert learning.adapted_decoder is None
    assert set(info) == {"loss", "cross_entropy", "token_accuracy"}
    torch.testing.assert_close(info["loss"], info["cross_entropy"])


@pytest.mark.parametrize("sampling", ["greedy", "expected"])
def test_stage_2b_teaches_the_inverse_dynamics_alone_on_generated_latents(tiny_trainer: Trainer, sampling: str) -> None:
    agent = networks(tiny_trainer, f"policy.sampling={sampling}")
    learning = stage_2b(agent, tiny_trainer)
    begin(learning.stage(), agent)
    loss, _ = learning.loss(INDICES, generator())
    loss.backward()
    condition_BY, model = tiny_trainer.data.conditions(INDICES), agent.autoencoder
    _, latent_BLC = agent.transformer.generate(condition_BY, model.quantizer, TokenChoice(agent.config.policy))
    expected = (model.act(latent_BLC, condition_BY) - tiny_trainer.data.actions(INDICES)).pow(2).mean()
    torch.testing.assert_close(loss, expected)
    names = {f"autoencoder.inverse_dynamics.{name}" for name, _ in model.inverse_dynamics.named_parameters()}
    assert touched(agent) == names


def test_stage_2b_keeps_the_coarse_tokens_of_the_window_and_generates_the_finer_ones(tiny_trainer: Trainer) -> None:
    agent = networks(tiny_trainer, "training.inverse_dynamics.given_scales=2")
    learning = stage_2b(agent, tiny_trainer)
    loss, _ = learning.loss(INDICES, generator())
    batch, model = windows(tiny_trainer).take(INDICES), agent.autoencoder
    own = model.encode(batch.trajectory_BHX, batch.condition_BY[:, :1])
    maps, latent_BLC = agent.transformer.generate(batch.condition_BY, model.quantizer, given=own[:2])
    assert torch.equal(maps[1], own[1]) and not torch.equal(maps[2], own[2])
    expected = (model.act(latent_BLC, batch.condition_BY) - batch.action_BA).pow(2).mean()
    torch.testing.assert_close(loss, expected)


def test_i_of_the_coarsest_scale_learns_on_it_in_stage_1_and_2b(tiny_trainer: Trainer) -> None:
    coarse = ["inverse_dynamics.scales=1", "training.inverse_dynamics.given_scales=1"]
    batch = windows(tiny_trainer).take(INDICES)
    first = stage_1(tiny_trainer, *coarse)
    model = copy.deepcopy(first.autoencoder)
    maps = model.encode(batch.trajectory_BHX, batch.condition_BY[:, :1])
    action_BA = model.act(model.quantizer.decode(maps[:1]), batch.condition_BY)
    expected = (action_BA - batch.action_BA).pow(2).mean()
    torch.testing.assert_close(first.loss(INDICES, generator())[1]["inverse_dynamics_error"], expected)
    agent = networks(tiny_trainer, *coarse)
    last = stage_2b(agent, tiny_trainer)
    torch.testing.assert_close(last.loss(INDICES, generator())[0], expected)


def test_stage_2b_learns_from_all_windows_where_nothing_has_to_be_generated(
    tiny_trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = networks(tiny_trainer, "inverse_dynamics.scales=1", "training.inverse_dynamics.given_scales=1")
    known, _ = stage_2b(agent, tiny_trainer).loss(INDICES, generator())
    monkeypatch.setattr(stage_inverse_dynamics, "LARGEST_POOL", 100)
    learning = stage_2b(agent, tiny_trainer)
    torch.testing.assert_close(learning.loss(INDICES, generator())[0], known)
    assert len(learning._pool) == len(tiny_trainer.data)
    assert len(stage_2b(networks(tiny_trainer), tiny_trainer)._pool) == 100


def test_stage_2b_leaves_out_the_windows_that_a_time_limit_cuts_where_asked_to(tiny_trainer: Trainer) -> None:
    all_windows = stage_2b(networks(tiny_trainer), tiny_trainer)._pool
    assert torch.equal(all_windows, torch.arange(len(tiny_trainer.data)))
    agent = networks(tiny_trainer, "training.inverse_dynamics.whole_windows=true")
    kept = stage_2b(agent, tiny_trainer)._pool
    # the U-maze's episodes all end at their time limit
    cut = agent.config.autoencoder.horizon - 1
    assert len(kept) == len(all_windows) - 100 * cut
    assert bool(windows(tiny_trainer).take(kept).mask_BH.all())


def test_stage_2b_without_a_whole_window_says_so(tiny_trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    learning = stage_2b(networks(tiny_trainer, "training.inverse_dynamics.whole_windows=true"), tiny_trainer)
    monkeypatch.setattr(learning.windows, "horizon", 10_000)
    with pytest.raises(MageError, match="no episode has 10000 steps"):
        learning.loss(INDICES, generator())


@pytest.mark.slow
def test_where_the_data_goes_two_ways_the_action_is_that_of_the_plan() -> None:
    trainer = trained_at_the_fork()
    agent = trainer.policy().agent
    assert isinstance(agent, Mage)
    condition_BY = trainer.data.conditions(torch.zeros(200, dtype=torch.long))  # the fork
    draw = TokenChoice(PolicyConfig(sampling="sample"), all_rows(generator()))
    plan = agent.decide(condition_BY, draw)
    with torch.no_grad():
        planned_BX = agent.decoder(plan.latent_BLC, condition_BY[:, :1])[:, -1]
    went_B, will_B = plan.action_BA[:, 0] > 0, planned_BX[:, 1] > trainer.data.conditions(torch.tensor([0]))[0, 1]
    assert 0.2 < float(will_B.float().mean()) < 0.8
    assert float((went_B == will_B).float().mean()) > 0.95
    # learned on a Z that is generated whole it shrinks to the mean of both ways: .69 after these few steps
    assert float(plan.action_BA[:, 0].abs().mean()) > 0.9


def test_tokens_kept_are_the_tokens_encoded_as_they_are_drawn(tiny_trainer: Trainer) -> None:
    model = networks(tiny_trainer).autoencoder
    kept = TrueTokens(model, windows(tiny_trainer), draws=12_000)
    drawn = TrueTokens(model, windows(tiny_trainer), draws=11_999)
    first = torch.cat(kept.take(INDICES), 1)
    assert torch.equal(first, torch.cat(drawn.take(INDICES), 1))
    model.quantizer.codebook_VC.copy_(model.quantizer.codebook_VC.flip(0))
    assert torch.equal(first, torch.cat(kept.take(INDICES), 1))
    assert not torch.equal(first, torch.cat(drawn.take(INDICES), 1))
