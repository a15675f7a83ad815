"""TAP: what its networks see and learn, and that its search finds what pays and is likely."""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mage.algorithms.tap.algorithm import StepWindows, Tap, Window
from mage.algorithms.tap.config import TapNetworkConfig, TapSearchConfig
from mage.algorithms.tap.network import Decoded, Prior, TrajectoryAutoencoder
from mage.algorithms.tap.search import Plan, search, value_of
from mage.config import make_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.interface import ONE, Seen
from mage.training.trainer import Trainer
from tests.algorithms.mage.builders import generators, random
from tests.config.messages import message_of
from tests.data.builders import make_trajectories

S, A, K = 3, 1, 6
NETWORK = TapNetworkConfig(
    window=12, stride=3, codes=K, code_dim=5, depth=2, embed_dim=16, num_heads=2, dropout=0.0, discount=0.9
)
SMALL: dict[str, Any] = {
    "algorithm": "tap",
    "tap": {"window": 6, "stride": 3, "codes": 8, "code_dim": 4, "depth": 1, "embed_dim": 16, "num_heads": 2},
    "search": {"horizon": 6, "beam": 3, "expand": 2},
    "training": {
        "autoencoder": {"steps": 4, "batch_size": 8},
        "prior": {"steps": 3, "batch_size": 8},
        "log_every": 2,
        "device": "cpu",
    },
}


def networks(seed: int = 0) -> tuple[Prior, TrajectoryAutoencoder]:
    """Untrained, with codes that differ."""
    torch.manual_seed(seed)
    prior, autoencoder = Prior(NETWORK, S).eval(), TrajectoryAutoencoder(NETWORK, S, A).eval()
    for parameter in [*prior.parameters(), *autoencoder.parameters()]:
        parameter.data += 0.2 * torch.randn_like(parameter)
    autoencoder.codebook.code_VC.normal_()
    return prior, autoencoder


def tokens(rows: int, codes: int = 4) -> Tensor:
    return torch.randint(K, (rows, codes), generator=torch.Generator().manual_seed(1))


def trainer(*overrides: str, trajectories: Trajectories | None = None) -> Trainer:
    return Trainer(trajectories or make_trajectories([6, 9, 12]), make_config(SMALL, overrides), seed=0)


def agent_of(made: Trainer) -> Tap:
    assert isinstance(made.agent, Tap)
    return made.agent


def windows_of(made: Trainer) -> StepWindows:
    return StepWindows(made.data, agent_of(made).config, agent_of(made).seen)


@torch.no_grad()
def test_the_first_steps_are_decoded_from_the_first_codes_alone() -> None:
    _, model = networks()
    code_BMC, state_BS = model.codebook.lookup(tokens(2)), random(2, S)
    whole = model.decode(code_BMC, state_BS)
    assert whole.step_BTX.shape == (2, 12, S + A + 2)
    torch.testing.assert_close(model.decode(code_BMC[:, :3], state_BS).step_BTX, whole.step_BTX[:, :9])
    for code in range(4):
        changed_BMC = code_BMC.clone()
        changed_BMC[:, code] += 1
        moved_T = (model.decode(changed_BMC, state_BS).step_BTX - whole.step_BTX).abs().amax((0, 2)) > 1e-6
        assert moved_T.tolist() == [step >= 3 * code for step in range(12)]


@torch.no_grad()
def test_a_latent_sees_its_steps_and_those_before() -> None:
    _, model = networks()
    step_BTX = random(2, 12, S + A + 3)
    for step in (0, 5, 11):
        changed_BTX = step_BTX.clone()
        changed_BTX[:, step] += 3
        moved_M = (model.encode(changed_BTX) - model.encode(step_BTX)).abs().amax((0, 2)) > 1e-6
        assert moved_M.tolist() == [code >= step // 3 for code in range(4)]


@torch.no_grad()
def test_states_are_told_as_what_they_differ_by_from_the_first() -> None:
    _, model = networks()
    model.to_step.weight.zero_()
    model.to_step.bias.zero_()
    state_BS = random(2, S)
    decoded = model.decode(model.codebook.lookup(tokens(2)), state_BS)
    assert torch.equal(decoded.step_BTX[..., :S], state_BS.unsqueeze(1).expand(-1, 12, -1))
    assert not decoded.step_BTX[..., S:].any()
    assert decoded.end_BT.sigmoid().eq(0.5).all()


@torch.no_grad()
def test_the_prior_of_whole_windows_is_the_one_code_by_code_and_depends_on_the_state() -> None:
    model, _ = networks()
    token_BM, state_BS = tokens(2), random(2, S)
    whole_BMK = model(token_BM[:, :3], state_BS)
    assert whole_BMK.shape == (2, 4, K)
    caches = model.stack.new_caches(2, 4)
    for code in range(4):
        for remembered in (None, caches):
            torch.testing.assert_close(model.next(token_BM[:, :code], state_BS, remembered), whole_BMK[:, code])
    assert not torch.allclose(model.next(token_BM[:, :0], state_BS + 1), whole_BMK[:, 0])


def test_a_value_is_discounted_once_more_than_usual_and_the_last_reward_does_not_count() -> None:
    reward_Nh, value_Nh = torch.tensor([[1.0, 2, 64]]), torch.tensor([[128.0, 256, 8]])
    assert value_of(reward_Nh, value_Nh, 0.5).tolist() == [0.5 * 1 + 0.25 * 2 + 0.125 * 8]


def worth(step_NhX: Tensor) -> Tensor:
    return value_of(step_NhX[..., -2], step_NhX[..., -1], 0.9)


def looked_for(model: tuple[Any, Any], state_BS: Tensor, *seeds: int, **changes: Any) -> Plan:
    config = TapSearchConfig(**({"horizon": 6, "beam": 256, "expand": 1, "likelihood_weight": 2.0} | changes))
    return search(*model, state_BS, worth, config, generators(*seeds or range(len(state_BS))))


@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_the_search_finds_the_best_of_all_plans(seed: int) -> None:
    prior, model = networks(seed)
    prior.head.weight.mul_(0.3)  # every code is drawn now and then
    state_BS, theta = random(2, S, seed=seed), 0.12
    found = looked_for((prior, model), state_BS, beam=1024, least_probability=theta)
    for environment in range(2):
        own_1S, scores = state_BS[environment : environment + 1], {}
        for plan in itertools.product(range(K), repeat=2):
            token_1M = torch.tensor([plan])
            log_p = prior(token_1M[:, :1], own_1S).log_softmax(-1)[0, range(2), list(plan)].sum()
            paid = worth(model.decode(model.codebook.lookup(token_1M), own_1S).step_BTX)
            scores[plan] = float(paid + 2 * min(float(log_p), 2 * math.log(theta)))
        best = max(scores, key=lambda plan: scores[plan])
        assert sorted(scores.values())[-2] < scores[best] - 1e-5
        assert found.token_BM[environment].tolist() == list(best)
        assert float(found.score_B[environment]) == pytest.approx(scores[best], abs=1e-4)


def test_a_search_with_a_cache_finds_the_same_plan_code_for_code() -> None:
    model, state_BS = networks(), random(3, S)
    one, other = (looked_for(model, state_BS, horizon=12, beam=4, expand=3, cache=cache) for cache in (True, False))
    assert one.step_BhX.shape == (3, 12, S + A + 2)
    assert torch.equal(one.token_BM, other.token_BM)
    torch.testing.assert_close(one.step_BhX, other.step_BhX)
    torch.testing.assert_close(one.score_B, other.score_B)


def test_the_plan_of_an_environment_does_not_depend_on_its_neighbours() -> None:
    model, state_BS = networks(), random(3, S)
    together = looked_for(model, state_BS, 5, 6, 7, horizon=12, beam=4, expand=3)
    for own in range(3):
        alone = looked_for(model, state_BS[own : own + 1], 5 + own, horizon=12, beam=4, expand=3)
        assert torch.equal(alone.token_BM[0], together.token_BM[own])


class TwoPaths:
    """A prior and a decoder by hand: codes all 0, of probability 0.9, are worth 1; codes all 1, of 0.1, are worth 2."""

    def __init__(self, codes: int) -> None:
        self.share, self.stride = torch.tensor([0.9 ** (1 / codes), 0.1 ** (1 / codes), 0.0]), 1
        self.share[2] = 1 - self.share[:2].sum() if self.share[:2].sum() < 1 else 0.0
        self.codebook = SimpleNamespace(lookup=lambda token_NM: token_NM.float().unsqueeze(-1))

    def next(self, token_NM: Tensor, state_NS: Tensor, caches: Any) -> Tensor:
        """The first code decides; it is followed by itself, as likely as it was."""
        logits_NK = self.share.log().expand(len(state_NS), -1)
        if token_NM.shape[1]:
            is_own_NK = torch.nn.functional.one_hot(token_NM[:, 0], 3).bool()
            logits_NK = logits_NK.masked_fill(~is_own_NK, -1e9)
        return logits_NK

    def decode(self, code_NMC: Tensor, state_NS: Tensor, caches: Any) -> Decoded:
        """Steps [r, V] whose last value is 1 + the first code, over the discount that it will have."""
        step_NMX = torch.zeros(*code_NMC.shape[:2], 2)
        step_NMX[:, -1, 1] = (1 + code_NMC[:, 0, 0]) / 0.9 ** code_NMC.shape[1]
        return Decoded(step_NMX, torch.zeros(code_NMC.shape[:2]))


@pytest.mark.parametrize(("theta", "chosen", "value"), [(0.05, 1, 2.0), (0.9, 0, 1.0)])
def test_an_unlikely_path_is_taken_if_it_is_likely_enough(theta: float, chosen: int, value: float) -> None:
    model = TwoPaths(codes=1)
    found = looked_for(
        (model, model),
        torch.zeros(1, 1),
        horizon=1,
        beam=64,
        cache=False,
        least_probability=theta,
        likelihood_weight=500,
    )
    assert int(found.token_BM[0, 0]) == chosen
    log_p = min(math.log([0.9, 0.1][chosen]), math.log(theta))
    assert float(found.score_B) == pytest.approx(value + 500 * log_p, rel=1e-5)


def test_one_path_that_is_not_expanded_is_drawn_from_the_prior() -> None:
    model = networks()
    drawn = [looked_for(model, torch.zeros(1, S), seed, horizon=3, beam=1).token_BM.item() for seed in range(300)]
    share = torch.bincount(torch.tensor(drawn), minlength=K) / 300
    wanted = model[0].next(torch.zeros(1, 0).long(), torch.zeros(1, S)).softmax(-1)[0].detach()
    torch.testing.assert_close(share, wanted, atol=0.08, rtol=0)


def test_past_the_end_of_an_episode_the_end_is_learned_and_nothing_else() -> None:
    made = trainer("tap.max_episode_steps=7")
    agent, windows = agent_of(made), windows_of(made)
    assert len(windows) == 5 + 8 + 11
    window = windows.take(torch.tensor([4, 9]))  # two steps before an end, and four before that of the second
    assert window.end_BT.tolist() == [[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]]
    assert window.counts_BT.tolist() == [[1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0]]
    assert not window.step_BTD[0, 2:].any()
    in_units = agent.in_units(window)
    torch.testing.assert_close(in_units.step_BTD[0, 3], -agent.centre_D / agent.scale_D)
    agent.eval()
    loss, changed = (agent.autoencoder_loss(w)[1] for w in (in_units, with_other_step(in_units, 5)))
    assert torch.equal(loss["reconstruction"], changed["reconstruction"])


def with_other_step(window: Window, step: int) -> Window:
    """Of which that step is another; what is decoded of the code before it stays."""
    changed_BTD = window.step_BTD.clone()
    changed_BTD[:, step] += 3
    return window._replace(step_BTD=changed_BTD)


def test_the_loss_is_the_weighed_squares_the_end_and_the_commitment() -> None:
    losses = {}
    for weight in (1, 5):
        made = trainer(f"tap.action_weight={weight}", "tap.dropout=0")
        agent = agent_of(made).eval()
        window = agent.in_units(windows_of(made).take(torch.arange(24)))
        loss, info = agent.autoencoder_loss(window)
        losses[weight] = loss.detach()
    model, window = agent.autoencoder, window
    latent_BMC = model.encode(window.shown_BTX)
    code_BMC = model.codebook.lookup(model.codebook.nearest(latent_BMC))
    decoded = model.decode(code_BMC, window.step_BTD[:, 0, :3])
    error_BTD = ((decoded.step_BTX - window.step_BTD) ** 2 * (1 - window.end_BT).unsqueeze(-1)).detach()
    probability_BT = decoded.end_BT.sigmoid().detach()
    entropy = -(window.end_BT * probability_BT.log() + (1 - window.end_BT) * (1 - probability_BT).log()).mean()
    wanted = error_BTD.mean() + entropy + (latent_BMC - code_BMC).pow(2).mean().detach()
    torch.testing.assert_close(losses[1], wanted)
    torch.testing.assert_close(losses[5] - losses[1], 4 * error_BTD[..., 3].sum() / error_BTD.numel())
    torch.testing.assert_close(info["end"], entropy)


def test_steps_are_in_deviations_of_what_was_recorded_whatever_a_failure_costs() -> None:
    data = make_trajectories([6, 9], terminations=np.array([True, False]))
    agent = agent_of(trainer("tap.terminal_reward=-100", trajectories=data))
    paid = torch.from_numpy(data.rewards)
    torch.testing.assert_close(agent.centre_D[4], paid.mean())
    torch.testing.assert_close(agent.scale_D[4], paid.std(correction=0))
    assert float(agent.centre_D[5]) < -10
    raw = agent_of(trainer("tap.normalise=false"))
    assert not raw.centre_D.any() and raw.scale_D.eq(1).all()
    assert agent_of(trainer("tap.observed=2")).seen == 2


def test_it_acts_by_the_first_action_of_its_plan_in_the_units_of_the_data() -> None:
    made = trainer()
    made.advance(10**9)
    agent, shown_BS = agent_of(made).eval(), torch.from_numpy(made.trajectories.observations[[0, 7]])
    action_BA, state = agent.act(
        None, Seen(shown_BS, torch.zeros(2), torch.zeros(2), torch.zeros(2, 1), 0, generators(0, 1))
    )
    assert state is None
    seen_BS = (shown_BS - agent.centre_D[:3]) / agent.scale_D[:3]
    plan = search(agent.prior, agent.autoencoder, seen_BS, agent.worth, agent.config.search, generators(0, 1))
    torch.testing.assert_close(action_BA, plan.step_BhX[:, 0, 3:4] * agent.scale_D[3] + agent.centre_D[3])


def test_the_codes_learn_in_the_first_stage_alone_and_linear_weights_alone_decay() -> None:
    made = trainer()
    made.advance(4)
    codes = agent_of(made).autoencoder.codebook.code_VC.clone()
    made.advance(6)
    assert torch.equal(agent_of(made).autoencoder.codebook.code_VC, codes)
    assert not torch.equal(codes, agent_of(trainer()).autoencoder.codebook.code_VC)
    adam = made.stage.optimisers[ONE].adam
    assert [(part["weight_decay"], part["betas"]) for part in adam.param_groups] == [
        (0.1, (0.9, 0.95)),
        (0, (0.9, 0.95)),
    ]


def test_runs_that_differ_in_how_they_search_share_an_autoencoder() -> None:
    keys = [
        make_config(SMALL, [change]).shared_key()
        for change in ("search.beam=9", "training.prior.steps=9", "tap.codes=9")
    ]
    assert keys[0] == keys[1] == make_config(SMALL).shared_key() != keys[2]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["tap.window=25"], ["window 25 is not a multiple of stride 3"]),
        (["search.horizon=16"], ["search.horizon 16", "multiple of tap.stride 3"]),
        (["search.horizon=27"], ["search.horizon 27", "at most tap.window 24"]),
        (["tap.embed_dim=30"], ["embed_dim 30", "num_heads 4"]),
    ],
)
def test_an_error_is_one_line_that_names_the_field_and_the_value(overrides: list[str], said: list[str]) -> None:
    message = message_of("algorithm=tap", *overrides)
    assert all(part in message for part in said), message


def test_data_without_two_steps_in_a_row_is_refused() -> None:
    with pytest.raises(MageError, match="no episode of this data has two steps"):
        trainer(trajectories=make_trajectories([1, 1]))


@pytest.mark.slow
def test_it_learns_to_tell_the_trajectories_of_a_linear_system_apart() -> None:
    rng = np.random.default_rng(0)
    state_EA, states, actions = rng.normal(size=(16, 2)), [], []
    for _ in range(12):
        action_EA = -0.3 * state_EA
        states.append(state_EA)
        actions.append(action_EA)
        state_EA = state_EA @ np.array([[0.9, 0.5], [-0.5, 0.9]]) + action_EA
    seen_NS, action_NA = (np.stack(values, 1).reshape(-1, 2).astype(np.float32) for values in (states, actions))
    task = make_trajectories([1]).task.model_copy(update={"action_low": (-1.0, -1.0), "action_high": (1.0, 1.0)})
    data = Trajectories(
        observations=seen_NS,
        actions=action_NA,
        rewards=-np.abs(seen_NS).sum(1),
        terminations=np.zeros(16, bool),
        episode_starts=np.arange(17) * 12,
        task=task,
    )
    small = [
        "tap.codes=32",
        "tap.embed_dim=32",
        "tap.code_dim=8",
        "tap.dropout=0",
        "tap.depth=2",
        "training.log_every=50",
    ]
    stages = [
        f"training.{s}.{f}"
        for s in ("autoencoder", "prior")
        for f in ("steps=300", "batch_size=64", "learning_rate=3e-3")
    ]
    made = trainer(*small, *stages, trajectories=data)
    made.advance(10**9)
    told = {stage: [row for row in made.history if row["stage"] == stage][-1] for stage in ("autoencoder", "prior")}
    assert float(told["autoencoder"]["reconstruction"]) < 0.25  # in units of the variance
    assert float(told["autoencoder"]["codes_used"]) > 8
    assert float(told["prior"]["loss"]) < math.log(32)
