"""States of sweeps that are small enough to check by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

from mage.results.status import SweepStatus, TrialStatus

NOW = datetime.now(UTC)


def trial(number: int, **changes: Any) -> TrialStatus:
    """Trial `trial_<number>` at depth <number>."""
    values = {"trial_id": f"trial_{number}", "name": f"depth={number}", "configuration": {"transformer.depth": number}}
    return TrialStatus.model_validate(values | changes)


def under_way(**changes: Any) -> SweepStatus:
    """Of 6 trials, 2 have finished, 1 was stopped, 1 failed, 1 runs at half of its training and 1 waits."""
    values: dict[str, Any] = {
        "scenario": "maze2d-umaze",
        "state": "running",
        "trials_wanted": 6,
        "seeds": 2,
        "seconds": 900.0,
        "started": NOW - timedelta(seconds=900),
        "updated": NOW,
        "host": "head",
        "pid": 4321,
        "trials": [
            trial(1, status="finished", score=80.0, fraction=1.0),
            trial(2, status="stopped", score=99.0, fraction=1.0),
            trial(3, status="finished", score=-3.0, fraction=1.0),
            trial(4, status="failed", reason="training failed: out of memory", log="/runs/a/tune/4", fraction=1.0),
            trial(5, seed=1, stage="transformer", step=150, steps=300, loss=0.25, doing="training", fraction=0.5),
        ],
    }
    return SweepStatus.model_validate(values | changes)
