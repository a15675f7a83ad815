"""The Optuna study of a sweep, as its run directory keeps it; read without Ray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mage.errors import MageError

if TYPE_CHECKING:
    from optuna import Study

JOURNAL = "optuna.journal"


def load_studies(location: Path) -> Mapping[str, Study]:
    """Every study at or below a folder, by the folder of its scenario, relative to `location`.

    Raises:
        MageError: there is none, or one is damaged.
    """
    from optuna import load_study
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import get_all_study_names

    studies = {}
    for path in sorted(location.rglob(JOURNAL)):
        try:
            storage = JournalStorage(JournalFileBackend(str(path)))
            for name in get_all_study_names(storage):
                folder = path.parent.relative_to(location).as_posix()
                studies[name if folder == "." else folder] = load_study(study_name=name, storage=storage)
        except Exception as error:  # of Optuna, JSON or the file system: which one depends on where the damage is
            raise MageError(f"{path} cannot be read as a study of Optuna: {error}") from error
    if not studies:
        raise MageError(
            f"there is no {JOURNAL} at or below {location}: a sweep of a space keeps one for each scenario (variants "
            "and trainings have none)"
        )
    return studies
