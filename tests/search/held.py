"""MAGE that can be met in the midst of its training, however fast the machine is."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from mage.algorithms.mage.algorithm import Mage
from mage.data.steps import Steps
from mage.interface import Stage

WHERE = "HOLD_TRAINING_IN"
"""In the environment: a folder with a file `<stage>-<seed>` for each stage that is to wait, until the file is gone."""

AT = 30
"""The step that waits."""


class HeldMage(Mage):
    """Its stages wait where a test wants them to."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seed = torch.initial_seed()  # a trainer makes its networks from its seed

    def stages(self, data: Steps) -> Sequence[Stage]:
        """Those of MAGE."""
        folder = Path(os.environ.get(WHERE, ""))
        return [held(stage, folder / f"{stage.name}-{self.seed}") for stage in super().stages(data)]


def held(stage: Stage, file: Path) -> Stage:
    """The stage, which before its step `AT` waits for as long as there is a file."""
    steps = count()

    def step(*arguments: Any) -> Mapping[str, torch.Tensor]:
        if next(steps) == AT:
            while file.exists():
                time.sleep(0.05)
        return stage.step(*arguments)

    return replace(stage, step=step)
