"""Stage 2b: the inverse dynamics goes on learning, on the Z that the transformer generates (ours, not the paper's).

    L = ||I(Z_generated) - a_0||^2 / A

In stage 1 it sees true Z, which carries the action noise of the behaviour policy; acting, it sees generated Z, whose
noise is another draw. Learning on generated Z teaches it what of Z to believe.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from mage.config import PolicyConfig
from mage.data.windows import Windows
from mage.model.autoencoder import TrajectoryAutoencoder
from mage.model.tokens import TokenChoice, all_rows
from mage.model.transformer import MultiScaleTransformer

LARGEST_POOL = 131_072
"""Windows for which Z is generated, once: generating costs ten times what a step on it does."""

SEED = 0
"""Of the windows of the pool and, where tokens are sampled, of their draws."""


class InverseDynamicsObjective(nn.Module):
    """The loss of stage 2b on a batch of windows. Its parameters are those of the inverse dynamics.

    Z is generated as the policy will generate it (greedy, sampled or expected), for all windows or, where there are
    more than `LARGEST_POOL`, for so many drawn at random.
    """

    def __init__(
        self,
        autoencoder: TrajectoryAutoencoder,
        transformer: MultiScaleTransformer,
        windows: Windows,
        policy: PolicyConfig,
    ) -> None:
        super().__init__()
        autoencoder.eval().requires_grad_(False)
        self.inverse_dynamics = autoencoder.inverse_dynamics.requires_grad_(True)
        self.windows, self.policy = windows, policy
        # frozen, and kept out of the module tree so that they are not trained with this stage
        self._frozen = (autoencoder, transformer.eval())
        drawn = torch.randperm(len(windows), generator=torch.Generator().manual_seed(SEED))[:LARGEST_POOL]
        self._pool_P = drawn.sort().values.to(windows.device)

    def forward(self, indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns (loss, info)."""
        loss = self._error(indices_B)
        return loss, {"loss": loss.detach()}

    @torch.no_grad()
    def diagnose(self, indices_B: Tensor) -> dict[str, Tensor]:
        """Action error on generated tokens, on windows drawn apart."""
        return {"action_error_generated_tokens": self._error(indices_B)}

    def _error(self, indices_B: Tensor) -> Tensor:
        chosen_B = indices_B % len(self._pool_P)
        rows_B = self._pool_P[chosen_B]
        action_BA = self._frozen[0].act(self._generated[chosen_B], self.windows.conditions(rows_B))
        return (action_BA - self.windows.actions(rows_B)).pow(2).mean()

    @cached_property
    def _generated(self) -> Tensor:
        """Z of every window of the pool, (P, L, C)."""
        autoencoder, transformer = self._frozen
        choose = TokenChoice(self.policy, all_rows(torch.Generator().manual_seed(SEED)))
        conditions = (self.windows.conditions(part) for part in self._pool_P.split(1024))
        return torch.cat([transformer.generate(part, autoencoder.quantizer, choose)[1] for part in conditions])
