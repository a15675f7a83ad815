"""What the data has nearly at best done from a state: the 95 % quantile of R given s, or of u where that is asked for.
A target above it is infeasible there, as far as the data knows; what a policy does that is asked for it is
extrapolation.

Learned when a training ends, on its data, and kept in `inspection.json`, so that states which a rollout visits later
are judged without the data; and in `policy.json` of a policy that is asked for what is feasible.

Shape suffixes: B batch, S observation size, Y = 1 + S values of a condition (c, s), where c is R or u.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from mage.data.steps import Steps
from mage.errors import MageError
from mage.nn.blocks import MLP
from mage.nn.regression import HIDDEN, fit_mlp, pinball

QUANTILE = 0.95
ROUNDING = 1e-5
"""By which a c that was cut at the quantile may lie above it, in deviations of c."""


class Ceiling:
    """s -> the 95 % quantile of c, both normalised."""

    def __init__(self, network: MLP) -> None:
        self.network = network

    @classmethod
    def learn(cls, data: Steps, conditions: Callable[[Tensor], Tensor]) -> Ceiling:
        """By quantile regression on all steps, in about a second. `conditions` has (c, s) of rows of the data."""

        def take(rows_B: Tensor) -> tuple[Tensor, Tensor]:
            condition_BY = conditions(rows_B)
            return condition_BY[:, 1:], condition_BY[:, :1]

        network = fit_mlp(take, len(data), pinball(QUANTILE), data.device)
        return cls(network.half().float())  # as it comes from disk

    @torch.no_grad()
    def highest(self, condition_BY: Tensor) -> Tensor:
        """The quantile at these states, (B,), normalised as c is."""
        highest_B: Tensor = self.network(condition_BY[:, 1:])[:, 0]
        return highest_B

    def share_feasible(self, condition_BY: Tensor) -> float:
        """At how many of these states, in percent, c is no higher than the quantile."""
        return 100.0 * float((condition_BY[:, 0] <= self.highest(condition_BY) + ROUNDING).double().mean())

    def to_text(self) -> str:
        """Its weights, in half precision, as text."""
        weights = {name: value.half().cpu().contiguous() for name, value in self.network.state_dict().items()}
        return base64.b64encode(safetensors.torch.save(weights)).decode()

    @classmethod
    def from_text(cls, text: str, device: torch.device) -> Ceiling:
        """What `to_text` gave; MageError where it is something else."""
        try:
            weights = safetensors.torch.load(base64.b64decode(text))
            network = MLP(weights["layers.0.weight"].shape[1], HIDDEN, 2, 1)
            network.load_state_dict({name: value.float() for name, value in weights.items()})
        except (TypeError, ValueError, LookupError, RuntimeError, SafetensorError):
            raise MageError("the ceiling that is kept with this run is damaged; train again") from None
        return cls(network.requires_grad_(False).to(device))


def ceiling_of(inspection: dict[str, Any], device: torch.device) -> Ceiling | None:
    """The one that an inspection holds; None where a policy is asked for nothing, or in one of version 0.1."""
    known = inspection.get("ceiling")
    return Ceiling.from_text(known["weights"], device) if known else None
