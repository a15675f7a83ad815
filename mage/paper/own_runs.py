"""Scores of runs that no table has asked for, in the columns of their methods: trainings, sweeps, files of episodes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mage.errors import MageError
from mage.paper.measurements import REPLICATE_COLUMNS, Found, per_seed
from mage.results import load
from mage.results.published import algorithms_by_method
from mage.results.store import KEY_COLUMNS
from mage.results.summary import differing_versions


def read_runs(locations: Sequence[str]) -> pd.DataFrame:
    """All their episodes, each once, with the paper's name of the method as `variant`.

    Raises:
        MageError: one of them has none, or a method has more than one configuration, or dataset, on a scenario: a
            table has one cell for it.
    """
    if not locations:
        return pd.DataFrame()
    episodes = pd.concat([load(location) for location in locations], ignore_index=True)
    episodes = episodes.drop_duplicates(list(KEY_COLUMNS), ignore_index=True)
    methods = {algorithm: method for method, algorithm in algorithms_by_method().items()}
    episodes["variant"] = episodes["algorithm"].map(methods).fillna(episodes["algorithm"])
    for (scenario, method), own in episodes.groupby(["scenario", "variant"]):
        for name, what in (("config_hash", "configurations"), ("dataset_id", "datasets")):
            if len(several := sorted(own[name].unique())) > 1:
                raise MageError(
                    f"{method} on {scenario} was run with {len(several)} {what} ({', '.join(several)}), and a table "
                    "has one cell for it: name the runs of one of them"
                )
    return episodes


def scores_of_runs(episodes: pd.DataFrame, scenarios: Sequence[str], methods: Sequence[str]) -> Found | None:
    """What `read_runs` has for a table of these scenarios and methods; None where that is nothing."""
    if episodes.empty:
        return None
    own = episodes[episodes["scenario"].isin(scenarios) & episodes["variant"].isin(methods)]
    if own.empty:
        return None
    cells = own.groupby(["scenario", "variant"])
    frames = [per_seed(rows).assign(scenario=str(cell[0]), variant=str(cell[1])) for cell, rows in cells]
    replicates = pd.concat(frames, ignore_index=True)[REPLICATE_COLUMNS]
    note = f"Of runs of one's own; datasets: {', '.join(sorted(own['dataset_id'].unique()))}."
    return Found(replicates, tuple(own["scenario"].unique()), (note,), versions=differing_versions(own))


def joined(one: Found | None, other: Found | None) -> Found | None:
    """Both together; MageError where both have a cell."""
    if one is None or other is None:
        return one or other
    cells = [set(zip(found.replicates["scenario"], found.replicates["variant"], strict=True)) for found in (one, other)]
    if twice := sorted(cells[0] & cells[1]):
        (scenario, method), *_ = twice
        raise MageError(f"{method} on {scenario} is in --out and among --results: leave one of them out")
    filled = [found.replicates for found in (one, other) if len(found.replicates)]
    return Found(
        pd.concat(filled, ignore_index=True) if filled else one.replicates,
        tuple(dict.fromkeys(one.scenarios + other.scenarios)),
        one.notes + other.notes,
        one.failures,
        one.versions | other.versions,
    )
