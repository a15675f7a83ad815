"""What a run directory holds of an ablation table: a row a training seed (or repeat), found by configuration."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mage.errors import MageError
from mage.paper.tables import AblationTable
from mage.results import load, load_trials
from mage.results.summary import differing_versions
from mage.search.settings import SweepSettings, read_settings

REPLICATE_COLUMNS = ["scenario", "variant", "value", "success", "episodes"]


@dataclass(frozen=True)
class Found:
    """What is there of a table.

    Attributes:
        replicates: a row a training seed, or repeat of a timing: REPLICATE_COLUMNS.
        scenarios: on which it is tried.
        notes: what a reader must know.
        failures: (scenario, variant) -> why that row never will be there.
        versions: scenario -> versions of its environment, where several were played whose scores are not comparable.
    """

    replicates: pd.DataFrame
    scenarios: tuple[str, ...]
    notes: tuple[str, ...]
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)


def scores(table: AblationTable, out: Path, whole: bool = True) -> Found:
    """The scores of a table in the sweep of a run directory, finished or not.

    A row is found by the hash of its configuration, so it is there whichever table it was trained for.

    Args:
        table: which.
        out: the run directory.
        whole: only scenarios on which the sweep tries every row of the table.

    Raises:
        MageError: there is no sweep, or none of this table.
    """
    settings = read_settings(out)
    hashes = _whole(table, settings) if whole else _parts(table, settings)
    if not hashes:
        has = "not all" if whole else "none"
        raise MageError(f"the run in {out} is not of table {table.number}: its sweep has {has} of that table's rows")
    results = _tables(load, out)
    frames, failures = [], {}
    for scenario, variants in hashes.items():
        told = _failed(out, scenario)
        for variant, config_hash in variants.items():
            if len(results):
                rows = results[(results["scenario"] == scenario) & (results["config_hash"] == config_hash)]
                frames.append(per_seed(rows).assign(scenario=scenario, variant=variant))
            if config_hash in told:
                failures[scenario, variant] = told[config_hash]
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=REPLICATE_COLUMNS)
    versions = differing_versions(results) if len(results) else {}
    return Found(found, tuple(hashes), _notes(settings, results), failures, versions)


def times(table: AblationTable, path: Path) -> Found:
    """The inference times in a run directory; none where they have not been measured yet."""
    if not path.is_file():
        return Found(pd.DataFrame(columns=REPLICATE_COLUMNS), table.runnable(), ())
    measured = pd.read_parquet(path)
    replicates = measured.rename(columns={"milliseconds": "value", "steps": "episodes"}).assign(success=np.nan)
    devices = ", ".join(measured["device"].unique())
    threads = ", ".join(map(str, measured["threads"].unique()))
    preset = ", ".join(measured["preset"].unique())
    note = f"Milliseconds a step; preset {preset}, device {devices}, {threads} CPU thread(s) a process."
    return Found(replicates[REPLICATE_COLUMNS], tuple(measured["scenario"].unique()), (note,))


def per_seed(results: pd.DataFrame) -> pd.DataFrame:
    """Of one configuration: a row a training seed with the mean normalised score, success in percent, and episodes."""
    success = results["success"].map({True: 100.0, False: 0.0}).astype(float)
    seeds = results.assign(success=success).groupby("training_seed")
    columns = {"value": seeds["normalized_score"].mean(), "success": seeds["success"].mean(), "episodes": seeds.size()}
    return pd.DataFrame(columns).reset_index(drop=True)


def _whole(table: AblationTable, settings: SweepSettings) -> dict[str, dict[str, str]]:
    """Scenario -> row -> hash, for the scenarios on which the sweep tries every row of the table."""
    own = _of_this_preset(table, settings)
    hashes = {}
    for scenario in settings.scenarios:
        rows = {name: config.hash() for name, config in own.variant_configs(scenario).items()}
        if set(rows.values()) <= _tried(settings, scenario):
            hashes[scenario] = rows
    return hashes


def _parts(table: AblationTable, settings: SweepSettings) -> dict[str, dict[str, str]]:
    """Scenario -> row -> hash, for all rows of the table that the sweep tries on one of the table's scenarios."""
    own = _of_this_preset(table, settings).model_copy(update={"algorithm": None})  # the rows say whose they are
    hashes = {}
    for scenario in (name for name in settings.scenarios if name in table.scenarios):
        rows = {}
        for name in table.variants:
            one = own.model_copy(update={"variants_of": {scenario: (name,)}})
            with suppress(MageError):  # the sweep has overrides that do not go with this row
                rows[name] = one.variant_configs(scenario)[name].hash()
        tried = _tried(settings, scenario)
        if known := {name: config_hash for name, config_hash in rows.items() if config_hash in tried}:
            hashes[scenario] = known
    return hashes


def _of_this_preset(table: AblationTable, settings: SweepSettings) -> SweepSettings:
    """The sweep, had it been of this table alone."""
    rows = table.overrides(settings.preset, settings.overrides)
    return settings.model_copy(update={"variants": rows, "variants_of": None})


def _tried(settings: SweepSettings, scenario: str) -> set[str]:
    """Hashes of the variants that the sweep tries; of one that searches a space, none."""
    return {config.hash() for config in settings.variant_configs(scenario).values()}


def _failed(out: Path, scenario: str) -> dict[str, str]:
    """Hash -> error of the trials that failed; none while the scenario is under way."""
    trials = _tables(load_trials, out / scenario)
    if trials.empty:
        return {}
    failed = trials[trials["status"] == "failed"]
    return dict(zip(failed["config_hash"], failed["error"], strict=True))


def _tables(read: Callable[[Path], pd.DataFrame], location: Path) -> pd.DataFrame:
    """What is there, or an empty table where nothing is yet."""
    try:
        return read(location)
    except MageError:
        return pd.DataFrame()


def _notes(settings: SweepSettings, results: pd.DataFrame) -> tuple[str, ...]:
    changed = f" with {' '.join(settings.overrides)}" if settings.overrides else ""
    data = ", ".join(sorted(results["dataset_id"].unique())) if len(results) else "none yet"
    return (f"Preset {settings.preset}{changed}; {settings.seeds} training seed(s); datasets: {data}.",)
