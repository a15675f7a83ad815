"""Of several plans for one state, how good each is: by that the one is chosen that is acted on (`policy.select`).

    observation   -||decoded s_0 - s||^2 / S
    value         Q(s, I(Z)), of the critic of Table 6
    return        decoded R_0; with advantages R_0 + gamma^n (V(s_n) - R_n) of the decoded window, whose last step is n
                  steps ahead: beyond its end counts V, rather than what came of the data there. A plan that begins
                  elsewhere than where one is comes after all others.

Shape suffixes: N candidates of all states, L latent length, C code width, H horizon, A action size, S observation size,
X values of a modelled step, Y = 1 + S values of a condition (R_0, s_0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from mage.algorithms.mage.algorithm import Mage

REFUSED = 1e9
"""More than any return."""


def merits(agent: Mage, latent_NLC: Tensor, actions_NA: Tensor, condition_NY: Tensor) -> Tensor:
    """Of every candidate, (N,): the higher, the better."""
    policy, layout = agent.config.policy, agent.autoencoder.layout
    if policy.select == "value":
        assert agent.critic is not None
        value_N: Tensor = agent.critic(condition_NY[:, 1:], actions_NA)
        return value_N
    decoded_NHX = agent.decoder(latent_NLC, condition_NY[:, :1])
    decoded_NS = decoded_NHX[:, 0, layout["state"]]
    off_N = (decoded_NS - condition_NY[:, 1:]).pow(2).mean(1)
    if policy.select == "observation":
        return -off_N
    return torch.where(off_N.sqrt() <= policy.implausible, promises(agent, decoded_NHX), -REFUSED * (1 + off_N))


def promises(agent: Mage, decoded_NHX: Tensor) -> Tensor:
    """The return that a decoded window goes on with, in units of the data, or of the reward that V is of; (N,)."""
    layout = agent.autoencoder.layout
    return_NH = decoded_NHX[..., layout["return"]].squeeze(-1) * agent.deviation_Y[0] + agent.mean_Y[0]
    if agent.advantage is None:
        return return_NH[:, 0]
    scale, ahead = agent.advantage.config.reward.scale, agent.discount**agent.steps_ahead
    own_N = scale * (return_NH[:, 0] - ahead * return_NH[:, -1])
    # a shift of the reward is the same for all plans
    return own_N + ahead * agent.advantage(decoded_NHX[:, -1, layout["state"]])
