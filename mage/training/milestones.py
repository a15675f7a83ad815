"""When a run is evaluated while it trains."""

from __future__ import annotations

from mage.config import Config


def milestones(config: Config, evaluations: int) -> list[int]:
    """Steps (over all stages) at which a scheduler may look: `evaluations` evenly spaced points inside stage 2 of MAGE
    (the one stage of a reference), then the end.
    """
    name = "transformer" if config.algorithm == "mage" else "reference"
    steps = {stage: getattr(config.training, stage).steps for stage in config.stages}
    before = sum(steps[stage] for stage in config.stages[: config.stages.index(name)])
    inside = [before + steps[name] * (i + 1) // (evaluations + 1) for i in range(evaluations)]
    return sorted({*inside, config.total_steps})
