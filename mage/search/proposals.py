"""What is tried next and what is ended early: Optuna's TPE, whose study is the run directory's journal, and ASHA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.storages import JournalStorage
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from mage.search.journal import JournalSearch, RunJournal
from mage.search.trial import METRIC, TIME


def make_search(name: str, first: Mapping[str, Any] | None, seed: int) -> Searcher:
    """Proposes values of fields, by the scores of those before.

    Args:
        name: of the study.
        first: what is tried before all that is proposed.
        seed: of the proposals.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return JournalSearch(
        metric=METRIC,
        mode="max",
        points_to_evaluate=[dict(first)] if first else None,
        seed=seed,
        study_name=name,
        storage=JournalStorage(RunJournal()),
    )


def make_scheduler(evaluations: int) -> TrialScheduler:
    """ASHA over the intermediate evaluations; at each, the worst third of the trials so far ends."""
    if not evaluations:
        return FIFOScheduler()
    return ASHAScheduler(time_attr=TIME, max_t=evaluations + 1, grace_period=1, reduction_factor=1.5)
