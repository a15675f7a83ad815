"""Where a sweep's curves and scores go: event files for TensorBoard always, Weights & Biases and MLflow when asked.

All trackers are fed in the sweep's own process, from a thread of their own (`tracker`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

from mage.errors import MageError
from mage.progress.trackers.mlflow import MLflow
from mage.progress.trackers.tracker import Tracker
from mage.progress.trackers.wandb import Wandb
from mage.words import sentence_of

OPTIONAL: dict[str, Callable[[str], Tracker]] = {"wandb": Wandb, "mlflow": MLflow}
"""Those to be asked for; each name is that of its package, and of the extra that installs it."""


def check_trackers(names: Sequence[str]) -> None:
    """MageError unless every tracker that is asked for exists and has its package installed."""
    for name in names:
        if name not in OPTIONAL:
            raise MageError(f"--track {name}: there is only {' and '.join(OPTIONAL)}; TensorBoard is always written")
        if importlib.util.find_spec(name) is None:
            raise MageError(
                f"--track {name} needs the package {name}: pip install -e '.[{name}]', or pip install {name}"
            )


def make_trackers(names: Sequence[str], group: str) -> list[Tracker]:
    """The trackers that are asked for, connected; `group` names the sweep there.

    Raises:
        MageError: one of them cannot start.
    """
    trackers = []
    for name in dict.fromkeys(names):
        try:
            trackers.append(OPTIONAL[name](group))
        except Exception as error:  # of whatever class, by the tracker's package
            raise MageError(f"--track {name} cannot start: {sentence_of(error)}") from error
    return trackers
