"""Stage 2b: the inverse dynamics goes on learning, on the Z that the transformer generates (ours, not the paper's).

    L = ||I(Z_generated) - a_0||^2 / A

In stage 1 it sees true Z, which carries the action noise of the behaviour policy; acting, it sees generated Z, whose
noise is another draw. Learning on generated Z teaches it what of Z to believe.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mage.config import PolicyConfig
from mage.data.windows import Windows
from mage.model.autoencoder import TrajectoryAutoencoder
from mage.model.tokens import TokenChoice, all_rows
from mage.model.transformer import MultiScaleTransformer


class InverseDynamicsObjective(nn.Module):
    """The loss of stage 2b on a batch of windows. Its parameters are those of the inverse dynamics.

    Z is generated as the policy will generate it: greedy, sampled or expected.
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

    def forward(self, indices_B: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns (loss, info)."""
        loss = self._error(indices_B, generator)
        return loss, {"loss": loss.detach()}

    @torch.no_grad()
    def diagnose(self, indices_B: Tensor) -> dict[str, Tensor]:
        """Action error on generated tokens, on windows drawn apart."""
        return {"action_error_generated_tokens": self._error(indices_B, torch.Generator().manual_seed(0))}

    def _error(self, indices_B: Tensor, generator: torch.Generator) -> Tensor:
        autoencoder, transformer = self._frozen
        condition_BY = self.windows.conditions_NY[indices_B]
        choose = TokenChoice(self.policy, all_rows(generator))
        _, latent_BLC = transformer.generate(condition_BY, autoencoder.quantizer, choose)
        return (autoencoder.act(latent_BLC, condition_BY) - self.windows.actions_NA[indices_B]).pow(2).mean()
