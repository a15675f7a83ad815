"""CARP: tokens of each action value, coarse to fine, what predicts them, and the chunks that are executed."""

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mage.algorithms.carp.algorithm import Carp, Under
from mage.algorithms.carp.chunks import Chunks
from mage.algorithms.carp.config import CarpConfig, PredictorConfig, TokenizerConfig
from mage.algorithms.carp.optimisation import VarStageConfig, average_rate, clip_each, steer
from mage.algorithms.carp.quantizer import Quantizers
from mage.algorithms.carp.tokenizer import Tokenizers, in_order, sequence
from mage.algorithms.carp.transformer import Block, Predictor
from mage.config import OptimiserConfig, make_config
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories
from mage.errors import MageError
from mage.interface import Optimiser, Seen
from mage.training.trainer import Trainer
from tests.algorithms.mage.builders import random
from tests.data.builders import make_task, make_trajectories

A, V, C, OBSERVED = 3, 16, 4, 5
SCALES = (1, 2, 3, 4)
SMALL: dict[str, Any] = {
    "algorithm": "carp",
    "tokenizer": {"codes": V, "code_dim": C},
    "predictor": {"depth": 2, "embed_dim": 16, "num_heads": 2},
    "training": {"log_every": 2, "device": "cpu"}
    | {name: {"steps": 4, "batch_size": 8} for name in ("tokenizer", "predictor")},
}


def tokenizers(values: int = A, scales: tuple[int, ...] = SCALES, seed: int = 0, **changes: Any) -> Tokenizers:
    """Untrained, with codes as long as latents."""
    torch.manual_seed(seed)
    made = Tokenizers(TokenizerConfig(scales=scales, codes=V, code_dim=C, **changes), values)
    nn.init.normal_(made.quantizers.code_AVC)
    return made


def predictor(quantizers: Quantizers, seed: int = 1) -> Predictor:
    """Untrained, with conditions that matter."""
    torch.manual_seed(seed)
    config = PredictorConfig(depth=2, embed_dim=16, num_heads=2)
    made = Predictor(config, OBSERVED, quantizers.code_AVC.shape[0], quantizers).eval()
    for parameter in made.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return made


def drawn_tokens(batch: int = 2, seed: int = 0) -> list[Tensor]:
    own = torch.Generator().manual_seed(seed)
    return [torch.randint(V, (batch, A, scale), generator=own) for scale in SCALES]


@torch.no_grad()
def test_what_is_decoded_is_the_sum_of_what_the_scales_add_and_tokens_say_it_all() -> None:
    model, action_BNA = tokenizers(), random(6, 16, A)
    quantized = model.quantizers.quantize(model.encode(action_BNA))
    added = [model.quantizers.contribution(tokens, k) for k, tokens in enumerate(quantized.tokens)]
    torch.testing.assert_close(sum(added), quantized.latent_BACL, atol=1e-5, rtol=1e-5)
    again = model.quantizers.build(model.tokens(action_BNA))
    for one, other in zip(again, quantized.sums, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(model.decode(again[-1]), model.decode(quantized.latent_BACL), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_latents_are_averaged_and_widened_as_torch_does_it() -> None:
    quantizers, latent_BACL = tokenizers().quantizers, random(2, A, C, 4)
    for k, scale in enumerate(SCALES):
        wanted = F.interpolate(latent_BACL.flatten(1, 2), size=scale, mode="area")
        torch.testing.assert_close(quantizers.scale_down(latent_BACL, k).flatten(1, 2), wanted)
        token_BAl = drawn_tokens()[k]
        code_BAlC = torch.stack([quantizers.code_AVC[value][token_BAl[:, value]] for value in range(A)], 1)
        code_BXl1 = code_BAlC.transpose(2, 3).flatten(1, 2).unsqueeze(-1)
        h_BXL = F.interpolate(code_BXl1, size=(4, 1), mode="bicubic").squeeze(-1)
        wanted = 0.5 * h_BXL + 0.5 * quantizers.mix[k](h_BXL)
        torch.testing.assert_close(quantizers.contribution(token_BAl, k).flatten(1, 2), wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_codes_are_found_by_direction_and_used_at_their_length() -> None:
    quantizers, sought_BACl = tokenizers().quantizers, random(5, A, C, 2)
    token_BAl = quantizers.nearest(sought_BACl)
    quantizers.code_AVC.mul_(torch.rand(A, V, 1) + 0.5)  # as long as they may be
    assert torch.equal(quantizers.nearest(7 * sought_BACl), token_BAl)
    for value in range(A):
        alike_BVl = F.cosine_similarity(
            sought_BACl[:, value, None], quantizers.code_AVC[value, None, :, :, None], dim=2
        )
        assert torch.equal(alike_BVl.argmax(1), token_BAl[:, value])
        found_BCl = quantizers.lookup(token_BAl)[:, value]
        assert torch.equal(found_BCl.transpose(1, 2), quantizers.code_AVC[value][token_BAl[:, value]])


@torch.no_grad()
def test_scales_of_one_length_are_plain_residual_quantization() -> None:
    model = tokenizers(scales=(4, 4, 4))
    for mix in model.quantizers.mix:  # phi is the identity
        emptied(mix).weight[torch.arange(A * C), torch.arange(C).repeat(A), 1] = 1.0
    latent_BACL = random(3, A, C, 4)
    found = model.quantizers.quantize(latent_BACL)
    rest_BACL = latent_BACL
    for token_BAl in found.tokens:
        assert torch.equal(token_BAl, model.quantizers.nearest(rest_BACL))
        rest_BACL = rest_BACL - model.quantizers.lookup(token_BAl)
    torch.testing.assert_close(latent_BACL - rest_BACL, found.sums[-1], atol=1e-5, rtol=1e-5)


def emptied(layer: nn.Module) -> nn.Conv1d:
    """The same convolution, of zeros."""
    assert isinstance(layer, nn.Conv1d)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def gradients(loss: Tensor, *parts: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, parts, retain_graph=True))


def test_the_commitment_draws_the_encoder_alone_and_codes_learn_as_without_it() -> None:
    found = {}
    for weight in (0.0, 0.25, 1.0):
        quantizers = tokenizers(commitment_weight=weight).quantizers
        latent_BACL = random(4, A, C, 4).requires_grad_()
        quantized = quantizers.quantize(latent_BACL)
        found[weight] = gradients(quantized.loss, latent_BACL, quantizers.code_AVC, *quantizers.mix[0].parameters())
    assert not found[0.0][0].any()
    torch.testing.assert_close(found[1.0][0], 4 * found[0.25][0])
    assert found[1.0][0].any()
    for one, other in zip(found[0.0][1:], found[1.0][1:], strict=True):
        assert torch.equal(one, other)
        assert one.any()
    wanted = sum((latent_BACL - sum_BACL).pow(2).mean() * A * 2 for sum_BACL in quantized.sums) / len(SCALES)
    torch.testing.assert_close(quantized.loss, wanted)  # at a weight of 1, both sides are alike


def test_where_every_scale_is_perfect_reconstruction_is_all_of_the_loss_and_its_gradient_passes_straight() -> None:
    agent = agent_of(trained("tokenizer.scales=[4,4]"))
    quantizers, action_BNA = agent.tokenizers.quantizers, random(2, 16, 1)
    nn.init.zeros_(quantizers.code_AVC)
    for layer in [*quantizers.mix, agent.tokenizers.encoder[-1]]:
        emptied(layer)  # latents of 0, which codes of 0 hit
    loss, info = agent.tokenizer_loss(action_BNA)
    assert float(info["quantizer_loss"]) == 0.0
    assert float(loss) == float(info["reconstruction_error"])
    latent_BACL = random(2, A, C, 4).requires_grad_()
    (straight_BACL,) = gradients(tokenizers().quantizers.quantize(latent_BACL).latent_BACL.sum(), latent_BACL)
    assert torch.equal(straight_BACL, torch.ones_like(straight_BACL))


def test_every_action_value_learns_as_if_it_were_alone() -> None:
    together, config = tokenizers(), OptimiserConfig(learning_rate=0.01, gradient_clip=0.05, warmup_steps=0)
    alone = [tokenizers(values=1) for _ in range(A)]
    whole = dict(together.named_parameters())
    for value, own in enumerate(alone):
        for name, parameter in own.named_parameters():
            parameter.data.copy_(whole[name].data.unflatten(0, (A, -1))[value])
    action_BNA = random(5, 16, A) * torch.tensor([0.1, 1.0, 10.0])

    def learn(model: Tokenizers, own_BNA: Tensor) -> Tensor:
        optimiser = Optimiser(list(model.parameters()), config, 10)
        for _ in range(2):
            quantized = model.quantizers.quantize(model.encode(own_BNA))
            rebuilt_BNA = model.decode(quantized.latent_BACL)
            loss = (rebuilt_BNA - own_BNA).pow(2).mean((0, 1)).sum() + quantized.loss
            optimiser.minimise(loss, clip_each(own_BNA.shape[2]))
        return rebuilt_BNA

    rebuilt_BNA = learn(together, action_BNA)
    for value, own in enumerate(alone):
        torch.testing.assert_close(learn(own, action_BNA[..., value : value + 1])[..., 0], rebuilt_BNA[..., value])
        for name, parameter in own.named_parameters():
            torch.testing.assert_close(parameter, whole[name].unflatten(0, (A, -1))[value], atol=1e-5, rtol=1e-4)


def test_permuted_action_values_have_permuted_tokens_and_are_rebuilt_permuted() -> None:
    model, action_BNA, order = tokenizers(), random(4, 16, A), torch.tensor([2, 0, 1])
    permuted = tokenizers()
    for own, other in zip(permuted.parameters(), model.parameters(), strict=True):
        own.data.copy_(other.data.unflatten(0, (A, -1))[order].flatten(0, 1))
    for one, two in zip(permuted.tokens(action_BNA[..., order]), model.tokens(action_BNA), strict=True):
        assert torch.equal(one, two[:, order])
    rebuilt_BNA = model.decode(model.encode(action_BNA))
    torch.testing.assert_close(permuted.decode(permuted.encode(action_BNA[..., order])), rebuilt_BNA[..., order])


def test_a_token_belongs_to_a_value_by_its_remainder_and_to_a_time_by_its_quotient() -> None:
    token_BAl = torch.tensor([[[10 * value + time for time in range(4)] for value in range(A)]])
    wanted = [10 * (i % A) + i // A for i in range(4 * A)]
    assert sequence([token_BAl]).tolist() == [wanted]
    assert in_order(token_BAl.unsqueeze(2)).squeeze(-1).tolist() == [wanted]


@torch.no_grad()
def test_logits_of_true_tokens_are_those_of_generating_them_with_a_cache() -> None:
    quantizers = tokenizers().quantizers
    model, observation_BO = predictor(quantizers), random(4, OBSERVED)
    tokens, latent_BACL = model.generate(observation_BO, quantizers)
    sums = quantizers.build(tokens)
    torch.testing.assert_close(sums[-1], latent_BACL)
    logits_BTV = model(observation_BO, sums[:-1], quantizers)
    assert logits_BTV.shape == (4, A * 10, V)
    assert torch.equal(logits_BTV.argmax(-1), sequence(tokens))
    seen = []
    model.head.register_forward_hook(lambda _, __, logits: seen.append(logits))
    model.generate(observation_BO, quantizers)
    torch.testing.assert_close(torch.cat(seen, 1), logits_BTV, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("changed", range(len(SCALES)))
def test_a_token_reaches_finer_scales_only(changed: int) -> None:
    quantizers, tokens = tokenizers().quantizers, drawn_tokens()
    model, observation_BO = predictor(quantizers), random(2, OBSERVED)
    other = [token_BAl.clone() for token_BAl in tokens]
    other[changed][:, 0, 0] = (other[changed][:, 0, 0] + 1) % V
    lengths = [A * scale for scale in SCALES]
    logits = [
        model(observation_BO, quantizers.build(own)[:-1], quantizers).split(lengths, 1) for own in (tokens, other)
    ]
    same = [torch.equal(one, two) for one, two in zip(*logits, strict=True)]
    assert same == [k <= changed for k in range(len(SCALES))]


@torch.no_grad()
def test_every_number_observed_reaches_every_scale() -> None:
    quantizers, tokens = tokenizers().quantizers, drawn_tokens(batch=1)
    model, sums, observation_BO = predictor(quantizers), quantizers.build(tokens)[:-1], random(1, OBSERVED)
    before = model(observation_BO, sums, quantizers)
    for number in range(OBSERVED):
        other_BO = observation_BO + F.one_hot(torch.tensor([number]), OBSERVED)
        moved_T = (model(other_BO, sums, quantizers) - before).abs().amax((0, 2))
        assert moved_T.min() > 0


def test_blocks_are_left_out_for_some_windows_in_training_alone() -> None:
    quantizers = tokenizers().quantizers
    torch.manual_seed(0)
    model = Predictor(PredictorConfig(depth=24, embed_dim=8, num_heads=2, drop_path=0.9), OBSERVED, A, quantizers)
    blocks = [block for block in model.blocks if isinstance(block, Block)]
    shares = [block.dropped for block in blocks]
    assert shares == pytest.approx([0.9 * number / 23 for number in range(24)])
    added_B11 = torch.ones(4000, 1, 1)
    dropped_B11 = blocks[12]._drop(added_B11)
    assert float((dropped_B11 == 0).float().mean()) == pytest.approx(shares[12], abs=0.03)
    assert float(dropped_B11.mean()) == pytest.approx(1, abs=0.06)  # what stays is made up for
    assert torch.equal(blocks[12].eval()._drop(added_B11), added_B11)


@pytest.mark.parametrize(
    ("config", "step", "rate", "decay"),
    [
        ({"decay": "cosine", "rate_left": 0.3}, 0, 1.0, 1.0),
        ({"decay": "cosine", "rate_left": 0.3}, 50, 0.65, 0.5),
        ({"decay": "linear", "held": 0.05}, 4, 1.0, None),
        ({"decay": "linear", "held": 0.05}, 5, 1.0, None),
        ({"decay": "linear", "held": 0.05}, 100, 0.1, 0.0),
        ({"decay": "linear", "held": 0.5, "warmup_steps": 10}, 4, 0.5, None),
        ({"decay": "linear", "held": 0.5, "warmup_steps": 10}, 60, 1.0, None),
    ],
)
def test_rates_and_decay_fall_as_vars_do(config: dict[str, Any], step: int, rate: float, decay: float | None) -> None:
    own = VarStageConfig(**({"learning_rate": 2.0, "weight_decay": 4.0, "warmup_steps": 0, "beta_1": 0.5} | config))
    weight, bias = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    optimiser = Optimiser([bias, weight], own, 101)
    for _ in range(2):  # the second finds the groups made
        optimiser.begin(step)
        steer(optimiser, [weight], own)
    decayed, rest = optimiser.adam.param_groups
    assert (decayed["params"], rest["params"]) == ([weight], [bias])
    assert [part["lr"] for part in (decayed, rest)] == pytest.approx([2 * rate] * 2, abs=0.02)
    assert decayed["betas"] == rest["betas"] == (0.5, 0.95)
    assert rest["weight_decay"] == 0.0
    if decay is not None:
        assert decayed["weight_decay"] == pytest.approx(4 * decay)


def test_the_average_follows_at_once_and_then_ever_less() -> None:
    rates = [average_rate(step, 0.9999) for step in range(4)]
    assert rates == pytest.approx([1.0, 1.0, 2**-0.75, 3**-0.75])
    assert average_rate(10**7, 0.9999) == pytest.approx(1e-4)


def data_of(trajectories: Trajectories) -> Steps:
    return Steps(trajectories, Statistics.from_trajectories(trajectories))


def test_a_chunk_repeats_the_first_step_before_its_episode_and_the_last_after_it() -> None:
    data = data_of(make_trajectories([10, 7, 12]))
    chunks = Chunks(data, CarpConfig())
    rows = [*range(3), *range(17, 22)]  # to act at: no episode of 7 steps has a chunk of 16 with 8 of padding
    assert len(chunks) == len(rows)
    chunk = chunks.take(torch.arange(len(rows)))
    start, end = [0] * 3 + [17] * 5, [9] * 3 + [28] * 5
    for number, row in enumerate(rows):
        wanted = [min(max(row - 1 + step, start[number]), end[number]) for step in range(16)]
        assert chunk.observation_BnS[number, :, 0].tolist() == wanted[:2]
        assert torch.equal(chunk.action_BNA[number], data.actions(torch.tensor(wanted)))


def test_values_go_to_their_limits_but_for_those_that_hardly_vary() -> None:
    observations = np.stack([np.linspace(-3, 5, 12), np.linspace(7, 7.04, 12)], 1).astype(np.float32)
    data = data_of(make_trajectories([12], observations=observations))
    observation, action = Chunks(data, CarpConfig()).limits()
    normal = observation.normalise(torch.from_numpy(observations))
    assert normal[[0, -1], 0].tolist() == pytest.approx([-1, 1])
    assert normal[[0, -1], 1].tolist() == pytest.approx([-0.02, 0.02], abs=1e-5)
    raw = data.actions(torch.arange(12))
    assert [float(end) for end in action.normalise(raw).aminmax()] == pytest.approx([-1, 1])
    torch.testing.assert_close(action.restore(action.normalise(raw)), raw)


@cache
def trained(*overrides: str) -> Trainer:
    """To the end; not to be changed unless it is nobody else's."""
    made = Trainer(make_trajectories([20, 24]), make_config(SMALL, overrides), seed=0)
    made.advance(made.total_steps)
    return made


def agent_of(made: Trainer) -> Carp:
    assert isinstance(made.agent, Carp)
    return made.agent.eval()


def seen(observation_BS: Tensor, step: int) -> Seen:
    size = len(observation_BS)
    return Seen(observation_BS, torch.zeros(size), torch.zeros(size), torch.zeros(size, 1), step)


def play(agent: Carp, shown: list[Tensor]) -> tuple[list[Tensor], list[Under]]:
    state, actions, states = agent.begin(len(shown[0])), [], []
    for step, observation_BS in enumerate(shown):
        action_BA, state = agent.act(state, seen(observation_BS, step))
        actions.append(action_BA)
        states.append(state)
    return actions, states


@pytest.mark.parametrize(("executed", "planned_at"), [(8, [0, 8, 16]), (1, list(range(18))), (5, [0, 5, 10, 15])])
def test_so_many_actions_of_a_chunk_are_executed_from_the_last_observation_on(
    executed: int, planned_at: list[int]
) -> None:
    agent, shown = agent_of(trained(f"chunk.executed={executed}")), [random(2, 3, seed=i) for i in range(18)]
    actions, states = play(agent, shown)
    assert sorted({state.since for state in states}) == planned_at
    for step, action_BA in enumerate(actions):
        begun = states[step].since
        before_BS, now_BS = (agent.observation_units.normalise(shown[at]) for at in (max(begun - 1, 0), begun))
        chunk_BNA = agent.predict(torch.cat([before_BS, now_BS], 1))
        assert torch.equal(action_BA, chunk_BNA[:, 1 + step - begun])
    again, _ = play(agent, shown[5:7])  # other episodes begin with a chunk of their own
    assert torch.equal(again[0], agent.predict(agent.observation_units.normalise(shown[5]).repeat(1, 2))[:, 1])


def test_the_average_acts_on_the_tokens_of_the_raw_tokenizers() -> None:
    agent = agent_of(trained())
    names = set(agent.state_dict())
    assert any(name.startswith("predictor_average.") for name in names)
    assert not any("tokenizers_average" in name for name in names)
    observation_BO = random(1, 6)
    before = agent.predict(observation_BO)
    raw = [parameter.detach().clone() for parameter in agent.predictor.parameters()]
    with torch.no_grad():
        for parameter in agent.predictor.parameters():
            parameter.add_(1.0)
    assert torch.equal(agent.predict(observation_BO), before)
    with torch.no_grad():
        for parameter, value in zip(agent.predictor.parameters(), raw, strict=True):
            parameter.copy_(value)


def two_sines() -> Trajectories:
    """Episodes of 8 steps, a chunk each, that show a sign and follow a sine of that sign, and twice a cosine of it."""
    phase_N = torch.arange(8) * math.tau / 16
    wave_NA = torch.stack([phase_N.sin(), 2 * phase_N.cos()], 1)
    observations = torch.cat([torch.stack([torch.full((8,), sign), phase_N], 1) for sign in (1.0, -1.0)])
    task = make_task(action_low=(-2.0, -2.0), action_high=(2.0, 2.0))
    made = make_trajectories([8, 8], observations=observations.numpy())
    return replace(made, actions=torch.cat([wave_NA, -wave_NA]).numpy(), task=task)


@pytest.mark.slow
def test_two_chunks_that_a_sign_tells_apart_are_both_reproduced() -> None:
    changes = ["predictor.average_decay=0.9", "predictor.drop_path=0", "tokenizer.code_dim=8"]
    for name, steps in (("tokenizer", 150), ("predictor", 60)):
        learned = {"steps": steps, "warmup_steps": 10, "learning_rate": 0.01, "weight_decay": 0, "gradient_clip": 10}
        changes += [f"training.{name}.{field}={value}" for field, value in learned.items()]
    made = Trainer(two_sines(), make_config(SMALL, changes), seed=0)
    made.advance(made.total_steps)
    trajectories = made.trajectories
    shown = [torch.from_numpy(trajectories.observations[[step, 8 + step]]) for step in range(8)]
    actions, _ = play(agent_of(made), shown)
    wanted = torch.from_numpy(np.stack([trajectories.actions[[step, 8 + step]] for step in range(8)]))
    error = (torch.stack(actions) - wanted).pow(2).mean().sqrt() / wanted.pow(2).mean().sqrt()
    assert float(error) < 0.05
    (told,) = (row for row in made.history if row["stage"] == "tokens")
    assert float(told["unexplained"]) == float(told["unexplained_scale4"]) < 0.02
    assert 1 < float(told["codes_used"]) <= V


@pytest.mark.slow
def test_every_scale_leaves_less_of_the_latents_that_were_learned() -> None:
    model, walk_BNA = tokenizers(values=1), random(32, 16, 1).cumsum(1) / 4
    adam = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(80):
        quantized = model.quantizers.quantize(latent_BACL := model.encode(walk_BNA))
        loss = F.mse_loss(model.decode(quantized.latent_BACL), walk_BNA) + quantized.loss
        adam.zero_grad()
        loss.backward()
        adam.step()
    left = [float((latent_BACL - sum_BACL).detach().pow(2).mean()) for sum_BACL in quantized.sums]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.5 * left[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["chunk.executed=16"], "chunk.executed 16 is more than the 15 steps that a chunk of 16"),
        (["tokenizer.scales=[1,5,4]"], "at least 1 and not fall"),
        (["tokenizer.scales=[0,4]"], "at least 1 and not fall"),
        (["tokenizer.scales=[4]"], "tokenizer.scales"),
        (["predictor.num_heads=3"], "embed_dim 16 is not a multiple of num_heads 3"),
        (["predictor.depth=30"], "depth 30 is more than the 24 blocks"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(changes: list[str], said: str) -> None:
    with pytest.raises(MageError, match=said) as caught:
        make_config(SMALL, changes)
    assert "\n" not in str(caught.value)


def test_data_without_a_whole_chunk_is_refused_in_a_line() -> None:
    with pytest.raises(MageError, match="no episode of this data has the 8 steps") as caught:
        Trainer(make_trajectories([6, 7]), make_config(SMALL), seed=0)
    assert "\n" not in str(caught.value)
