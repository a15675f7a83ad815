"""Selection and report apart: what a sweep has chosen is trained anew, with seeds that had no say in the choice.

The best of several configurations has the highest of as many noisy scores, so its own score flatters it, the more so
the more were tried. Scores of fresh seeds do not. Both are kept: the choice in the run directory of the sweep, the
report below it in `fresh_seeds/`, a sweep of its own with one configuration a scenario.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mage.config import AlgorithmConfig
from mage.errors import MageError
from mage.interface.policy import read_config
from mage.results import load_trials, summary, write_parquet
from mage.results.locations import FRESH_SEEDS
from mage.run_directory import differences
from mage.search.settings import SweepSettings, make_settings
from mage.search.sweep import run_sweep

TABLE = f"{FRESH_SEEDS}/chosen.parquet"


def report_chosen(
    settings: SweepSettings, out: Path, seeds: int, address: str | None = None, track: Sequence[str] = ()
) -> pd.DataFrame:
    """Trains and plays the best configuration of each scenario of a sweep that has ended, with fresh seeds.

    What is there from an earlier call is kept, so it goes on where it was interrupted.

    Args:
        settings: of the sweep.
        out: its run directory.
        seeds: how many; they follow the sweep's own.

    Returns:
        A row a scenario: scenario, algorithm, config_hash; trials and seeds, what the choice has cost; chosen_mean
        and chosen_standard_error, of the seeds that chose; fresh_seeds, fresh_mean and fresh_standard_error. Scores
        are returns where nothing normalises them. It is kept as `fresh_seeds/chosen.parquet`.

    Raises:
        MageError: no trial of a scenario finished, or an earlier report was of other settings.
    """
    chosen = pd.DataFrame([_best(settings, out, name) for name in settings.scenarios])
    fresh = _sweep_of(settings, out, dict(zip(chosen["scenario"], chosen["config_hash"], strict=True)), seeds)
    folder = out / FRESH_SEEDS
    results = run_sweep(fresh, folder, (folder / "sweep.json").exists(), address, track, goes_on=out)
    if results.empty:
        raise MageError(f"no training with a fresh seed finished; see {folder / 'trials.parquet'}")
    measured = summary(results)
    score = measured["mean"].fillna(measured["mean_return"])
    error = measured["standard_error"].where(measured["mean"].notna())
    found = measured.assign(fresh_seeds=measured["seeds"], fresh_mean=score, fresh_standard_error=error)
    columns = ["scenario", "algorithm", "config_hash", "fresh_seeds", "fresh_mean", "fresh_standard_error"]
    table = chosen.merge(found[columns], on=["scenario", "config_hash"], how="left")
    write_parquet(table, out / TABLE)
    return table


def _best(settings: SweepSettings, out: Path, scenario: str) -> dict[str, object]:
    """The finished trial of the highest score, and what it was chosen from."""
    trials = load_trials(out / scenario / "trials.parquet")
    finished = trials[trials["status"] == "finished"].sort_values("score", ascending=False, kind="stable")
    if finished.empty:
        raise MageError(f"no trial on {scenario} finished, so none was chosen; see {out / scenario / 'trials.parquet'}")
    best = finished.iloc[0]
    return {
        "scenario": scenario,
        "config_hash": best["config_hash"],
        "trials": len(trials),
        "seeds": settings.seeds,
        "chosen_mean": best["score"],
        "chosen_standard_error": best["score_standard_error"],
    }


def _sweep_of(settings: SweepSettings, out: Path, chosen: dict[str, str], seeds: int) -> SweepSettings:
    """The sweep of one variant a scenario, named for it."""
    variants = {}
    for scenario, config_hash in chosen.items():
        policy = out / scenario / "policies" / config_hash / f"seed-{settings.first_seed}"
        variants[f"chosen on {scenario}"] = _changes(settings.config(scenario), read_config(policy))
    fresh = make_settings(
        **settings.model_dump(exclude={"space", "trials", "search_seed", "intermediate_evaluations"})
        | {
            "variants": variants,
            "variants_of": {scenario: (f"chosen on {scenario}",) for scenario in chosen},
            "seeds": seeds,
            "first_seed": settings.first_seed + settings.seeds,
        }
    )
    for scenario, config_hash in chosen.items():
        (config,) = fresh.variant_configs(scenario).values()
        if config.hash() != config_hash:
            raise MageError(f"what {out} has chosen on {scenario} is of another version of mage, and is not that here")
    return fresh


def _changes(base: AlgorithmConfig, chosen: AlgorithmConfig) -> tuple[str, ...]:
    """Overrides that make one configuration of the other."""
    changed = differences(base.model_dump(mode="json"), chosen.model_dump(mode="json"))
    return tuple(f"{name}={json.dumps(value)}" for name, (_, value) in changed.items())
