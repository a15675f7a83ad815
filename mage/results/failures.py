"""What failed, as rows beside the results: a mean over those that went well alone would flatter who fails often.

A trial that failed is a row a training seed; it counts as a random policy (`RANDOM_SCORE`) where a mean is to stand for
all. A training that has not ended, or that nobody evaluated, has no score and is no failure: it is told of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from mage.config import algorithm_of, load_config
from mage.errors import MageError
from mage.results.locations import open_location, own_files, read_bytes
from mage.results.store import TRIAL_COLUMNS, read_table, trial_tables

RANDOM_SCORE = 0.0
"""The normalised score of a random policy, for which what failed stands."""

CONFIGURATION = ["scenario", "algorithm", "config_hash", "dataset_id"]
FAILURE_COLUMNS = (*CONFIGURATION, "training_seed", "trial_id", "error", "log")
"""The columns of every table of failures; the ones after them are swept config fields."""


def load_failures(location: str | Path, results: pd.DataFrame | None = None) -> pd.DataFrame:
    """Every training seed of every failed trial at a location, which is as for `mage.results.load`.

    A trial whose values exclude each other has no configuration, and its trial's id for a `config_hash`. What has been
    played all the same, by another trial of the same configuration, is no failure.

    Args:
        results: as from `load`, which say which dataset a scenario was trained on.

    Returns:
        One row a seed, `FAILURE_COLUMNS` first; no rows where nothing failed.
    """
    filesystem, root = open_location(location)
    paths = own_files(filesystem, root, location)
    settings = {path.parent: _as_object(read_bytes(filesystem, path)) for path in paths if path.name == "sweep.json"}
    frames = []
    for path in trial_tables(paths):
        trials = read_table(filesystem, path, TRIAL_COLUMNS)
        of_sweep = settings.get(path.parent, settings.get(path.parent.parent, {}))
        frames.append(failed_seeds(trials, of_sweep, results))
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame(columns=list(FAILURE_COLUMNS))
    table = pd.concat(frames, ignore_index=True).drop_duplicates(["scenario", "trial_id", "training_seed"])
    if results is not None:
        played = set(results[["scenario", "config_hash", "training_seed"]].itertuples(index=False, name=None))
        own = table[["scenario", "config_hash", "training_seed"]].itertuples(index=False, name=None)
        table = table[[row not in played for row in own]]
    return table.reset_index(drop=True)


def failed_seeds(
    trials: pd.DataFrame, settings: Mapping[str, Any], results: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The failures of one table of trials.

    Args:
        settings: the sweep's `sweep.json`, which says the algorithm of what no trial has trained; {} where it is lost.
    """
    failed = trials[trials["status"] == "failed"].copy()
    failed["config_hash"] = failed["config_hash"].where(failed["config_hash"].notna(), failed["trial_id"])
    if "algorithm" not in failed:
        failed["algorithm"] = [_method(settings, row) for row in failed.astype(object).to_dict("records")]
    known: dict[str, Any] = {}
    if results is not None:
        known = dict(results[["scenario", "dataset_id"]].drop_duplicates("scenario").itertuples(index=False, name=None))
    failed["dataset_id"] = failed["scenario"].map(known)
    first = int(settings.get("first_seed", 0))
    failed["training_seed"] = [list(range(first, first + int(count))) for count in failed["seeds"]]
    failed = failed.explode("training_seed").astype({"training_seed": "int64"})
    swept = [name for name in trials.columns if name not in {*TRIAL_COLUMNS, *FAILURE_COLUMNS}]
    return failed[[*FAILURE_COLUMNS, *swept]]


def unfinished(location: str | Path) -> list[str]:
    """A line a training outside of sweeps that has no score and so is in no mean: under way, interrupted, unplayed."""
    filesystem, root = open_location(location)
    files: dict[PurePosixPath, set[str]] = {}
    for path in own_files(filesystem, root, location):
        files.setdefault(path.parent, set()).add(path.name)
    trainings = sorted(folder for folder, names in files.items() if {"config.json", "run.json"} <= names)
    lines = []
    for folder in trainings:
        if "policy.json" not in files[folder] and "episodes.parquet" not in files[folder]:
            lines.append(f"{folder}: its training has not ended; `mage train .. --resume --out {folder}` goes on")
        elif "episodes.parquet" not in files[folder]:
            lines.append(f"{folder}: nobody has evaluated it; `mage evaluate {folder}` does")
    return lines


def failure_lines(failures: pd.DataFrame) -> list[str]:
    """A line a trial of a table of failures: where, what, why, and where its log is."""
    first = failures.drop_duplicates(["scenario", "trial_id"]).astype(object)
    seeds = failures.groupby(["scenario", "trial_id"]).size()
    lines = []
    for row in first.to_dict("records"):
        swept = {str(name): value for name, value in row.items() if name not in FAILURE_COLUMNS and _is_known(value)}
        what = " ".join(f"{name.rsplit('.', 1)[-1]}={value}" for name, value in swept.items()) or row["config_hash"]
        count = seeds[(row["scenario"], row["trial_id"])]
        error = row["error"] if _is_known(row["error"]) else "no reason is known"
        log = row["log"] if _is_known(row["log"]) else "-"
        lines.append(
            f"{row['scenario']}: FAILED {row['algorithm']} [{what}], {count} training seed(s): {error} (log: {log})"
        )
    return lines


def _method(settings: Mapping[str, Any], row: Mapping[Any, Any]) -> str:
    """What a trial would be called in results; its algorithm where its values exclude each other."""
    own = (settings.get("variants") or {}).get(row.get("variant"), ())
    swept = [f"{name}={value}" for name, value in row.items() if "." in str(name) and _is_known(value)]
    overrides = [*settings.get("overrides", ()), *own]
    algorithm = algorithm_of(overrides, settings.get("algorithm"))
    try:
        return load_config(overrides=[*overrides, *swept], algorithm=algorithm).method
    except MageError:
        return algorithm


def _as_object(content: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(content))
    except (TypeError, ValueError):
        return {}


def _is_known(value: Any) -> bool:
    """Scenarios that sweep different fields share a table; a list is one value, too."""
    return value is not None and not (isinstance(value, float) and value != value) and value is not pd.NA
