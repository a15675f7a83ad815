"""Are the scores of a results table what its episodes brought? Plays the recorded actions again, and looks.

An episode is a function of the seed of its environment's reset and of the actions (`mage.data.environments.build`), so
on the versions that it was played with it gives the same return to the last bit, whoever chose the actions, and where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd

from mage.data.environments import begin_episode, make_environment
from mage.errors import FOREIGN_ERRORS, MageError
from mage.evaluation.recording import SUFFIX, Recording, read_recording, simulation_versions
from mage.evaluation.rollout import count_step, number_of, score_of
from mage.results import load
from mage.results.locations import all_files, open_location, read_bytes
from mage.results.store import KEY_COLUMNS
from mage.words import reason_of

SAME, DIFFERS, OTHER_VERSIONS, NOT_PLAYED, NOT_RECORDED = "same", "differs", "other versions", "not played", "no record"
MEASURED = ("return", "normalized_score", "length", "success")
ORDER = (SAME, DIFFERS, OTHER_VERSIONS, NOT_PLAYED, NOT_RECORDED)
"""Of several recordings of an episode, the one counts that comes first here."""


def verify(location: str | Path) -> pd.DataFrame:
    """Plays every recorded episode of a results table again.

    Args:
        location: as for `mage.results.load`.

    Returns:
        A row an episode of the table: `KEY_COLUMNS`, `return`, `replayed` (the return that came out) and `verdict`:
        `same` to the bit; `differs`; `other versions`, where it differs and was played with other packages than those
        here; `not played`, where its environment is not here; `no record`. `note` says what differs, and by how much.

    Raises:
        MageError: there are no results, a recording is damaged, or nothing is recorded.
    """
    table = load(location)
    claims = {_key(row): row for row in _rows(table)}
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for path, recording in _recordings(location):
        _replay(recording, path, claims, found)
    if not found:
        raise MageError(
            f"nothing to verify at {location}: {len(table)} episode(s) of which none is recorded; play them again by "
            "`mage evaluate RUN` (without --no-recording, and with evaluation.recording=true), which records them"
        )
    nothing = {"replayed": float("nan"), "verdict": NOT_RECORDED, "note": ""}
    rows = _rows(table[[*KEY_COLUMNS, "return"]])
    return pd.DataFrame([row | found.get(_key(row), nothing) for row in rows])


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _recordings(location: str | Path) -> Iterator[tuple[PurePosixPath, Recording]]:
    """Path and content of every recording at or below a folder, or beside a table; one at a time is in memory."""
    filesystem, root = open_location(location)
    if filesystem.get_file_info(root).is_file:
        root = str(PurePosixPath(root).parent)
    for path in sorted(PurePosixPath(info.path) for info in all_files(filesystem, root, location)):
        if path.suffix == SUFFIX:
            yield path, read_recording(read_bytes(filesystem, path), path)


def _replay(
    recording: Recording,
    path: PurePosixPath,
    claims: Mapping[tuple[Any, ...], dict[str, Any]],
    found: dict[tuple[Any, ...], dict[str, Any]],
) -> None:
    """Plays those episodes of a recording that are claimed and that no other recording has given yet."""
    whose = tuple(recording.of[name] for name in KEY_COLUMNS if name in recording.of)
    wanted = {
        (*whose, training_seed, episode): (episode, seed, actions)
        for training_seed, episode, seed, actions in recording
        if (*whose, training_seed, episode) in claims
        and found.get((*whose, training_seed, episode), {}).get("verdict") != SAME
    }
    if not wanted:
        return
    changed = changed_versions(recording.versions, recording.task.environment_spec)
    try:
        environment = make_environment(recording.task)
    except MageError as error:
        for key in wanted:
            found.setdefault(key, {"replayed": float("nan"), "verdict": NOT_PLAYED, "note": f"{path}: {error}"})
        return
    try:
        for key, (episode, seed, actions) in wanted.items():
            row = replay(environment, seed, episode, actions)
            row["normalized_score"] = score_of(row, recording.task)
            seen = _judged(claims[key], row, changed)
            if key not in found or ORDER.index(seen["verdict"]) < ORDER.index(found[key]["verdict"]):
                found[key] = seen
    finally:
        with suppress(*FOREIGN_ERRORS):  # of the environment's own code; all has been played
            environment.close()


def replay(environment: gym.Env, seed: int, number: int, actions: np.ndarray) -> dict[str, Any]:
    """What an episode brings: return, success and length, as `Rollout.run` adds them up; `failed` says why it broke.

    Args:
        environment: is begun anew.
        seed: of its reset.
        number: of the episode, which names its task where there are several.
        actions: (length, A), given one after the other until they or the episode end.
    """
    row: dict[str, Any] = {"return": 0.0, "success": None, "length": 0, "ended": False}
    try:
        for _ in play_again(environment, seed, number, actions, row):
            pass
    except FOREIGN_ERRORS as error:  # of the environment's own code, or of what it gave
        row["failed"] = reason_of(error)
    return row


def play_again(
    environment: gym.Env, seed: int, number: int, actions: np.ndarray, row: dict[str, Any]
) -> Iterator[None]:
    """Plays an episode as `replay` does, and pauses after its reset and after every step.

    Args:
        row: return, success and length so far, and whether it has `ended`; counted on.
    """
    begin_episode(environment, seed, number)
    yield
    for action in actions:
        _, reward, terminated, truncated, info = environment.step(action.copy())
        count_step(row, number_of(reward), info)
        row["ended"] = bool(terminated) or bool(truncated)
        yield
        if row["ended"]:
            return


def changed_versions(then: Mapping[str, str], environment_spec: str) -> list[str]:
    """What of the simulation is another one here, such as `mujoco 3.7.0, here 3.8.1`."""
    now = simulation_versions(environment_spec)
    names = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    return [f"{name} {then.get(name, 'none')}, here {now.get(name, 'none')}" for name in names]


def _judged(claim: Mapping[str, Any], row: dict[str, Any], changed: list[str]) -> dict[str, Any]:
    differing = [
        f"{name} {claim[name]} in the table, {row[name]} now" for name in MEASURED if _differ(claim, row, name)
    ]
    if "failed" in row:
        differing.append(f"its environment failed at step {row['length']}: {row['failed']}")
    elif not row["ended"]:
        differing.append(f"it has not ended after {row['length']} steps")
    verdict = SAME if not differing else OTHER_VERSIONS if changed else DIFFERS
    note = "; ".join(differing + (changed if differing else []))
    return {"replayed": row["return"], "verdict": verdict, "note": note}


def _differ(claim: Mapping[str, Any], row: Mapping[str, Any], name: str) -> bool:
    """To the bit; of what is not known, both are."""
    one, other = claim[name], row[name]
    unknown = [bool(pd.isna(value)) for value in (one, other)]
    return unknown[0] != unknown[1] if any(unknown) else bool(one != other)


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY_COLUMNS)
