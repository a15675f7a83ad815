"""A small network fitted to some of the data in a second or two, for what an inspection compares with.

Shape suffixes: B batch, X inputs, Y outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mage.nn.adamw import AdamW
from mage.nn.blocks import MLP

Take = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Row numbers (B,) -> inputs (B, X) and targets (B, Y)."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Predictions and targets, (B, Y) each -> a loss each."""

HIDDEN, STEPS, BATCH, LEARNING_RATE = 64, 400, 256, 5e-3


@torch.enable_grad()
def fit_mlp(take: Take, rows: int, loss: Loss, device: torch.device, seed: int = 0) -> MLP:
    """Two hidden layers, fitted to rows 0..rows-1 by Adam, its rate falling to zero; alike for the same seed."""
    random = torch.Generator().manual_seed(seed)
    inputs_X, targets_Y = (tensor[0] for tensor in take(torch.zeros(1, dtype=torch.long, device=device)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MLP(len(inputs_X), HIDDEN, 2, len(targets_Y)).to(device)
    adam = AdamW(network.parameters(), LEARNING_RATE)
    for step in range(STEPS):
        adam.param_groups[0]["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * step / STEPS)) / 2
        rows_B = torch.randint(rows, (min(BATCH, rows),), generator=random).to(device)
        inputs_BX, targets_BY = take(rows_B)
        adam.zero_grad()
        loss(network(inputs_BX), targets_BY).mean().backward()
        adam.step()
    return network.requires_grad_(False)


def squared(predicted_BY: Tensor, target_BY: Tensor) -> Tensor:
    """Least where the prediction is the mean."""
    return (predicted_BY - target_BY).pow(2)


def pinball(quantile: float) -> Loss:
    """Least where that share of the targets lies below the prediction."""

    def loss(predicted_BY: Tensor, target_BY: Tensor) -> Tensor:
        below_BY = target_BY - predicted_BY
        return torch.maximum(quantile * below_BY, (quantile - 1) * below_BY)

    return loss
