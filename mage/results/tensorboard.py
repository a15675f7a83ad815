"""Event files for TensorBoard: the loss curves of a training run, and the hyper-parameters of a trial with its score.

Written by tensorboardX, which Ray Tune brings. A run that goes on after an interruption hides the steps that it does
again from what it wrote before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"
FLUSH_SECONDS = 20


class EventFile:
    """One line of TensorBoard's list of runs: a folder with event files; the first value opens a file there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each named curve."""
        for name, value in values.items():
            self._open(step).add_scalar(name, value, step)

    def add_row(self, row: Mapping[str, float | str], total_step: int) -> None:
        """A row of a loss curve (`mage.training.trainer.History`), at its step over all stages."""
        self.add(total_step, curves(row))

    def add_configuration(self, configuration: Mapping[str, Any], measures: Mapping[str, float]) -> None:
        """What the HPARAMS page shows: a configuration, and what came of it."""
        from tensorboardX.summary import hparams

        plain = {
            name: value if isinstance(value, str | bool | int | float) else json.dumps(value)
            for name, value in configuration.items()
        }
        for part in hparams(plain, dict(measures)):
            self._open(0).file_writer.add_summary(part)

    def close(self) -> None:
        """Writes out what is there; a later value opens another file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, step: int) -> Any:
        if self._writer is None:
            from tensorboardX import SummaryWriter

            goes_on = self.folder.is_dir() and any(self.folder.iterdir())
            self._writer = SummaryWriter(
                str(self.folder),
                purge_step=step if goes_on else None,
                flush_secs=FLUSH_SECONDS,
                filename_suffix=f".{time.time_ns()}",  # else two files of one second are one
            )
        return self._writer


def curves(row: Mapping[str, float | str]) -> dict[str, float]:
    """The values of a row of a loss curve by `stage/name`."""
    stage = row["stage"]
    return {
        f"{stage}/{name}": value for name, value in row.items() if name != "step" and isinstance(value, float | int)
    }
