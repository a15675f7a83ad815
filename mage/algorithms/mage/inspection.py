"""Probes of a trained MAGE: what it makes of windows whose truth is known, and of states that it has visited.

They need no environment and explain a score: does the decoder rebuild the window, is the codebook used, does I read Z,
does generated Z carry the action, does the decoded first step tell the condition (R_0, s_0) that was asked for?
Everything is in normalised units, where guessing the mean of a dimension costs about 1 (actions: their variance).

Shape suffixes: B batch, H horizon, X values of a modelled step, L latent length, C code width, A action size, S
observation size, Y = 1 + S values of a condition (R_0, s_0).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mage.algorithms.mage.algorithm import Mage, Plan
from mage.algorithms.mage.plan_probes import probe_plans
from mage.algorithms.mage.quantizer import codebook_use
from mage.algorithms.mage.sequence import Batch, Windows
from mage.algorithms.mage.token_choice import TokenChoice, all_rows
from mage.data.steps import Steps

PROBED_WINDOWS = 2048
CHUNK = 512
LOW_TARGET, HIGH_TARGET = 0.02, 1.0
"""Quantiles of the returns-to-go between which actions are compared."""


@torch.no_grad()
def inspect_data(agent: Mage, data: Steps) -> dict[str, Any]:
    """All probes that need the training data only, on windows spread evenly over it."""
    rows_B = data.spread(PROBED_WINDOWS)
    windows = Windows(data, agent.config.autoencoder, agent.conditions(data))
    batch, autoencoder = windows.take(rows_B), agent.autoencoder
    tokens_BT = chunked(
        lambda tau, back: torch.cat(autoencoder.encode(tau, back), 1), batch.trajectory_BHX, batch.condition_BY[:, :1]
    )
    token_maps = list(tokens_BT.split(autoencoder.config.schedule, 1))
    true_BLC = autoencoder.quantizer.decode(token_maps)
    plan = decide(agent, batch.condition_BY)
    latents = {"true": true_BLC, "generated": plan.latent_BLC}
    latents |= {f"{name}_shuffled": shuffled(latent_BLC) for name, latent_BLC in latents.items()}
    read = {"true": autoencoder.read(token_maps, true_BLC), "generated": plan.read_BLC}
    read |= {f"{name}_shuffled": shuffled(read_BLC) for name, read_BLC in read.items()}
    use = codebook_use(token_maps, autoencoder.config.codebook_size)
    return {
        "windows": len(rows_B),
        "scales": probe_scales(agent, batch, token_maps, use),
        "codebook": {
            "codes": autoencoder.config.codebook_size,
            "codes_used": use["codes_used_all"],
            "perplexity": use["perplexity_all"],
        },
        "mean_as_guess": masked_error(batch.trajectory_BHX, batch.mask_BH),
        "actions": probe_actions(agent, batch, read, plan.action_BA)
        | {"low_to_high_target": target_effect(agent, batch.condition_BY, low_and_high(agent, data))},
        "plans": probe_plans(agent, data, batch, token_maps),
        "condition": {name: condition_gap(agent, latent, batch.condition_BY) for name, latent in latents.items()},
        "other_condition": other_condition(batch.condition_BY),
    }


def probe_scales(agent: Mage, batch: Batch, token_maps: list[Tensor], use: dict[str, float]) -> list[dict[str, float]]:
    """Per scale k: mean square error of the window decoded from scales 1..k, on true steps only, and code use."""
    autoencoder, rows = agent.autoencoder, []
    for k, tokens_Bl in enumerate(token_maps, 1):
        latent_BLC = autoencoder.quantizer.decode(token_maps[:k])
        rebuilt_BHX = chunked(autoencoder.decoder, latent_BLC, batch.condition_BY[:, :1])
        wrong_BHX = rebuilt_BHX - batch.trajectory_BHX
        parts = {name: masked_error(wrong_BHX[..., part], batch.mask_BH) for name, part in autoencoder.layout.items()}
        rows.append(
            {
                "tokens": tokens_Bl.shape[1],
                "reconstruction_error": masked_error(wrong_BHX, batch.mask_BH),
                **{f"{name}_error": error for name, error in parts.items()},
                "codes_used": use[f"codes_used_scale{k}"],
                "perplexity": use[f"perplexity_scale{k}"],
            }
        )
    return rows


def probe_actions(agent: Mage, batch: Batch, read: dict[str, Tensor], generated_BA: Tensor) -> dict[str, float]:
    """Mean square error of the action read off each Z (or off its coarse scales), beside the variance of the actions.

    Shuffling gives every window the Z of another one; where that changes nothing, I ignores Z.
    """
    actions = {name: chunked(agent.act_on, part, batch.condition_BY) for name, part in read.items()}
    actions["generated"] = generated_BA
    errors = {name: float((action_BA - batch.action_BA).pow(2).mean()) for name, action_BA in actions.items()}
    return {"variance": float(batch.action_BA.var(0, correction=0).mean()), **errors}


def low_and_high(agent: Mage, data: Steps) -> Tensor:
    """A low and the highest target, normalised as a condition has it, (2,)."""
    returns_N = data.returns()
    if agent.advantage is not None:
        return returns_N.new_tensor([agent.target_advantage(LOW_TARGET), agent.target_advantage(HIGH_TARGET)])
    sample_N = returns_N[:: max(1, len(returns_N) // 1_000_000)]  # torch.quantile takes 16 million at most
    return torch.quantile(sample_N, sample_N.new_tensor([LOW_TARGET, HIGH_TARGET]))


def target_effect(agent: Mage, condition_BY: Tensor, targets: Tensor) -> float:
    """Mean square by which actions on the same states differ between a low and the highest target."""
    low_BA, high_BA = (
        decide(agent, torch.cat([target.expand(len(condition_BY), 1), condition_BY[:, 1:]], 1)).action_BA
        for target in targets
    )
    return float((high_BA - low_BA).pow(2).mean())


@torch.no_grad()
def probe_states(agent: Mage, condition_BY: Tensor) -> dict[str, Any]:
    """Whether Z, generated for these targets and states, decodes to them; with a shuffled Z for comparison."""
    latent_BLC = decide(agent, condition_BY).latent_BLC
    return {
        "states": len(condition_BY),
        "generated": condition_gap(agent, latent_BLC, condition_BY),
        "generated_shuffled": condition_gap(agent, shuffled(latent_BLC), condition_BY),
    }


@torch.no_grad()
def condition_gap(agent: Mage, latent_BLC: Tensor, condition_BY: Tensor) -> dict[str, Any]:
    """How far the first decoded step is from (R_0, s_0): by the decoder D and, where there are adapters, by D'."""
    adapted = agent.adapted_decoder
    has_adapters = adapted is not None and len(list(adapted.parameters())) > 0
    return {
        "plain": _gap(agent, agent.autoencoder.decoder, latent_BLC, condition_BY),
        "adapted": _gap(agent, adapted, latent_BLC, condition_BY) if has_adapters else None,
    }


def other_condition(condition_BY: Tensor) -> dict[str, float]:
    """What it costs to take the (R_0, s_0) of another window for one's own: the scale of the gaps with a shuffled Z."""
    squares_BY = (shuffled(condition_BY) - condition_BY).pow(2)
    return {"return": float(squares_BY[:, 0].mean()), "state": float(squares_BY[:, 1:].mean())}


def _gap(agent: Mage, decoder: nn.Module | None, latent_BLC: Tensor, condition_BY: Tensor) -> dict[str, Any]:
    assert decoder is not None
    layout = dict(agent.autoencoder.layout)
    if agent.advantage is not None:  # what is asked for is no part of a step
        layout.pop("return", None)
    first_BX = chunked(lambda latent, back: decoder(latent, back)[:, 0], latent_BLC, condition_BY[:, :1])
    wanted = {"return": condition_BY[:, :1], "state": condition_BY[:, 1:]}
    squares = {name: (first_BX[:, layout[name]] - wanted[name]).pow(2) for name in wanted if name in layout}
    found: dict[str, Any] = {name: float(squares[name].mean()) if name in squares else None for name in wanted}
    found["all"] = float(torch.cat(list(squares.values()), 1).mean()) if squares else None
    found["state_dimensions"] = squares["state"].mean(0).tolist() if "state" in squares else None
    return found


def decide(agent: Mage, condition_BY: Tensor) -> Plan:
    """Plans as the policy chooses them when it acts, with noise (where it samples) that is always the same."""
    choose = TokenChoice(agent.config.policy, all_rows(torch.Generator().manual_seed(0)))
    parts = [agent.decide(part, choose) for part in condition_BY.split(CHUNK)]
    return Plan(*map(torch.cat, zip(*parts, strict=True)))


def shuffled(rows: Tensor) -> Tensor:
    """Every row gets what is in some other row, always in the same way."""
    order_B = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).to(rows.device)
    moved = torch.empty_like(rows)
    moved[order_B] = rows[order_B.roll(1)]
    return moved


def masked_error(wrong_BHX: Tensor, mask_BH: Tensor) -> float:
    """Mean square over the steps that exist."""
    return float((wrong_BHX.pow(2).mean(-1) * mask_BH).sum() / mask_BH.sum())


def chunked(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """The function of all rows, a few hundred at a time."""
    return torch.cat([function(*parts) for parts in zip(*(tensor.split(CHUNK) for tensor in tensors), strict=True)])
