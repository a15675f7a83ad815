"""When a run is evaluated while it trains."""

from __future__ import annotations

from mage.config import Config


def milestones(config: Config, evaluations: int) -> list[int]:
    """Steps (over both stages) at which a scheduler may look: `evaluations` evenly spaced points inside stage 2, then
    the end.
    """
    training = config.training
    first, second = training.autoencoder.steps, training.transformer.steps
    inside = [first + second * (i + 1) // (evaluations + 1) for i in range(evaluations)]
    return sorted({*inside, first + second + training.inverse_dynamics.steps})
