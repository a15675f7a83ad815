"""Scores of configurations that a sweep has chosen, for the columns of their methods: of fresh seeds alone.

Those of the seeds that chose flatter the choice, so they never stand in a table; they are named under it, beside what
the choice has cost.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mage.errors import MageError
from mage.paper.measurements import REPLICATE_COLUMNS, per_seed
from mage.results import load
from mage.results.locations import FRESH_SEEDS
from mage.results.published import algorithms_by_method


@dataclass(frozen=True)
class Tuned:
    """What is there of tuned methods.

    Attributes:
        replicates: a row a fresh training seed: REPLICATE_COLUMNS, where the variant is the method.
        notes: (scenario, method) -> what the choice was made from.
    """

    replicates: pd.DataFrame
    notes: dict[tuple[str, str], str]

    def of(self, scenarios: Sequence[str], methods: Sequence[str]) -> Tuned:
        """Of these alone."""
        own = self.replicates["scenario"].isin(scenarios) & self.replicates["variant"].isin(methods)
        cells = {(scenario, method) for scenario in scenarios for method in methods}
        return Tuned(self.replicates[own], {cell: note for cell, note in self.notes.items() if cell in cells})

    def in_place(self, replicates: pd.DataFrame) -> pd.DataFrame:
        """Measured rows, in which these take the place of those of the same cells."""
        pairs = zip(replicates["scenario"], replicates["variant"], strict=True)
        others = replicates[np.array([pair not in self.notes for pair in pairs], dtype=bool)]
        return stacked([others, self.replicates])


def read_tuned(sweeps: Sequence[Path]) -> Tuned:
    """What sweeps have chosen, and measured with `--report-seeds`.

    Raises:
        MageError: one of them has not, or two have chosen for one cell.
    """
    methods = {algorithm: method for method, algorithm in algorithms_by_method().items()}
    frames, notes = [], {}
    for sweep in sweeps:
        path = sweep / FRESH_SEEDS / "chosen.parquet"
        if not path.is_file():
            raise MageError(
                f"nothing was chosen in {sweep} and measured with fresh seeds: run its sweep again with --resume "
                "--report-seeds 5"
            )
        results = load(sweep / FRESH_SEEDS)
        for row in pd.read_parquet(path).to_dict("records"):
            scenario, method = row["scenario"], methods.get(row["algorithm"], row["algorithm"])
            if (scenario, method) in notes:
                raise MageError(f"two sweeps have chosen {method} on {scenario}: name one of them")
            own = results[(results["scenario"] == scenario) & (results["config_hash"] == row["config_hash"])]
            frames.append(per_seed(own).assign(scenario=scenario, variant=method))
            notes[scenario, method] = _note(row, method)
    return Tuned(stacked(frames), notes)


def stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One below the other, without those that are empty, whose columns have no type."""
    return pd.concat([frame for frame in frames if len(frame)] or [pd.DataFrame(columns=REPLICATE_COLUMNS)])


def _note(row: Mapping[Hashable, Any], method: str) -> str:
    error = row["chosen_standard_error"]
    spread = f" ± {error:.1f}" if pd.notna(error) else ""
    return (
        f"{method} on {row['scenario']} is the best of {row['trials']} trials x {row['seeds']} seeds, which scored it "
        f"{row['chosen_mean']:.1f}{spread}; measured anew with {row['fresh_seeds']:.0f} seeds that had no say."
    )
