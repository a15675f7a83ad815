"""Whether the action follows the plan, and the plan what is asked: three probes that need the data only, and seconds.

Two plans are drawn for each of some states, at temperature 1 whatever the policy does, with the R_0 that the data had.

- moved: half the mean square between their actions, the error that one has as a guess of the other's, over that of
  E[a | s]. Near 0, the action is the same whatever is planned (behaviour cloning); near 1, plans differ as much as what
  the data did does.
- follows: the correlation of the actions' difference with that of the displacements that the two plans decode to, in
  the direction in which displacements go with actions in the data. Near 0, the action is not that of its own plan.
- nats saved: by how much the cross-entropy of a true token rises with the R_0 (or u) of another window. Near 0, tokens
  do not hear the condition.

Shape suffixes: B batch, L latent length, C code width, A action size, S observation size, Y = 1 + S values of a
condition (R_0, s_0), X values of a modelled step, T tokens of all scales.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.config import PolicyConfig
from mage.algorithms.mage.sequence import Batch
from mage.algorithms.mage.token_choice import TokenChoice, all_rows
from mage.data.steps import Steps
from mage.nn.regression import fit_mlp, squared

CHUNK = 512
STEPS_AHEAD = 4
"""Over which a plan's displacement is taken."""
RIDGE = 1e-3
"""Of the regression of actions on displacements, in units of the inputs' variance."""


@torch.no_grad()
def probe_plans(agent: Mage, data: Steps, batch: Batch, token_maps: list[Tensor]) -> dict[str, Any]:
    """The three probes on these windows, whose true tokens are `token_maps`; None where there is nothing to ask.

    Returns:
        `behaviour_cloning_error`, `moved` (over it), `follows`, `data_follows` (the same correlation of the recorded
        action with the recorded displacement, the most that can be had) and `nats_saved`.
    """
    latents, actions = draw_two_plans(agent, batch.condition_BY)
    cloning = behaviour_cloning_error(data, batch)
    moved = 0.5 * float((actions[0] - actions[1]).pow(2).mean())
    follows, data_follows = correlations(agent, batch, latents, actions)
    return {
        "behaviour_cloning_error": cloning,
        "moved": moved / cloning if cloning else None,
        "follows": follows,
        "data_follows": data_follows,
        "nats_saved": nats_saved(agent, batch.condition_BY, token_maps),
    }


def draw_two_plans(agent: Mage, condition_BY: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Z and actions of two plans of each condition."""
    draw = TokenChoice(PolicyConfig(sampling="sample"), all_rows(torch.Generator().manual_seed(0)))
    model, latents, actions = agent.autoencoder, [], []
    for _ in range(2):
        parts = []
        for part_BY in condition_BY.split(CHUNK):
            plan = agent.transformer.generate(part_BY, model.quantizer, draw)
            parts.append((plan[1], agent.act_on(model.read(*plan), part_BY)))
        latents.append(torch.cat([latent_BLC for latent_BLC, _ in parts]))
        actions.append(torch.cat([action_BA for _, action_BA in parts]))
    return latents, actions


def behaviour_cloning_error(data: Steps, batch: Batch) -> float:
    """Mean square error of a small network's E[a | s], fitted here."""

    def take(rows_B: Tensor) -> tuple[Tensor, Tensor]:
        return data.observations(rows_B), data.actions(rows_B)

    network = fit_mlp(take, len(data), squared, data.device)
    return float(squared(network(batch.condition_BY[:, 1:]), batch.action_BA).mean())


def correlations(
    agent: Mage, batch: Batch, latents: list[Tensor], actions: list[Tensor]
) -> tuple[float | None, float | None]:
    """Of action and displacement: of two plans, in their differences, and of the data, beside what s_0 says of both."""
    layout = agent.autoencoder.layout
    if "state" not in layout:
        return None, None
    ahead = min(STEPS_AHEAD, batch.trajectory_BHX.shape[1] - 1)
    exists_B = batch.mask_BH[:, ahead] > 0
    if exists_B.sum() < 2:
        return None, None

    def displaced(trajectory_BHX: Tensor) -> Tensor:
        return (trajectory_BHX[:, ahead] - trajectory_BHX[:, 0])[:, layout["state"]]

    state_BS = batch.condition_BY[exists_B, 1:]
    true_BS, true_BA = displaced(batch.trajectory_BHX)[exists_B], batch.action_BA[exists_B]
    # what s_0 alone says of either is taken out, since two plans of one state have it in common
    by_state = regression(state_BS, torch.cat([true_BS, true_BA], 1))
    left = torch.cat([true_BS, true_BA], 1) - with_one(state_BS) @ by_state
    left_BS, left_BA = left.split([true_BS.shape[1], true_BA.shape[1]], 1)
    direction_SA = regression(left_BS, left_BA)[:-1]
    decoded = [
        torch.cat([displaced(agent.decoder(z, c[:, :1])) for z, c in zip(z.split(CHUNK), c.split(CHUNK), strict=True)])
        for z, c in ((latent_BLC, batch.condition_BY) for latent_BLC in latents)
    ]
    scale_A = true_BA.std(0).clamp_min(1e-6)
    planned_BA = (decoded[0] - decoded[1]) @ direction_SA / scale_A
    return (
        correlation((actions[0] - actions[1]) / scale_A, planned_BA),
        correlation(left_BA / scale_A, left_BS @ direction_SA / scale_A),
    )


def regression(inputs_BX: Tensor, targets_BY: Tensor) -> Tensor:
    """Ridge regression: weights (X + 1, Y), the intercept last."""
    inputs = with_one(inputs_BX).double()
    ridge = RIDGE * len(inputs) * inputs.pow(2).mean(0).clamp_min(1e-12).diag()
    weights: Tensor = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ targets_BY.double())
    return weights.to(targets_BY.dtype)


def with_one(inputs_BX: Tensor) -> Tensor:
    """A column of ones beside the inputs."""
    return torch.cat([inputs_BX, torch.ones_like(inputs_BX[:, :1])], 1)


def correlation(one: Tensor, other: Tensor) -> float | None:
    """Pearson's, over all entries; None where one of them does not vary."""
    pair = torch.stack([one.flatten(), other.flatten()]).double()
    if not bool((pair.std(1) > 1e-9).all()):
        return None
    return float(torch.corrcoef(pair)[0, 1])


def nats_saved(agent: Mage, condition_BY: Tensor, token_maps: list[Tensor]) -> float | None:
    """By how much the mean cross-entropy of the true tokens rises with the R_0 of other windows."""
    if agent.config.transformer.return_condition == "none":
        return None
    order_B = torch.randperm(len(condition_BY), generator=torch.Generator().manual_seed(0)).to(condition_BY.device)
    wrong_BY = torch.cat([condition_BY[order_B, :1], condition_BY[:, 1:]], 1)
    tokens_BT = torch.cat(token_maps, 1)

    def cross_entropy(known_BY: Tensor) -> float:
        total = 0.0
        for rows in torch.arange(len(known_BY), device=known_BY.device).split(CHUNK):
            maps = [tokens_Bl[rows] for tokens_Bl in token_maps]
            logits_BTV = agent.transformer(maps, known_BY[rows], agent.autoencoder.quantizer)
            total += float(F.cross_entropy(logits_BTV.transpose(1, 2), tokens_BT[rows], reduction="sum"))
        return total / tokens_BT.numel()

    return cross_entropy(wrong_BY) - cross_entropy(condition_BY)
