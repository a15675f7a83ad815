"""Results and trials tables small enough to check by hand."""

from typing import Any

import pandas as pd

from mage.results import RESULT_COLUMNS, TRIAL_COLUMNS


def results(scores: dict[int, list[float]], **columns: Any) -> pd.DataFrame:
    """One configuration: the normalised scores of the episodes of each training seed; `columns` replace or add some."""
    rows = [
        {
            "scenario": "pen-expert",
            "algorithm": "mage",
            "config_hash": "0123456789ab",
            "training_seed": seed,
            "episode": episode,
            "return": 10.0 * score,
            "normalized_score": score,
            "success": score > 0,
            "length": 100,
            "dataset_id": "local/pen/expert-v0",
            "target_return": 3000.0,
            "warning": None,
            "environment_version": None,
            **columns,
        }
        for seed, of_seed in scores.items()
        for episode, score in enumerate(of_seed)
    ]
    return pd.DataFrame(rows, columns=[*RESULT_COLUMNS, *(name for name in columns if name not in RESULT_COLUMNS)])


def trials(parameters: dict[str, list[Any]], scores: list[float | None], **columns: Any) -> pd.DataFrame:
    """A trial a score; one without a score has failed."""
    rows = [
        {
            "scenario": "maze2d-umaze",
            "trial_id": f"trial_{index}",
            "status": "failed" if score is None else "finished",
            "error": "RuntimeError: out of memory" if score is None else None,
            "score": float("nan") if score is None else score,
            "score_standard_error": float("nan") if score is None else 4.0,
            "success_rate": 50.0,
            "seconds": 12.5,
            "config_hash": f"{index:012x}",
            "seeds": 2,
            **columns,
            **{name: values[index] for name, values in parameters.items()},
        }
        for index, score in enumerate(scores)
    ]
    return pd.DataFrame(rows, columns=[*TRIAL_COLUMNS, *parameters])
