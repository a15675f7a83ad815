"""How far a sweep is, as its `status.json` says: written by the driver while it runs, read by anyone, without Ray.

The file outlives its driver. Whoever reads it tells from `updated`, which a living driver renews at least every
`HEARTBEAT` seconds, whether the sweep still runs.
"""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, computed_field

from mage.errors import MageError
from mage.files import finite, write_json
from mage.results.locations import all_files, open_location, read_bytes

FILE = "status.json"
HEARTBEAT = 30.0
STALE = 4 * HEARTBEAT
ENDED = ("finished", "stopped", "failed")


class TrialStatus(BaseModel):
    """One trial that has begun.

    `status` is `stopped` where the scheduler ended it early, `interrupted` where its driver went away; `doing` says
    what it does, `fraction` how much of its training is done; `step` and `steps` are those of the stage.
    """

    trial_id: str
    name: str = Field(description="the configuration in short")
    configuration: dict[str, Any]
    status: Literal["running", "finished", "stopped", "failed", "interrupted"] = "running"
    doing: str | None = None
    seed: int | None = None
    stage: str | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    fraction: float = 0.0
    score: float | None = None
    reason: str | None = None
    log: str | None = None


class SweepStatus(BaseModel):
    """All trials of one scenario; `trials_wanted` of `seeds` training seeds each."""

    scenario: str
    state: Literal["waiting", "running", "finished", "interrupted"] = "waiting"
    trials_wanted: int
    seeds: int
    trials: list[TrialStatus] = []
    seconds: float = Field(0.0, description="that a driver has worked on it")
    started: datetime | None = None
    updated: datetime | None = None
    host: str | None = Field(None, description="of the driver")
    pid: int | None = Field(None, description="of the driver")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def counts(self) -> dict[str, int]:
        """Trials by how they stand; those that wait are `left`."""
        kinds = ("finished", "stopped", "failed", "running", "interrupted")
        counts = {kind: sum(trial.status == kind for trial in self.trials) for kind in kinds}
        return counts | {"left": max(0, self.trials_wanted - len(self.trials))}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def best(self) -> TrialStatus | None:
        """The trial with the highest final score."""
        scored = [trial for trial in self.trials if trial.status == "finished" and trial.score is not None]
        return max(scored, key=lambda trial: trial.score or 0.0, default=None)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def seconds_left(self) -> float | None:
        """An estimate from the work done so far; None as long as that is next to nothing, or nobody works."""
        done = sum(1.0 if trial.status in ENDED else trial.fraction for trial in self.trials)
        if self.state != "running" or done < 0.02:
            return None
        return self.seconds * max(0.0, self.trials_wanted - done) / done

    def trial(self, trial_id: str) -> TrialStatus | None:
        """The trial of that id, if it has begun."""
        return next((trial for trial in self.trials if trial.trial_id == trial_id), None)

    def age(self, now: datetime | None = None) -> float:
        """Seconds since the driver last wrote."""
        return ((now or datetime.now(UTC)) - self.updated).total_seconds() if self.updated else 0.0

    def has_driver_here(self) -> bool:
        """Whether the process that says it works on the sweep is alive, on this machine, and another one than this."""
        is_at_work = self.state in ("waiting", "running") and self.age() < STALE
        if not is_at_work or self.host != socket.gethostname() or self.pid in (None, os.getpid()):
            return False
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state != "Z"  # one that was killed, and that nobody has buried

    def is_stale(self, now: datetime | None = None) -> bool:
        """Whether it says that it runs and yet its driver has not written for long: it was killed, or its disk is."""
        return self.state == "running" and self.age(now) > STALE


def write_status(status: SweepStatus, folder: Path) -> None:
    """Writes `status.json` whole or not at all; MageError where that is not possible."""
    write_json(folder / FILE, status.model_dump(mode="json"))


def read_status(folder: Path) -> SweepStatus | None:
    """What a scenario's folder on this machine says; None where nothing is there, or nothing of use."""
    try:
        return SweepStatus.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def load_statuses(location: str | Path) -> dict[str, SweepStatus]:
    """Every status at or below a run directory, or the URI of one, by the path from there to its folder.

    Raises:
        MageError: no sweep that writes its status is there, or one is damaged.
    """
    found = statuses_if_any(location)
    if not found:
        raise MageError(f"no sweep says how far it is at {location}: there is no {FILE}, there or below")
    return found


def statuses_if_any(location: str | Path) -> dict[str, SweepStatus]:
    """As `load_statuses`, but empty where there is none."""
    filesystem, root = open_location(location)
    paths = [PurePosixPath(info.path) for info in all_files(filesystem, root, location)]
    statuses = {}
    for path in sorted(path for path in paths if path.name == FILE):
        try:
            status = SweepStatus.model_validate_json(read_bytes(filesystem, path))
        except ValidationError:
            raise MageError(f"{path} is damaged, or of another version of mage") from None
        folder = path.parent.relative_to(root).as_posix() if path.parent.is_relative_to(root) else "."
        statuses[folder] = status
    return statuses


def as_json(statuses: dict[str, SweepStatus]) -> str:
    """All of it for programs: a list of the files' contents, each with its `folder`, and whether it is `stale`."""
    now = datetime.now(UTC)
    rows = [
        {"folder": folder, "stale": status.is_stale(now), **status.model_dump(mode="json")}
        for folder, status in statuses.items()
    ]
    return json.dumps(finite(rows), indent=1, allow_nan=False)
