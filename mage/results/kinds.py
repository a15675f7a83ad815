"""Which files of a run are results: what people look at, and neither weights nor checkpoints nor logs."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import PurePosixPath

RESULT_FILES = (
    "results.parquet",
    "trials.parquet",
    "episodes.parquet",
    "episodes/*.parquet",
    "table-*.parquet",
    "table-*.md",
    "inference_time.parquet",
    "config.json",
    "run.json",
    "sweep.json",
    "optuna.journal",
    "status.json",
    "inspection.json",
    "metrics.jsonl",
    "*.png",
)

SHARED_STAGE = "*-" + 12 * "[0-9a-f]"
"""The name of a stage that runs share, by the hash of all that determines it."""

NOT_ENTERED = (".*", "checkpoint_*", "run_trial_*", SHARED_STAGE)
"""Folders of Ray's and ours that hold no results, but files of these names or very many."""


def is_result(path: PurePosixPath) -> bool:
    """Whether a file, its path relative to the run, is a result."""
    entered = not any(fnmatch(folder, pattern) for folder in path.parts[:-1] for pattern in NOT_ENTERED)
    return entered and any(path.match(pattern) for pattern in RESULT_FILES)
