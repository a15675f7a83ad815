"""Stages that runs share: what the first stages leave, kept whole under the hash of all that determines it.

Configurations that agree in a stage's `shared_by`, the data and the seed train it once. Of runs that go on side by side
each tells, by a file, what it has begun, so that the others may begin with another seed.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from mage.config import digest
from mage.config.upgrade import SHARED_STAGES
from mage.data.trajectories import Task
from mage.errors import DamagedError, MageError
from mage.files import check_seal, seal
from mage.interface import Algorithm, Stage
from mage.training.weights import save_weights

ARTEFACT_VERSION = 3
History = list[dict[str, float | str]]
Log = Callable[[str], None]


def artefacts_folder(folder: Path) -> Path:
    """Where a sweep keeps what its runs share; where version 0.1 kept it, if that is there."""
    old = folder / SHARED_STAGES
    return old if old.is_dir() else folder / "artefacts"


def artefact_name(stage: Stage, task: Task, seed: int) -> str:
    """Names what a stage leaves by all that determines it."""
    data = {"fingerprint": task.fingerprint, "discount": task.discount}
    key = digest({**(stage.shared_by or {}), **data, "seed": seed, "format_version": ARTEFACT_VERSION})
    return f"{stage.name}-{key}"


def parts_of(stages: Iterable[Stage], agent: Algorithm[Any]) -> dict[str, nn.Module]:
    """The networks that stages train or change otherwise, by their names in the algorithm."""
    changed = {id(part) for stage in stages for parts in [*stage.trains.values(), stage.leaves] for part in parts}
    return {name: network for name, network in agent.named_modules() if id(network) in changed}


def claim(artefact: Path) -> None:
    """Tells other runs that this one trains what will be kept there; from a full disk they hear nothing."""
    with suppress(OSError):
        artefact.parent.mkdir(parents=True, exist_ok=True)
        _claim_of(artefact).touch()


def is_claimed(artefact: Path) -> bool:
    """Whether a run has begun to train what is not kept there yet. That run may have been killed since."""
    return _claim_of(artefact).exists() and not artefact.exists()


def _claim_of(artefact: Path) -> Path:
    return artefact.with_name(f".begun-{artefact.name}")


def keep_artefact(parts: dict[str, nn.Module], history: History, target: Path, log: Log) -> None:
    """Keeps trained networks for other runs. Where the disk has no room for them they train their own."""
    stage, unfinished = target.name.rpartition("-")[0], target.with_name(f".unfinished-{uuid.uuid4().hex}")
    try:
        unfinished.mkdir(parents=True)
        for name, network in parts.items():
            save_weights(network, unfinished / f"{name}.safetensors")
        (unfinished / "history.json").write_text(json.dumps(history))
        seal(unfinished)
    except (OSError, SafetensorError, MageError) as error:
        log(f"{stage}: not kept for other trials ({getattr(error, 'strerror', None) or error})")
        shutil.rmtree(unfinished, ignore_errors=True)
        return
    if target.exists() and not is_whole(target, log):
        shutil.rmtree(target)
    try:
        os.replace(unfinished, target)
    except OSError:  # another trial has just put the same one there
        shutil.rmtree(unfinished)
    with suppress(OSError):
        _claim_of(target).unlink(missing_ok=True)


def is_whole(folder: Path, log: Log) -> bool:
    """Whether there is an artefact, as it was written; tells of one that is damaged."""
    if not folder.exists():
        return False
    try:
        check_seal(folder)
    except DamagedError as error:
        log(f"{error}; the {folder.name.rpartition('-')[0]} is trained again")
        return False
    return True


def take_artefact(parts: dict[str, nn.Module], folder: Path) -> History:
    """Loads the networks, and returns the loss curve that led to them."""
    for name, network in parts.items():
        network.load_state_dict(load_file(folder / f"{name}.safetensors"))
    history: History = json.loads((folder / "history.json").read_text())
    return history
