"""What a finished Tune experiment says, as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from ray import tune

from mage.config import AlgorithmConfig
from mage.errors import MageError
from mage.files import Say
from mage.progress.view import failure
from mage.results import RESULT_COLUMNS, TRIAL_COLUMNS, load
from mage.results.status import TrialStatus
from mage.search.settings import SweepSettings
from mage.search.trial import METRIC, TIME
from mage.words import in_short, plain, sentence_of

Configure = Callable[[Mapping[str, Any]], AlgorithmConfig]


def gather_results(folder: Path, say: Say) -> pd.DataFrame:
    """Every episode of every finished trial; no rows, but all columns, where none finished.

    They are read from the trials' own files: `results.parquet` may be of an earlier driver, or damaged.

    Args:
        say: is told of a file that cannot be read, which is left out.
    """
    frames = []
    for path in sorted((folder / "episodes").glob("*.parquet")):
        try:
            frames.append(load(path))
        except MageError as error:
            again = " ".join(f"mage evaluate {policy}" for policy in (folder / "policies" / path.stem).glob("seed-*"))
            say(f"{error}; these episodes are left out" + (f"; to play them again: {again}" if again else ""))
    if not frames:
        return pd.DataFrame(columns=list(RESULT_COLUMNS))
    table = pd.concat(frames, ignore_index=True)
    return table[[*RESULT_COLUMNS, *(name for name in table.columns if name not in RESULT_COLUMNS)]]


def gather_trials(grid: tune.ResultGrid, scenario: str, settings: SweepSettings, configure: Configure) -> pd.DataFrame:
    """One row a trial: its configuration, how it ended (finished, stopped early or failed), score and time."""
    rows = []
    for result in grid:
        metrics, point = result.metrics or {}, dict(result.config or {})
        rows.append(
            {
                "scenario": scenario,
                "trial_id": metrics.get("trial_id") or _trial_id(result.path),
                "status": _status(result, settings.evaluations + 1),
                "error": sentence_of(result.error) if result.error else None,
                "score": metrics.get(METRIC),
                "score_standard_error": metrics.get("score_standard_error"),
                "success_rate": metrics.get("success_rate"),
                "seeds": settings.seeds,
                "seconds": metrics.get("time_total_s"),
                "config_hash": _hash(configure, point),
                "log": result.path,
                **point,
            }
        )
    return pd.DataFrame(rows)


def failures(trials: pd.DataFrame) -> list[str]:
    """A line a failed trial of a table: where, which configuration, why, and where its log is."""
    failed = trials[trials["status"] == "failed"]
    return [
        f"{scenario}: {failure(trial)}"
        for scenario, trial in zip(failed["scenario"], ended_trials(failed), strict=True)
    ]


def ended_trials(trials: pd.DataFrame) -> list[TrialStatus]:
    """The rows of a table of trials, as the state of a sweep has them."""
    swept = [str(name) for name in trials.columns if name not in TRIAL_COLUMNS]
    ended = []
    for row in trials.astype(object).to_dict("records"):
        point = {name: plain(row[name]) for name in swept if not _is_missing(row[name])}
        known = {name: None if _is_missing(row[name]) else row[name] for name in ("score", "error", "log")}
        ended.append(
            TrialStatus(
                trial_id=row["trial_id"],
                name=in_short(point),
                configuration=point,
                status=row["status"],
                fraction=1.0,
                score=known["score"],
                reason=known["error"],
                log=known["log"],
            )
        )
    return ended


def _is_missing(value: Any) -> bool:
    """Scenarios that sweep different fields share a table."""
    return value is None or (isinstance(value, float) and value != value)


def _hash(configure: Configure, point: dict[str, Any]) -> str | None:
    try:
        return configure(point).hash()
    except MageError:  # values that exclude each other: the trial has failed with that very sentence
        return None


def _status(result: Any, last: int) -> str:
    if result.error:
        return "failed"
    reached = (result.metrics or {}).get(TIME)
    if reached is None:
        return "unfinished"
    return "finished" if reached == last else "stopped"


def _trial_id(path: str) -> str:
    """Tune names a trial's folder run_trial_<id>_<number>_<parameters>."""
    return Path(path).name.removeprefix("run_trial_").split("_")[0]
