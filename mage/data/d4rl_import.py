"""Imports a D4RL HDF5 file as a Minari dataset, its episodes split as D4RL's own `sequence_dataset` does.

Shapes: N rows (s_t, a_t, r_t, terminal_t, timeout_t) of a file, E episodes, S observation size, A action size.
A terminal ends an episode in a terminal state, a timeout cuts it off; a file without timeouts cuts at the time limit.
The rows after the last end are of no finished episode and are dropped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from mage import scenarios
from mage.data.environments import build, registered_spec, warned_once
from mage.data.minari_writer import check_new, check_room, write_dataset
from mage.errors import MageError
from mage.scenarios import Scenario

REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")
WIDE = ("observations", "actions", "next_observations")
# Ant-v2 shows 84 contact forces after its 27 numbers; mujoco-py 2.0, which D4RL used, left them zero.
ANT_CONTACT_FORCES = 84


@dataclass(frozen=True)
class Imported:
    """What an import made of a file; environment is the id of the evaluation environment, None without one."""

    dataset_id: str
    scenario: Scenario
    episodes: int
    steps: int
    terminated: int
    one_step_episodes: int
    dropped_steps: int
    trimmed_observations: int
    environment: str | None


class _File(NamedTuple):
    """observations (N, S), actions (N, A), rewards (N,) and last_observations (N, S), those after each row, float32.

    terminals (N,) and timeouts (N,) are bool; timeouts is None in files that have none.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminals: np.ndarray
    timeouts: np.ndarray | None
    next_observations: np.ndarray


def import_d4rl(path: Path, scenario_name: str | None = None, dataset_id: str | None = None) -> Imported:
    """Writes the file's episodes as a Minari dataset, with the environment that equals D4RL's if there is one.

    Args:
        path: of the HDF5 file.
        scenario_name: whose data it is; by default the one that D4RL's name of the file stands for.
        dataset_id: to write; by default where the scenario looks for imported data.

    Raises:
        MageError: the file is unreadable, damaged, not in D4RL's layout or not of the scenario's environment, the
            dataset is there already, or the disk is too small. Nothing is left behind then.
    """
    scenario = scenarios.get(scenario_name) if scenario_name else scenario_of_file(path)
    if scenario.d4rl_name is None:
        raise MageError(f"D4RL has no data of {scenario.name}; `mage scenarios` lists where its data comes from.")
    dataset_id = dataset_id or scenario.imported_dataset_id
    check_new(dataset_id)
    file = _read(path, dataset_id)
    specification, observation_space, action_space = _environment(scenario, file)
    kept = observation_space.shape[0]
    trimmed = file.observations.shape[1] - kept
    _check_sizes(path, file, specification, kept, action_space.shape[0])
    limit = scenario.max_episode_steps
    ends = episode_ends(file.terminals, file.timeouts, limit)
    if not len(ends):
        raise MageError(f"No episode ends in {path}: none of its {len(file.rewards)} rows is a terminal or a timeout.")
    check_room(dataset_id, int(ends[-1]), kept + file.actions.shape[1], len(ends))
    with warned_once():
        write_dataset(
            dataset_id,
            _episodes(file, ends, kept),
            specification,
            scenario.reference_scores,
            _description(path, scenario, trimmed),
            algorithm=f"D4RL, {scenario.d4rl_name}",
            box_spaces=(observation_space, action_space),
        )
    lengths = np.diff(ends, prepend=0)
    return Imported(
        dataset_id=dataset_id,
        scenario=scenario,
        episodes=len(ends),
        steps=int(ends[-1]),
        terminated=int(file.terminals[ends - 1].sum()),
        one_step_episodes=int((lengths == 1).sum()),
        dropped_steps=len(file.rewards) - int(ends[-1]),
        trimmed_observations=trimmed,
        environment=specification.id if specification else None,
    )


def scenario_of_file(path: Path) -> Scenario:
    """The scenario whose D4RL file has that name; no such scenario raises MageError."""
    for scenario in map(scenarios.get, scenarios.names()):
        known = {scenario.d4rl_file, f"{scenario.d4rl_name}.hdf5"}
        if path.name.replace("_", "-") in {name.replace("_", "-") for name in known if name}:
            return scenario
    raise MageError(f"{path.name} is no name of a D4RL file that a scenario uses; say which it is with --scenario.")


def episode_ends(terminals: np.ndarray, timeouts: np.ndarray | None, max_episode_steps: int) -> np.ndarray:
    """The rows after each episode's last, (E,) int64.

    Args:
        terminals: (N,) bool.
        timeouts: (N,) bool, None where the file has none.
        max_episode_steps: cuts episodes where there are no timeouts.
    """
    if timeouts is not None:
        return np.flatnonzero(terminals | timeouts) + 1
    rows = np.arange(len(terminals))
    begins = np.concatenate([[True], terminals[:-1]])
    step = rows - np.maximum.accumulate(np.where(begins, rows, 0))  # since the last terminal
    return np.flatnonzero(terminals | ((step + 1) % max_episode_steps == 0)) + 1


def _read(path: Path, dataset_id: str) -> _File:
    with _opened(path) as file:
        _check_layout(path, file)
        rows = len(file["rewards"])
        check_room(dataset_id, rows, file["observations"].shape[1] + file["actions"].shape[1])
        observations = _numbers(path, file, "observations")
        has_next = "next_observations" in file
        return _File(
            observations,
            _numbers(path, file, "actions"),
            _numbers(path, file, "rewards").reshape(rows),
            _numbers(path, file, "terminals").reshape(rows).astype(bool),
            _numbers(path, file, "timeouts").reshape(rows).astype(bool) if "timeouts" in file else None,
            _numbers(path, file, "next_observations") if has_next else observations,
        )


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """The file, or a MageError for one that is missing, no HDF5, truncated or damaged."""
    if not path.is_file():
        raise MageError(f"There is no file {path}.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise MageError(f"{path} is not a whole HDF5 file ({reason}); get it again.") from error


def _check_layout(path: Path, file: h5py.File) -> None:
    missing = [name for name in REQUIRED if not isinstance(file.get(name), h5py.Dataset)]
    if missing:
        raise MageError(
            f"{path} has no {', '.join(missing)}, so it is no D4RL file; at its top level it has "
            f"{', '.join(sorted(map(str, file))) or 'nothing'}."
        )
    rows = file["rewards"].shape[0] if file["rewards"].shape else 0
    if not rows:
        raise MageError(f"{path} has no rows; there is nothing to import.")
    for name in filter(file.__contains__, (*REQUIRED, *OPTIONAL)):
        part = file[name]
        of_rows = len(part.shape) == 2 if name in WIDE else part.shape in ((rows,), (rows, 1))
        if not of_rows or part.shape[0] != rows:
            expected = f"({rows}, values of a row)" if name in WIDE else f"({rows},)"
            raise MageError(f"The {name} of {path} have the shape {part.shape}; of {rows} rewards it is {expected}.")
        if part.dtype.kind not in "fiub":
            raise MageError(f"The {name} of {path} are of the type {part.dtype}, which is no number.")
    if "next_observations" in file and file["next_observations"].shape != file["observations"].shape:
        raise MageError(f"The next_observations of {path} are of another size than its observations.")


def _numbers(path: Path, file: h5py.File, name: str) -> np.ndarray:
    """The part as float32; a value that is not finite raises MageError."""
    with np.errstate(over="ignore"):  # what overflows is not finite either
        values = file[name][()].astype(np.float32)
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise MageError(
            f"The {name} of {path} are not finite in {int(bad.sum())} rows, first in row "
            f"{int(np.flatnonzero(bad)[0])}; repair the file or get it again."
        )
    return values


def _environment(scenario: Scenario, file: _File) -> tuple[EnvSpec | None, spaces.Box, spaces.Box]:
    """What observes and acts as the file does, with its spaces; without one, spaces of the file's sizes."""
    if scenario.d4rl_environment is None:
        sizes = file.observations.shape[1], file.actions.shape[1]
        # D4RL's mazes and kitchen take actions between -1 and 1
        return None, spaces.Box(-np.inf, np.inf, sizes[:1], np.float32), spaces.Box(-1, 1, sizes[1:], np.float32)
    specification = registered_spec(scenario, scenario.d4rl_environment)
    environment = build(specification)
    observation_space, action_space = environment.observation_space, environment.action_space
    environment.close()
    assert isinstance(observation_space, spaces.Box) and isinstance(action_space, spaces.Box)
    return specification, observation_space, action_space


def _check_sizes(path: Path, file: _File, specification: EnvSpec | None, observed: int, acted: int) -> None:
    if specification is None:
        return
    shown, actions = file.observations.shape[1], file.actions.shape[1]
    contact_forces = specification.id.startswith("Ant-") and shown == observed + ANT_CONTACT_FORCES
    if (shown != observed and not contact_forces) or actions != acted:
        raise MageError(
            f"{path} has {shown} observation and {actions} action values, {specification.id} has {observed} and "
            f"{acted}; it is of another environment, so name its scenario with --scenario."
        )
    if contact_forces and (file.observations[:, observed:].any() or file.next_observations[:, observed:].any()):
        raise MageError(
            f"{path} has contact forces that are not zero, which {specification.id} does not show; it was not recorded "
            "with D4RL's version of mujoco."
        )


def _episodes(file: _File, ends: np.ndarray, kept: int) -> Iterator[dict]:
    """The arguments of Minari's EpisodeBuffer; after the last action comes what the file says, else the last again."""
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        steps, terminated = end - first, bool(file.terminals[end - 1])
        is_last = np.arange(steps) == steps - 1
        shown = np.concatenate([file.observations[first:end], file.next_observations[end - 1 : end]])
        yield {
            "observations": shown[:, :kept],
            "actions": file.actions[first:end],
            "rewards": file.rewards[first:end],
            "terminations": is_last & terminated,
            "truncations": is_last & (not terminated),
        }


def _description(path: Path, scenario: Scenario, trimmed: int) -> str:
    trim = f" The last {trimmed} observation values, all zero, were left out." if trimmed else ""
    return (
        f"D4RL's {scenario.d4rl_name}, imported from {path.name} by MAGE on Ray. Terminals end episodes, timeouts cut "
        f"them off; rows after the last end were dropped.{trim}"
    )
