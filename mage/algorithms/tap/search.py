"""The beam search of TAP (Jiang et al., 2023, section 3.3; beam_with_prior in search/optimizer.py of their code).

    score = sum_{t<h-1} gamma^{t+1} r_t + gamma^h V_{h-1} + beta min(log p(codes), M log theta)

M is how many codes a whole plan has, also while paths are shorter, so the last term holds back unlikely ones at the end
only. That r_0 is discounted and r_{h-1} does not count is theirs.

Shape suffixes: B environments, N rows (paths), h steps, K codes, M codes of a plan, S observation size, X values of a
step without its end, A action size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mage.algorithms.tap.config import TapSearchConfig
from mage.algorithms.tap.network import Caches, Prior, TrajectoryAutoencoder
from mage.nn.beam import best, draw, uniform


class Plan(NamedTuple):
    """The best path of each environment: codes (B, M), steps (B, h, X) in the units of the network, and score (B,)."""

    token_BM: Tensor
    step_BhX: Tensor
    score_B: Tensor


Worth = Callable[[Tensor], Tensor]
"""What steps (N, h, X) are worth, (N,), in the units of the return."""


class Paths:
    """Codes of each row, what the prior says of the next one, and the steps they stand for, with caches or without."""

    def __init__(
        self, prior: Prior, autoencoder: TrajectoryAutoencoder, state_NS: Tensor, codes: int, cached: bool
    ) -> None:
        self.prior, self.autoencoder, self.state_NS = prior, autoencoder, state_NS
        self.token_NM = torch.zeros(len(state_NS), 0, dtype=torch.long, device=state_NS.device)
        self.step_NhX: Tensor | None = None
        self.before: Caches | None = None
        self.decoded: Caches | None = None
        if cached:
            self.before = prior.stack.new_caches(len(state_NS), codes)
            self.decoded = autoencoder.decoder.new_caches(len(state_NS), codes * autoencoder.stride)

    def next(self) -> Tensor:
        """Log probabilities (N, K) of the next code."""
        return self.prior.next(self.token_NM, self.state_NS, self.before).log_softmax(-1)

    def push(self, token_N: Tensor) -> Tensor:
        """Goes on by one code each; returns the steps (N, h, X) of all codes so far."""
        self.token_NM = torch.cat([self.token_NM, token_N.unsqueeze(1)], 1)
        new_NM = self.token_NM if self.decoded is None else self.token_NM[:, -1:]
        code_NMC = self.autoencoder.codebook.lookup(new_NM)
        step_NhX = self.autoencoder.decode(code_NMC, self.state_NS, self.decoded).step_BTX
        if self.decoded is not None and self.step_NhX is not None:
            step_NhX = torch.cat([self.step_NhX, step_NhX], 1)
        self.step_NhX = step_NhX
        return step_NhX

    def select(self, row_N: Tensor) -> None:
        """Goes on with those rows, which may be fewer or more than there were."""
        self.state_NS, self.token_NM = self.state_NS[row_N], self.token_NM[row_N]
        self.step_NhX = None if self.step_NhX is None else self.step_NhX[row_N]
        for cache in [*(self.before or ()), *(self.decoded or ())]:
            cache.select(row_N)


@torch.no_grad()
def search(
    prior: Prior,
    autoencoder: TrajectoryAutoencoder,
    state_BS: Tensor,
    worth: Worth,
    config: TapSearchConfig,
    generators: Sequence[torch.Generator],
) -> Plan:
    """Of all paths that it draws, the one of the highest score.

    Args:
        prior: of codes; in evaluation mode.
        autoencoder: what turns them into steps; in evaluation mode.
        state_BS: the observations at hand, in the units of the networks.
        worth: of steps.
        config: how far and how widely it looks.
        generators: one an environment, from which codes are drawn, with replacement.
    """
    environments, codes = len(state_BS), config.horizon // autoencoder.stride
    paths = Paths(prior, autoencoder, state_BS, codes, config.cache)
    log_p_N = state_BS.new_zeros(environments)
    likely_enough = codes * math.log(config.least_probability)
    for depth in range(codes):
        each = config.expand if depth else config.beam * config.expand
        row_N = torch.arange(len(log_p_N), device=state_BS.device).repeat_interleave(each)
        log_p_NK = paths.next()[row_N]
        uniform_N = uniform(generators, len(row_N) // environments, device=state_BS.device)
        token_N = draw(log_p_NK.exp(), uniform_N)
        log_p_N = log_p_N[row_N] + log_p_NK.gather(1, token_N.unsqueeze(1)).squeeze(1)
        paths.select(row_N)
        score_N = worth(paths.push(token_N)) + config.likelihood_weight * log_p_N.clamp_max(likely_enough)
        kept_N = best(score_N, environments, config.beam if depth < codes - 1 else 1)
        paths.select(kept_N)
        log_p_N, score_N = log_p_N[kept_N], score_N[kept_N]
    assert paths.step_NhX is not None
    return Plan(paths.token_NM, paths.step_NhX, score_N)


def value_of(reward_Nh: Tensor, value_Nh: Tensor, discount: float) -> Tensor:
    """sum_{t<h-1} gamma^{t+1} r_t + gamma^h V_{h-1}, (N,)."""
    steps = reward_Nh.shape[1]
    discount_h = discount ** torch.arange(1, steps + 1, device=reward_Nh.device)
    return reward_Nh[:, :-1] @ discount_h[:-1] + value_Nh[:, -1] * discount**steps
