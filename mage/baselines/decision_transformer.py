"""Decision Transformer (Chen et al., 2021): a causal transformer over (R_t, s_t, a_t), which predicts a_t.

    L = sum_t mask_t ||pi(R_{<=t}, s_{<=t}, a_{<t}) - a_t||^2 / (A sum_t mask_t)

As in the original: three tokens a step with a shared embedding of the timestep, the action read off the state's token,
undiscounted returns, and a target that is decremented by what has been received.

Shape suffixes: B batch, H steps of context, T = 3 H tokens, S observation size, A action size, Y = 1 + S values of a
condition (R_t, s_t), D network width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mage.config import Config, DecisionTransformerConfig
from mage.data.windows import Windows
from mage.model.blocks import Block
from mage.model.policy import Policy
from mage.model.quantizer import mean_of_workers

INITIAL_TIMESTEP_STD = 0.02


class DecisionTransformer(nn.Module):
    """Actions of every step of a window, each from what lies before it."""

    mask_TT: Tensor

    def __init__(self, config: DecisionTransformerConfig, observation_size: int, action_size: int) -> None:
        super().__init__()
        width = config.embed_dim
        self.config = config
        self.embed_return = nn.Linear(1, width)
        self.embed_observation = nn.Linear(observation_size, width)
        self.embed_action = nn.Linear(action_size, width)
        self.embed_timestep = nn.Embedding(config.max_episode_steps, width)
        # with PyTorch's deviation of 1 it drowns what is seen until it is unlearned, which short training does not
        nn.init.normal_(self.embed_timestep.weight, std=INITIAL_TIMESTEP_STD)
        self.norm_in = nn.LayerNorm(width)
        self.blocks = nn.ModuleList([Block(width, config.num_heads, config.dropout) for _ in range(config.depth)])
        self.norm_out = nn.LayerNorm(width)
        self.head = nn.Linear(width, action_size)
        tokens = 3 * config.context
        self.register_buffer("mask_TT", torch.ones(tokens, tokens).tril().bool(), persistent=False)

    def forward(self, condition_BHY: Tensor, action_BHA: Tensor, timestep_BH: Tensor) -> Tensor:
        """(B, H, 1 + S), (B, H, A), (B, H) -> (B, H, A); H at most the context. The last action is not looked at."""
        batch, steps = timestep_BH.shape
        time_BHD = self.embed_timestep(timestep_BH.clamp_max(self.config.max_episode_steps - 1))
        triples = [
            self.embed_return(condition_BHY[..., :1]),
            self.embed_observation(condition_BHY[..., 1:]),
            self.embed_action(action_BHA),
        ]
        hidden_BTD = torch.stack([token_BHD + time_BHD for token_BHD in triples], 2).reshape(batch, 3 * steps, -1)
        hidden_BTD = self.norm_in(hidden_BTD)
        for block in self.blocks:
            hidden_BTD = block(hidden_BTD, self.mask_TT[: 3 * steps, : 3 * steps])
        action_BHA_predicted: Tensor = self.head(self.norm_out(hidden_BTD[:, 1::3]))
        return action_BHA_predicted


class DecisionTransformerObjective(nn.Module):
    """The loss on a batch of windows of `context` steps, one starting at every timestep."""

    def __init__(self, transformer: DecisionTransformer, windows: Windows) -> None:
        super().__init__()
        self.transformer, self.windows = transformer, windows

    def forward(self, indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns (loss, info)."""
        windows = self.windows
        rows_BH, mask_BH = windows.rows(indices_B)
        action_BHA = windows.actions(rows_BH)
        predicted_BHA = self.transformer(windows.conditions(rows_BH), action_BHA, windows.timesteps(rows_BH))
        error_BH = (predicted_BHA - action_BHA).pow(2).mean(-1)
        # by the steps in the shard of an average worker: then the mean over workers is the mean over the batch
        loss = (error_BH * mask_BH).sum() / mean_of_workers(mask_BH.sum())
        return loss, {"loss": loss.detach()}

    def diagnose(self, indices_B: Tensor) -> dict[str, Tensor]:
        """Nothing beyond the loss."""
        return {}


class DecisionTransformerPolicy(Policy):
    """Remembers the last `context` steps of the episodes under way; `reset` forgets them."""

    @staticmethod
    def build(config: Config, observation_size: int, action_size: int) -> dict[str, nn.Module]:
        """The transformer."""
        return {"transformer": DecisionTransformer(config.decision_transformer, observation_size, action_size)}

    def reset(self) -> None:
        """Forgets the past: all environments begin a new episode."""
        self._conditions: list[Tensor] = []
        self._actions: list[Tensor] = []
        self._steps = 0

    @torch.no_grad()
    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray | float | None = None,
        generators: Sequence[torch.Generator] | None = None,
    ) -> np.ndarray:
        """Actions (B, A) for flat observations (B, S) of the same environments as in the call before."""
        if not hasattr(self, "_conditions"):
            self.reset()
        context = self.config.decision_transformer.context
        condition_BY = self.condition(observations, return_to_go)
        self._conditions = [*self._conditions, condition_BY][-context:]
        unknown_BA = condition_BY.new_zeros(len(condition_BY), len(self.task.action_low))
        known = [*self._actions, unknown_BA][-context:]
        timestep_H = torch.arange(self._steps + 1 - len(known), self._steps + 1, device=self.device)
        predicted_BHA = self.networks["transformer"](
            torch.stack(self._conditions, 1), torch.stack(known, 1), timestep_H.expand(len(condition_BY), -1)
        )
        actions = self.clip(predicted_BHA[:, -1])
        self._actions = [*self._actions, torch.from_numpy(actions).to(self.device)][-context:]
        self._steps += 1
        return actions
