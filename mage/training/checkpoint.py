"""Checkpoints: whole or not there, verified when read, with the one before as a fallback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mage.errors import DamagedError, MageError
from mage.files import check_seal, seal
from mage.training.artefacts import Log
from mage.training.trainer import Trainer

KEPT = 2
"""Checkpoints kept of a run: a damaged one falls back to the one before."""


HERE, ON_WORKERS = "checkpoints", "training"
"""Where a run directory keeps the checkpoints of a training in one process, and on Ray workers."""


def check_where(folder: Path, workers: int) -> None:
    """MageError where the checkpoints of a run are those of Ray workers, and it is to go on without, or the reverse."""
    on_workers, here = (folder / ON_WORKERS).is_dir(), bool(kept_checkpoints(folder / HERE))
    if workers and here and not on_workers:
        raise MageError(f"the run in {folder} was trained in one process: resume it without workers")
    if not workers and on_workers and not here:
        raise MageError(f"the run in {folder} was trained on Ray workers: resume it with --workers N (`workers=N`)")


def keep_checkpoint(trainer: Trainer, folder: Path) -> None:
    """Writes a sealed checkpoint under a name that only a whole one has, then drops those that are not needed."""
    unfinished = folder / f".step-{trainer.step:09d}"
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed while it wrote
    trainer.save(unfinished)
    seal(unfinished)
    unfinished.rename(folder / f"step-{trainer.step:09d}")
    for old in kept_checkpoints(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def kept_checkpoints(folder: Path) -> list[Path]:
    """Those of a run in this process, the newest first."""
    return sorted(folder.glob("step-*"), reverse=True)


def load_newest(checkpoints: Iterable[AbstractContextManager[Path]], load: Callable[[Path], None], log: Log) -> None:
    """Loads the first checkpoint that is whole; `checkpoints` begin with the newest.

    Raises:
        DamagedError: there are some, and none is whole.
        MageError: the one that is whole is of another run.
    """
    damage: DamagedError | None = None
    for checkpoint in checkpoints:
        with checkpoint as folder:
            if damage:
                log(f"{damage}; the checkpoint before it is tried")
            try:
                check_seal(folder)
            except DamagedError as error:
                damage = error
                continue
            load(folder)
            return
    if damage:
        raise DamagedError(f"{damage}, and there is no whole checkpoint before it; use a new --out")


def resume_training(trainer: Trainer, folder: Path) -> None:
    """Goes on from the newest whole checkpoint that `keep_checkpoint` wrote, if there is any."""
    load_newest(map(nullcontext, kept_checkpoints(folder)), trainer.load, trainer.log)
