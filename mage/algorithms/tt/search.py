"""The beam search of Trajectory Transformer (Janner et al., 2021, section 3.2; search/core.py of their code).

A path of h + 1 steps scores sum_{j<=h} gamma^j r_j + gamma^{h+1} V_h, with the expected r and V of the network.

Shape suffixes: B environments, N = B P rows with P paths of each, T tokens, C classes, A action size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mage.algorithms.tt.config import SearchConfig
from mage.algorithms.tt.network import TokenStream, TokenTransformer
from mage.nn.beam import best, draw, likeliest, uniform


class Worth(NamedTuple):
    """What the tokens of rewards and values stand for, (N_bins,) each, and how the future counts."""

    reward_N: Tensor
    value_N: Tensor
    discount: float


class Found(NamedTuple):
    """The best path of each environment: its tokens from the first action on, (B, T), and its score (B,)."""

    token_BT: Tensor
    score_B: Tensor


@torch.no_grad()
def search(
    network: TokenTransformer,
    token_BT: Tensor,
    action_size: int,
    worth: Worth,
    config: SearchConfig,
    generators: Sequence[torch.Generator],
) -> Found:
    """Of all that it tries, the path that pays most.

    Args:
        network: of the tokens; in evaluation mode.
        token_BT: steps that were taken, whole, and the observation at hand.
        action_size: A.
        worth: of rewards and values.
        config: how far and how widely it looks.
        generators: one an environment, for the tokens of actions.
    """
    environments, known = token_BT.shape
    states = network.dimensions - action_size - 2
    stream = TokenStream(network, token_BT, config.context, config.cache)
    stream.next()  # once for all paths, which begin alike
    stream.select(_repeated(environments, config.beam, token_BT.device))
    paid_N = torch.zeros(environments * config.beam, device=token_BT.device)
    for step in range(config.horizon):
        row_N = _repeated(len(paid_N), config.expand, token_BT.device)
        stream.select(row_N)
        paths = config.beam * config.expand
        uniform_NA = uniform(generators, paths, action_size, device=token_BT.device)
        for uniform_N in uniform_NA.T:
            probability_NC = likeliest(_going_on(stream.next()).softmax(-1), config.cut, config.top_k)
            stream.push(draw(probability_NC, uniform_N))
        paid_N = paid_N[row_N] + worth.discount**step * _expected(stream, worth.reward_N)
        score_N = paid_N + worth.discount ** (step + 1) * _expected(stream, worth.value_N)
        kept_N = best(score_N, environments, config.beam)
        stream.select(kept_N)
        paid_N, score_N = paid_N[kept_N], score_N[kept_N]
        for _ in range(states if step < config.horizon - 1 else 0):
            stream.push(_going_on(stream.next()).argmax(-1))
    return Found(stream.token_NT[:: config.beam, known:], score_N[:: config.beam])


def _expected(stream: TokenStream, middle_N: Tensor) -> Tensor:
    """Pushes the likeliest token, and returns what its dimension is expected to be.

    That an episode may be over counts as 0: the other probabilities are not made to add up to 1.
    """
    logits_NC = stream.next()
    stream.push(logits_NC.argmax(-1))
    return logits_NC.softmax(-1)[:, :-1] @ middle_N


def _going_on(logits_NC: Tensor) -> Tensor:
    """The logits without the class that says that the episode is over: it is neither an action nor a state."""
    return torch.cat([logits_NC[:, :-1], torch.full_like(logits_NC[:, -1:], -torch.inf)], 1)


def _repeated(rows: int, times: int, device: torch.device) -> Tensor:
    return torch.arange(rows, device=device).repeat_interleave(times)
