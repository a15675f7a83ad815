"""Trajectory Transformer: what its network sees and learns, and that its search finds what pays most."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mage.algorithms.tt.algorithm import TokenWindows, TrajectoryTransformer, rate_factor
from mage.algorithms.tt.config import SearchConfig, TrajectoryTransformerConfig
from mage.algorithms.tt.network import TokenStream, TokenTransformer
from mage.algorithms.tt.search import Found, Worth, search
from mage.config import make_config
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.interface import ONE, Seen
from mage.nn.beam import draw, likeliest, uniform
from mage.training.trainer import Trainer
from tests.config.messages import message_of
from tests.data.builders import make_trajectories

S, A, BINS = 2, 1, 3
D = S + A + 2
VALUE = D - 1
SMALL: dict[str, Any] = {
    "algorithm": "tt",
    "trajectory_transformer": {"bins": 8, "window": 4, "depth": 2, "embed_dim": 16, "num_heads": 2},
    "search": {"horizon": 2, "beam": 3, "context": 3},
    "training": {"transformer": {"steps": 6, "batch_size": 8}, "log_every": 2, "device": "cpu"},
}


def network(window: int = 10, seed: int = 0) -> TokenTransformer:
    """Untrained, with logits that differ from place to place."""
    torch.manual_seed(seed)
    config = TrajectoryTransformerConfig(bins=BINS, window=window, depth=2, embed_dim=16, num_heads=2)
    made = TokenTransformer(config, D).eval()
    for parameter in made.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    made.head_DWC.data[S - 1] *= 0.1  # every action is drawn now and then
    return made


def tokens(rows: int, length: int, seed: int = 0, classes: int = BINS) -> Tensor:
    return torch.randint(classes, (rows, length), generator=torch.Generator().manual_seed(seed))


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def trainer(*overrides: str, trajectories: Trajectories | None = None) -> Trainer:
    return Trainer(trajectories or make_trajectories([6, 9, 12]), make_config(SMALL, overrides), seed=0)


def agent_of(made: Trainer) -> TrajectoryTransformer:
    assert isinstance(made.agent, TrajectoryTransformer)
    return made.agent


def windows_of(made: Trainer) -> TokenWindows:
    agent = agent_of(made)
    return TokenWindows(made.data, agent.config, agent.discretiser, agent.seen)


@pytest.mark.parametrize("place", range(3 * D))
def test_a_token_is_seen_by_what_comes_after_it_and_a_value_by_its_successor_alone(place: int) -> None:
    model, token_BT = network(), tokens(2, 4 * D - 1)
    changed_BT = token_BT.clone()
    changed_BT[:, place] = (changed_BT[:, place] + 1) % BINS
    moved_T = (model(changed_BT) - model(token_BT)).abs().amax((0, 2)) > 1e-6
    is_value = place % D == VALUE
    assert moved_T.tolist() == [at == place if is_value else at >= place for at in range(4 * D - 1)]


def test_an_end_is_one_token_in_every_dimension() -> None:
    model = network()
    rows = list[int]()
    model.embed.register_forward_pre_hook(lambda _, inputs: rows.extend(inputs[0][0].tolist()))
    model(torch.full((1, D), BINS))
    model(torch.zeros(1, D, dtype=torch.long))
    assert rows == [D * BINS] * D + [BINS * dimension for dimension in range(D)]


@pytest.mark.parametrize("known", [S, S + A, D + S, 3 * D + S])
def test_cached_tokens_are_the_uncached_ones_past_the_context_too(known: int) -> None:
    model, token_NT = network(), tokens(3, known, classes=BINS + 1)
    streams = [TokenStream(model, token_NT, 4, cached) for cached in (True, False)]
    for step in range(5 * D):
        cached_NC, whole_NC = (stream.next() for stream in streams)
        torch.testing.assert_close(cached_NC, whole_NC, atol=1e-5, rtol=1e-5)
        row_N = torch.tensor([2, 0, 0, 1])[step % 2 :]
        for stream in streams:
            stream.push(whole_NC.argmax(-1))
            stream.select(row_N % len(whole_NC))
    shown = streams[0].token_NT.shape[1] - streams[0].start
    assert 3 * D <= shown <= 4 * D - 1


def test_the_network_sees_the_last_whole_steps_and_positions_begin_anew() -> None:
    model, token_NT = network(), tokens(2, 9 * D + S)
    stream = TokenStream(model, token_NT, 4, cached=True)
    torch.testing.assert_close(stream.next(), model(token_NT[:, 6 * D :])[:, -1])
    fits = TokenStream(model, token_NT[:, : 4 * D - 1], 4, cached=True)
    torch.testing.assert_close(fits.next(), model(token_NT[:, : 4 * D - 1])[:, -1])


def looked_for(model: nn.Module, token_BT: Tensor, worth: Worth, *seeds: int, **changes: Any) -> Found:
    config = SearchConfig(**({"horizon": 2, "beam": 256, "expand": 1, "cut": None, "context": 4} | changes))
    return search(model, token_BT, A, worth, config, generators(*seeds or range(len(token_BT))))  # type: ignore[arg-type]


WORTH = Worth(torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([0.0, 3.0, 5.0]), 0.9)


def score_of(model: TokenTransformer, known_T: Tensor, actions: tuple[int, ...]) -> float:
    """Of a plan, token by token, each from all that came before."""
    token_T, paid = known_T, 0.0

    def follow() -> Tensor:
        return model(token_T[None])[0, -1]

    for step, action in enumerate(actions):
        token_T = torch.cat([token_T, torch.tensor([action])])
        worth = []
        for middle_N in WORTH[:2]:
            worth.append(float(follow().softmax(-1)[:-1] @ middle_N))
            token_T = torch.cat([token_T, follow().argmax()[None]])
        paid += 0.9**step * worth[0]
        score = paid + 0.9 ** (step + 1) * worth[1]
        for _ in range(S):
            token_T = torch.cat([token_T, follow()[:-1].argmax()[None]])
    return score


@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_the_search_finds_the_best_of_all_plans(seed: int) -> None:
    model, token_BT = network(seed=seed), tokens(2, D + S, seed)
    found = looked_for(model, token_BT, WORTH, horizon=2)  # so wide a beam drops nothing that it has drawn
    for environment, known_T in enumerate(token_BT):
        scores = {plan: score_of(model, known_T, plan) for plan in itertools.product(range(BINS), repeat=2)}
        best = max(scores, key=lambda plan: scores[plan])
        assert sorted(scores.values())[-2] < scores[best]
        assert found.token_BT[environment, [0, D]].tolist() == list(best)
        assert float(found.score_B[environment]) == pytest.approx(scores[best], abs=1e-4)


@pytest.mark.parametrize("context", [2, 4])
def test_a_search_with_a_cache_finds_the_same_path_token_for_token(context: int) -> None:
    model, token_BT = network(), tokens(3, D + S)
    found = [
        looked_for(model, token_BT, WORTH, horizon=4, beam=3, expand=2, context=context, cache=cache)
        for cache in (True, False)
    ]
    assert found[0].token_BT.shape == (3, 4 * D - S)
    assert torch.equal(found[0].token_BT, found[1].token_BT)
    torch.testing.assert_close(found[0].score_B, found[1].score_B)


def test_the_path_of_an_environment_does_not_depend_on_its_neighbours() -> None:
    model, token_BT = network(), tokens(3, D + S)
    together = looked_for(model, token_BT, WORTH, 5, 6, 7, beam=3, expand=2, horizon=3)
    for own in range(3):
        alone = looked_for(model, token_BT[own : own + 1], WORTH, 5 + own, beam=3, expand=2, horizon=3)
        assert torch.equal(alone.token_BT[0], together.token_BT[own])


class TwoWays(nn.Module):
    """Tokens [s, a, r, V]: the first action pays 1 and promises 2 more; the other pays nothing and promises 1.

    But in the state that the other leads to, 1, a step pays 3; in state 0 it pays nothing, and nothing is to come.
    """

    dimensions = 4

    def next(self, token_NT: Tensor, first: int = 0, caches: Any = None) -> Tensor:
        """Logits of the next token, whose classes 0 to 3 stand for themselves."""
        place = token_NT.shape[1] % 4
        before_N4 = torch.nn.functional.pad(token_NT, (4, 0), value=0)[:, -4:]
        if place == 1:  # both actions alike
            return torch.tensor([0.0, 0, -1e9, -1e9, -1e9]).expand(len(token_NT), -1)
        is_later = token_NT.shape[1] > 4
        if place == 2:
            state_N, action_N = before_N4[:, -2], before_N4[:, -1]
            token_N = 3 * state_N if is_later else 1 - action_N
        elif place == 3:
            token_N = torch.zeros_like(before_N4[:, 0]) if is_later else 2 - before_N4[:, -2]
        else:
            token_N = before_N4[:, -3]  # the next state is the action
        return 60.0 * nn.functional.one_hot(token_N, 5).float()


@pytest.mark.parametrize(("horizon", "action", "score"), [(1, 0, 1 + 0.5 * 2), (2, 1, 0 + 0.5 * 3)])
def test_one_step_ahead_it_trusts_the_value_and_two_ahead_it_sees_what_pays(
    horizon: int, action: int, score: float
) -> None:
    worth = Worth(torch.arange(4.0), torch.arange(4.0), 0.5)
    found = looked_for(TwoWays(), torch.zeros(1, 1).long(), worth, horizon=horizon, beam=32, cache=False)
    assert int(found.token_BT[0, 0]) == action
    assert float(found.score_B) == pytest.approx(score)


def test_one_path_that_is_not_expanded_is_drawn_from_the_network() -> None:
    model, token_BT = network(), tokens(1, S)
    actions = []
    for seed in range(20):
        found = looked_for(model, token_BT, WORTH, seed, horizon=1, beam=1, expand=1, cut=0.3)
        probability_NC = likeliest(model(token_BT)[:, -1, :-1].softmax(-1), 0.3)
        drawn_N = draw(probability_NC, uniform(generators(seed), 1, device=torch.device("cpu")))
        assert int(found.token_BT[0, 0]) == int(drawn_N)
        actions.append(int(drawn_N))
    assert len(set(actions)) > 1


def test_an_end_is_no_action_and_no_state_and_makes_a_path_worth_less() -> None:
    model, token_BT = network(), tokens(1, S)
    never = looked_for(model, token_BT, Worth(torch.ones(BINS), torch.ones(BINS), 1.0), horizon=1)
    assert 0 < float(never.score_B) < 2  # 2 where no path may end
    model.head_DWC.data[..., -1] += 100 * model.head_DWC.data[..., -1].sign()
    found = looked_for(model, token_BT, WORTH, horizon=3)
    is_drawn_T = torch.tensor([dimension < S + A for dimension in [*range(S, D), *(2 * [*range(D)])]])
    assert (found.token_BT[0, is_drawn_T] < BINS).all()


def test_windows_start_at_every_step_but_the_last_and_end_in_ends() -> None:
    made = trainer()
    windows, agent = windows_of(made), agent_of(made)
    assert len(windows) == 5 + 8 + 11
    token_BT, counts_BT = windows.take(torch.tensor([0, 4, 5]))
    token_BHD = token_BT.view(3, 4, agent.dimensions)
    assert (token_BHD == 8).all(-1).tolist() == [[False] * 4, [False, False, True, True], [False] * 4]
    assert counts_BT.all()
    rows = torch.tensor([4, 5])
    seen_HS = made.data.recorded_observations(rows)
    bins_HS = agent.discretiser.decode(agent.discretiser.encode(seen_HS))
    torch.testing.assert_close(agent.discretiser.decode(token_BHD[1, :2, :3]), bins_HS)


def test_actions_weigh_five_times_and_what_follows_the_longest_episode_nothing() -> None:
    losses = {}
    for weight in (1, 5):
        agent = agent_of(trainer(f"trajectory_transformer.action_weight={weight}")).eval()
        token_BT = tokens(3, 4 * agent.dimensions)
        losses[weight], info = agent.loss(token_BT, torch.ones_like(token_BT).float())
    # 4 of the 4 * 6 - 1 targets are actions
    assert float((losses[5] - losses[1]).detach()) == pytest.approx(
        4 * 4 / 23 * float(info["action_loss"].detach()), rel=1e-4
    )
    windows = windows_of(trainer("trajectory_transformer.max_episode_steps=6"))
    _, counts_BT = windows.take(torch.tensor([4]))
    assert counts_BT.view(4, -1)[:, 0].tolist() == [1, 1, 0, 0]


def test_untrained_it_is_as_surprised_as_by_any_token() -> None:
    agent = agent_of(trainer("trajectory_transformer.bins=100")).eval()
    token_BT = tokens(64, 4 * agent.dimensions, classes=100)
    loss, _ = agent.loss(token_BT, torch.ones_like(token_BT).float())
    assert float(loss.detach()) == pytest.approx(math.log(101) * (3 + 5 * 1 + 2) / 6, rel=0.05)


def test_ends_that_are_failures_and_unseen_values_of_observations() -> None:
    data = make_trajectories([6, 9], terminations=np.array([True, False]))
    made = trainer(
        "trajectory_transformer.terminal_reward=-100", "trajectory_transformer.observed=2", trajectories=data
    )
    agent = agent_of(made)
    assert (agent.dimensions, agent.seen) == (5, 2)
    assert float(agent.discretiser.edge_DE[3, 0]) == -100
    assert agent_of(trainer("trajectory_transformer.observed=9")).seen == 3


def test_the_rate_rises_falls_and_rises_again_with_the_tokens() -> None:
    rates = [rate_factor(epoch, False) for epoch in (0.25, 1, 10.5, 20, 39)]
    assert rates == pytest.approx([0.25, 1, 0.5, 0.1, 1])
    assert rate_factor(39, True) == 0.1
    made = trainer("training.transformer.decay=constant", "training.transformer.learning_rate=0.01")
    made.advance(2)
    agent, (optimiser,) = agent_of(made), made.stage.optimisers.values()
    token_count = sum(int((windows_of(made).take(rows)[0][:, 1:] != 8).sum()) for rows in batches(made, 2))
    assert int(agent.tokens_learned) == token_count
    epoch = token_count / (24 * 23)
    assert [part["lr"] for part in optimiser.adam.param_groups] == pytest.approx([0.01 * rate_factor(epoch, False)] * 2)


def batches(made: Trainer, steps: int) -> list[Tensor]:
    return [torch.randint(24, (8,), generator=made.stage.generators(step)[0]) for step in range(steps)]


def test_the_head_decays_and_embeddings_do_not() -> None:
    made = trainer()
    made.advance(1)
    agent, decayed = agent_of(made), made.stage.optimisers[ONE].adam.param_groups[0]["params"]
    names = {name for name, parameter in agent.transformer.named_parameters() if any(parameter is p for p in decayed)}
    assert "head_DWC" in names and not {"embed.weight", "position", "norm.weight"} & names
    assert [part["weight_decay"] for part in made.stage.optimisers[ONE].adam.param_groups] == [0.1, 0]


def test_it_remembers_whole_steps_as_tokens_of_what_was_done_and_paid() -> None:
    made = trainer()
    agent = agent_of(made).eval()
    shown, state = torch.from_numpy(made.trajectories.observations), agent.begin(2)
    done = list[Tensor]()
    for step in range(5):
        reward_B = torch.tensor([0.1 * step, -0.1 * step])
        action_BA = done[-1] if done else torch.zeros(2, 1)
        seen = Seen(shown[[step, 10 + step]], torch.zeros(2), reward_B, action_BA, step, generators(0, 1))
        planned_BA, state = agent.act(state, seen)
        done.append(planned_BA.clamp(-0.5, 0.5))  # what an environment makes of it
        assert state.shape[1] == min(step, 2) * 6 + 3
    encode = agent.discretiser.encode
    wanted_BD = torch.cat([shown[[3, 13]], done[3], torch.tensor([[0.4], [-0.4]])], 1)
    assert torch.equal(state[:, 6:11], encode(wanted_BD))
    other = state.clone()
    other[:, [5, 11]] = 0  # the values of the steps before
    plans = [
        search(agent.transformer, t, 1, agent.worth, agent.config.search, generators(3, 4)) for t in (state, other)
    ]
    assert torch.equal(plans[0].token_BT, plans[1].token_BT)


def test_data_without_two_steps_in_a_row_is_refused() -> None:
    with pytest.raises(MageError, match="no episode of this data has two steps"):
        trainer(trajectories=make_trajectories([1, 1]))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["search.context=5"], ["search.context 5 is more than the 4 steps of trajectory_transformer.window"]),
        (["trajectory_transformer.embed_dim=30"], ["embed_dim 30", "num_heads 4"]),
        (["search.cut=1.5"], ["search.cut", "less than 1", "1.5"]),
    ],
)
def test_an_error_is_one_line_that_names_the_field_and_the_value(overrides: list[str], said: list[str]) -> None:
    message = message_of("algorithm=tt", *overrides)
    assert all(part in message for part in said), message


@pytest.mark.slow
def test_it_learns_how_a_walk_goes_on_and_plans_towards_what_pays() -> None:
    """s' = s + a, and a step pays -|s|."""
    made = trainer(
        "trajectory_transformer.bins=10",
        "trajectory_transformer.embed_dim=32",
        "trajectory_transformer.dropout=0",
        "training.transformer.steps=300",
        "training.transformer.batch_size=64",
        "training.transformer.rate_by=steps",
        "training.transformer.learning_rate=3e-3",
        "search.horizon=3",
        "search.beam=16",
        "search.cut=null",
        trajectories=walks(),
    )
    made.advance(10**9)
    agent = agent_of(made).eval()
    windows = windows_of(made)
    token_BT, _ = windows.take(torch.arange(0, len(windows), 7))
    token_BT = token_BT[(token_BT < 10).all(1)]
    next_B = agent.transformer(token_BT[:, :-1])[:, 3, :-1].argmax(-1)
    assert float(((next_B - token_BT[:, 4]).abs() <= 1).float().mean()) > 0.9
    state_B = torch.tensor([-1.5, -0.8, 0.9, 1.6])
    state, reward_B, action_BA = agent.begin(4), torch.zeros(4), torch.zeros(4, 1)
    for step in range(8):
        seen = Seen(state_B[:, None], torch.zeros(4), reward_B, action_BA, step, generators(*range(4)))
        action_BA, state = agent.act(state, seen)
        reward_B, state_B = -state_B.abs(), state_B + action_BA[:, 0]
    assert float(state_B.abs().max()) < 0.5


def walks() -> Trajectories:
    rng = np.random.default_rng(0)
    state_E, states, actions = rng.uniform(-2, 2, 60), [], []
    for _ in range(20):
        action_E = np.clip(rng.uniform(-0.5, 0.5, 60), -2 - state_E, 2 - state_E)
        states.append(state_E)
        actions.append(action_E)
        state_E = state_E + action_E
    observations = np.stack(states, 1).reshape(-1, 1).astype(np.float32)
    return make_trajectories(
        [20] * 60,
        observations=observations,
        actions=np.stack(actions, 1).reshape(-1, 1).astype(np.float32),
        rewards=-np.abs(observations[:, 0]),
    )
