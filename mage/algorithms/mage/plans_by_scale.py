"""What the scales of a plan add: the trajectory decoded from z_1, from z_1 + z_2, .. and from all of them.

Shape suffixes: B states, N candidates of all of them, K scales, L latent length, C code width, H horizon, S observation
size, Y = 1 + S values of a condition (R_0, s_0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mage.algorithms.mage.acting import Generation
from mage.algorithms.mage.heard_condition import rows_a_plan
from mage.algorithms.mage.token_choice import TokenChoice, all_rows

if TYPE_CHECKING:
    from mage.algorithms.mage.algorithm import Mage


@torch.no_grad()
def plans_by_scale(agent: Mage, condition_BY: Tensor) -> dict[str, Tensor]:
    """States (B, H, S) in the environment's units, by the scales that they are decoded from, coarse to fine.

    They are those of the plan that the policy acts on; where it samples, of a draw that is always the same. Nothing
    where a plan has no states (`autoencoder.sequence`).
    """
    part = agent.autoencoder.layout.get("state")
    if part is None:
        return {}
    repeated_NY = condition_BY.repeat_interleave(agent.config.policy.candidates, 0)
    sums = [_generated(agent, repeated_NY, k + 1) for k in range(len(agent.autoencoder.quantizer.schedule))]
    chosen_B = _row_of(agent.decide(condition_BY, _choice(agent)).latent_BLC, sums[-1])
    plans = {}
    for k, latent_NLC in enumerate(sums, 1):
        decoded_BHX = agent.decoder(latent_NLC[chosen_B], condition_BY[:, :1])
        name = "scale 1" if k == 1 else f"scales 1 to {k}"
        plans[name] = decoded_BHX[..., part] * agent.deviation_Y[1:] + agent.mean_Y[1:]
    return plans


def _generated(agent: Mage, condition_NY: Tensor, scales: int) -> Tensor:
    """z_1 + .. + z_k (N, L, C). Scales are generated in turn, so that fewer of them are the same ones."""
    rows = len(condition_NY) * rows_a_plan(agent.config.policy.guidance)
    generation = Generation(agent.transformer, agent.autoencoder.quantizer, rows, scales)
    return agent.generate(condition_NY, _choice(agent), generation)[1]


def _choice(agent: Mage) -> TokenChoice:
    return TokenChoice(agent.config.policy, all_rows(torch.Generator(agent.device).manual_seed(0)))


def _row_of(latent_BLC: Tensor, latent_NLC: Tensor) -> Tensor:
    """Which of a state's candidates its plan is, as a row of all candidates, (B,)."""
    states = len(latent_BLC)
    wrong_BN = (latent_NLC.view(states, -1, *latent_BLC.shape[1:]) - latent_BLC.unsqueeze(1)).flatten(2).norm(dim=2)
    return wrong_BN.argmin(1) + torch.arange(states, device=wrong_BN.device) * wrong_BN.shape[1]
