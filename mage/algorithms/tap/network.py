"""The networks of TAP (Jiang et al., 2023, section 3): an autoencoder of trajectories, and a prior over its codes.

A step is [s, a, r, V, end]. All attention is causal: the first h steps are decoded from the first h / L codes.

Shape suffixes: B batch (or rows of a search), T steps, M = T / L codes, X = S + A + 3 values of a step, S values of an
observation, C width of a code, K codes, W width of the networks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mage.algorithms.tap.config import TapNetworkConfig
from mage.nn.blocks import Block, KeyValueCache
from mage.nn.codebook import Codebook
from mage.nn.min_gpt import initialise

Caches = list[KeyValueCache]


class CausalStack(nn.Module):
    """Blocks of which no token sees what comes after it."""

    def __init__(self, config: TapNetworkConfig) -> None:
        super().__init__()
        made = [Block(config.embed_dim, config.num_heads, config.dropout) for _ in range(config.depth)]
        self.blocks = nn.ModuleList(made)

    def forward(self, hidden_BTW: Tensor, caches: Caches | None = None) -> Tensor:
        """(B, T, W) -> (B, T, W); with caches, of what they hold and these tokens after it."""
        tokens, before = hidden_BTW.shape[1], caches[0].length if caches else 0
        mask_TT = torch.ones(tokens, before + tokens, dtype=torch.bool, device=hidden_BTW.device).tril(before)
        for number, block in enumerate(self.blocks):
            hidden_BTW = block(hidden_BTW, mask_TT, caches[number] if caches else None)
        return hidden_BTW

    def new_caches(self, batch: int, tokens: int) -> Caches:
        """For so many tokens."""
        return [block.new_cache(batch, tokens) for block in self.blocks]  # type: ignore[operator]


class Decoded(NamedTuple):
    """Steps (B, T, X - 1) in the units of the network, and the logits (B, T) of the episode's being over."""

    step_BTX: Tensor
    end_BT: Tensor


class TrajectoryAutoencoder(nn.Module):
    """Trajectories as codes and back, given their first state.

    Args:
        config: its sizes.
        observation_size: S.
        action_size: A.
    """

    def __init__(self, config: TapNetworkConfig, observation_size: int, action_size: int) -> None:
        super().__init__()
        width, values = config.embed_dim, observation_size + action_size + 3
        self.stride, self.observation_size = config.stride, observation_size
        self.embed = nn.Linear(values, width)
        self.position = nn.Parameter(torch.zeros(config.window, width))
        self.dropout = nn.Dropout(config.dropout)
        self.encoder, self.decoder = CausalStack(config), CausalStack(config)
        self.pool = nn.MaxPool1d(config.stride)
        self.to_code = nn.Linear(width, config.code_dim)
        self.mix = nn.Linear(observation_size + config.code_dim, width)
        self.norm = nn.LayerNorm(width)
        self.to_step = nn.Linear(width, values)
        initialise(self)
        self.codebook = Codebook(config.codes, config.code_dim, config.codebook_decay)

    def encode(self, step_BTX: Tensor) -> Tensor:
        """Steps with their ends (B, T, X) -> latents (B, M, C)."""
        hidden_BTW = self.encoder(self.dropout(self.embed(step_BTX) + self.position[: step_BTX.shape[1]]))
        latent_BMC: Tensor = self.to_code(self.pool(hidden_BTW.transpose(1, 2)).transpose(1, 2))
        return latent_BMC

    def decode(self, code_BMC: Tensor, state_BS: Tensor, caches: Caches | None = None) -> Decoded:
        """Codes and the first state -> the steps of these codes; with caches, of what follows those before."""
        first = caches[0].length if caches else 0
        state_BMS = state_BS.unsqueeze(1).expand(-1, code_BMC.shape[1], -1)
        hidden_BTW = self.mix(torch.cat([state_BMS, code_BMC], -1)).repeat_interleave(self.stride, 1)
        hidden_BTW = hidden_BTW + self.position[first : first + hidden_BTW.shape[1]]
        step_BTX = self.to_step(self.norm(self.decoder(hidden_BTW, caches)))
        seen_BTS = step_BTX[..., : self.observation_size] + state_BS.unsqueeze(1)
        return Decoded(torch.cat([seen_BTS, step_BTX[..., self.observation_size : -1]], -1), step_BTX[..., -1])


class Prior(nn.Module):
    """Which code follows a state and the codes so far.

    Args:
        config: its sizes.
        observation_size: S.
    """

    def __init__(self, config: TapNetworkConfig, observation_size: int) -> None:
        super().__init__()
        width = config.embed_dim
        self.embed = nn.Embedding(config.codes, width)
        self.position = nn.Parameter(torch.zeros(config.window // config.stride, width))
        self.embed_state = nn.Linear(observation_size, width)
        self.dropout = nn.Dropout(config.dropout)
        self.stack = CausalStack(config)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.codes, bias=False)
        initialise(self)

    def forward(self, token_BM: Tensor, state_BS: Tensor) -> Tensor:
        """The codes before (B, M) and the first state -> logits (B, M + 1, K) of each of them and of the next."""
        return self._logits(self._after_start(token_BM), state_BS, None)

    def next(self, token_BM: Tensor, state_BS: Tensor, caches: Caches | None = None) -> Tensor:
        """Logits (B, K) of the code that follows those; `caches`, if any, hold all that comes before the last."""
        embedded_BMW = self._after_start(token_BM)
        return self._logits(embedded_BMW if caches is None else embedded_BMW[:, -1:], state_BS, caches)[:, -1]

    def _after_start(self, token_BM: Tensor) -> Tensor:
        return nn.functional.pad(self.embed(token_BM), (0, 0, 1, 0))

    def _logits(self, embedded_BMW: Tensor, state_BS: Tensor, caches: Caches | None) -> Tensor:
        first = caches[0].length if caches else 0
        place_MW = self.position[first : first + embedded_BMW.shape[1]]
        hidden_BMW = self.dropout(embedded_BMW + place_MW + self.embed_state(state_BS).unsqueeze(1))
        logits_BMK: Tensor = self.head(self.norm(self.stack(hidden_BMW, caches)))
        return logits_BMK
