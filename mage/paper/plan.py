"""What tables cost before they are run: trainings, stages that are shared, and core-hours where they were measured."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from mage import scenarios
from mage.config import AlgorithmConfig, digest, load_config
from mage.search.settings import SweepSettings
from mage.search.variants import distinct

GPUS = (1, 8, 64)
SECONDS_AN_HOUR = 3600.0
COLUMNS = ["scenario", "algorithm", "configurations", "trainings", "shared_stages", "measured", "core_hours"]


def plan(settings: SweepSettings, costs: pd.DataFrame) -> pd.DataFrame:
    """A row a scenario and algorithm: what a sweep of variants trains there.

    Columns: scenario, algorithm, configurations (distinct), trainings (of all seeds), shared_stages (first stages that
    are taken from another training), measured (trainings whose configuration's cost is known) and core_hours (of those,
    with their evaluations; NaN where none is). A cost is known where a preset as it is was measured on that very
    scenario, each of its trainings for itself: what shared stages save is not taken off.

    Args:
        settings: of the sweep.
        costs: as from `mage.results.costs()`.
    """
    rows = []
    for scenario in settings.scenarios:
        of_algorithm: dict[str, list[AlgorithmConfig]] = {}
        for config in distinct(settings.variant_configs(scenario)).values():
            of_algorithm.setdefault(config.algorithm, []).append(config)
        for algorithm, configs in of_algorithm.items():
            hours = [one for config in configs for one in _hours(config, scenario, settings, costs)]
            rows.append(
                {
                    "scenario": scenario,
                    "algorithm": algorithm,
                    "configurations": len(configs),
                    "trainings": len(configs) * settings.seeds,
                    "shared_stages": _shared(configs) * settings.seeds,
                    "measured": len(hours) * settings.seeds,
                    "core_hours": sum(hours) * settings.seeds if hours else math.nan,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _shared(configs: list[AlgorithmConfig]) -> int:
    """How many of an algorithm's trainings on the same data and seed find their first stage done."""
    keys = [digest(key) for config in configs if (key := config.shared_key()) is not None]
    return len(keys) - len(set(keys))


def _hours(config: AlgorithmConfig, scenario: str, settings: SweepSettings, costs: pd.DataFrame) -> Iterator[float]:
    """Core-hours of one training and its evaluation; nothing where they were not measured."""
    at = (costs["scenario"] == scenario) & (costs["algorithm"] == config.algorithm)
    known = costs[at & (costs["preset"] == settings.preset)]
    if known.empty:
        return
    own = scenarios.get(scenario)
    preset = load_config(settings.preset, (), own.domain, config.algorithm, scenario)
    if config.hash() == preset.hash():
        cost = known.iloc[-1]
        episodes = settings.episodes or config.evaluation.episodes or own.evaluation_episodes
        yield (cost["training_cpu_seconds"] + episodes * cost["cpu_seconds_per_episode"]) / SECONDS_AN_HOUR


def summary_of(planned: pd.DataFrame) -> list[str]:
    """What all of it comes to, a line each: trainings, core-hours, and what GPUs make of it."""
    trainings, measured = int(planned["trainings"].sum()), int(planned["measured"].sum())
    shared, configurations = int(planned["shared_stages"].sum()), int(planned["configurations"].sum())
    lines = [
        f"trainings: {trainings}, of {configurations} configurations; {shared} take their first stage from another"
    ]
    hours = f"{planned['core_hours'].sum():.1f} for {measured} of the trainings" if measured else "unknown"
    unknown = f", unknown for {trainings - measured}" if 0 < measured < trainings else ""
    lines.append(f"core-hours, with evaluations: {hours}{unknown}")
    for gpus in GPUS:
        rounds = math.ceil(trainings / gpus)
        lines.append(
            f"{gpus} GPU{'s' * (gpus > 1)}, a training each at a time: {rounds} one after another; hours unknown"
        )
    return lines
