"""OGBench's datasets as Minari datasets: with the rewards of a scenario's single task, or with goals (`ogbench_goals`).

OGBench publishes walks to random goals as an .npz file. Its N rows are (s_t, a_t, terminal_t) and the simulator's
positions; the last row of a walk, its terminal, holds the state that was reached and an action nobody took. Its reward
of a row is 0 if s_t is at the task's goal and -1 otherwise, and there the environment ends the episode. So a walk is
cut into episodes that end at the goal; what it does there before it leaves is of no episode. We store the reward + 1.
"""

import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
from gymnasium.envs.registration import EnvSpec

from mage import scenarios
from mage.data.environments import GOAL_MAZE, build, import_ogbench, registered_spec
from mage.data.minari_writer import check_free_space, check_new, check_room, dataset_is_local, write_dataset
from mage.data.ogbench_goals import columns, pieces_of_file
from mage.errors import MageError
from mage.scenarios import Scenario

NAMESPACE = "ogbench"
GOAL_PAYS = 1.0
"""Added to OGBench's rewards: 1 at the goal, 0 elsewhere. With -1 a step, the returns-to-go before the cut-off end of a
walk, which are what we condition on, would be as high as those before the goal.
"""
PARTS = ("observations", "actions", "terminals", "qpos")


def download(dataset_id: str) -> None:
    """Makes ogbench/<maze>/navigate-v0 of OGBench's file, which is downloaded if it is not in its folder yet.

    The folder is OGBENCH_DATA_DIR, else OGBench's own, ~/.ogbench/data; the file stays there. A missing package, a lost
    connection, too little space and a damaged file raise MageError.
    """
    if dataset_is_local(dataset_id):
        return
    scenario = _scenario_of(dataset_id)
    import_ogbench()
    check_new(dataset_id)
    rows = read_file(_obtain(scenario.ogbench_file or scenario.name))
    spec = registered_spec(scenario)
    episodes, said = _of_goals(rows, spec) if spec.id == GOAL_MAZE else _of_a_task(rows, scenario)
    if not episodes:
        raise MageError(f"OGBench's file of {scenario.name} has no whole walk; delete it, and it is downloaded again.")
    width = episodes[0]["observations"].shape[1] + rows["actions"].shape[1]
    check_room(dataset_id, sum(len(one["actions"]) for one in episodes), width, len(episodes))
    write_dataset(
        dataset_id,
        episodes,
        spec,
        reference_scores=None,  # the scenario's score is the success rate
        description=f"OGBench's {scenario.ogbench_file or scenario.name} {said}",
        algorithm=f"OGBench, {scenario.name}",
    )


def _of_a_task(rows: dict[str, np.ndarray], scenario: Scenario) -> tuple[list[dict], str]:
    """The episodes of the scenario's single task, and what is said of them."""
    rewards = task_rewards(scenario, rows["qpos"])
    spans = list(episode_spans(rows["terminals"], rewards))
    reached = sum(bool(rewards[end - 1] == 0) for _, end in spans)
    return [_episode(rows, rewards, first, end) for first, end in spans], (
        f"with the rewards of {scenario.environment}, by MAGE on Ray. Walks are cut where they reach the task's goal: "
        f"{reached} of {len(spans)} episodes end there."
    )


def _of_goals(rows: dict[str, np.ndarray], spec: EnvSpec) -> tuple[list[dict], str]:
    """The pieces of all walks, and what is said of them."""
    episodes = [columns(piece) for piece in pieces_of_file(rows, spec)]
    return episodes, (
        f"by MAGE on Ray. Walks are cut into {len(episodes)} pieces; an observation is the state and, beside it, the "
        "state that its piece ends in."
    )


def read_file(path: Path) -> dict[str, np.ndarray]:
    """The PARTS of an OGBench file, by name; one that is truncated or has another layout raises MageError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in PARTS if name not in file]
            if missing:
                raise MageError(f"{path} has no {', '.join(missing)}; it is not a file of OGBench's mazes.")
            rows = {name: file[name] for name in PARTS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MageError(f"{path} is not a whole .npz file ({error}); delete it, and it is downloaded again.") from error
    lengths = {name: len(values) for name, values in rows.items()}
    if len(set(lengths.values())) > 1:
        raise MageError(f"The parts of {path} have different numbers of rows: {lengths}.")
    return rows | {name: rows[name].astype(np.float32, copy=False) for name in ("observations", "actions")}


def task_rewards(scenario: Scenario, positions: np.ndarray) -> np.ndarray:
    """OGBench's own rewards of the scenario's single task, (N,) float32, for the simulator's positions (N, Q)."""
    import_ogbench()
    from ogbench.relabel_utils import relabel_dataset

    environment = build(registered_spec(scenario))
    rows = {"qpos": positions}
    relabel_dataset(scenario.environment, environment, rows)
    environment.close()
    return rows["rewards"]


def episode_spans(terminals: np.ndarray, rewards: np.ndarray) -> Iterator[tuple[int, int]]:
    """(first row, row after the last step) of each episode: a walk's stretches away from the goal, each with the first
    step at the goal that follows it. Row `end` then holds the state after the last step.
    """
    at_goal = rewards == 0
    first = 0
    for last in np.flatnonzero(terminals).tolist():
        away = np.flatnonzero(np.diff(np.concatenate([[True], at_goal[first:last], [True]])))
        # at even places a stretch begins, at odd ones the goal does or the walk ends
        for begin, end in away.reshape(-1, 2) + first:
            yield int(begin), min(int(end) + 1, last)
        first = last + 1


def _episode(rows: dict[str, np.ndarray], rewards: np.ndarray, first: int, end: int) -> dict:
    """The arguments of Minari's EpisodeBuffer."""
    is_last = np.arange(first, end) == end - 1
    terminated = rewards[end - 1] == 0
    return {
        "observations": rows["observations"][first : end + 1],
        "actions": rows["actions"][first:end],
        "rewards": rewards[first:end] + GOAL_PAYS,
        "terminations": is_last & terminated,
        "truncations": is_last & ~terminated,
    }


def _scenario_of(dataset_id: str) -> Scenario:
    known = {name: scenario for scenario in map(scenarios.get, scenarios.names()) for name in scenario.dataset_ids}
    if dataset_id not in known:
        ours = ", ".join(name for name in known if name.startswith(f"{NAMESPACE}/"))
        raise MageError(f"There is no OGBench dataset {dataset_id}; there are {ours}.")
    return known[dataset_id]


def _obtain(name: str) -> Path:
    """OGBench's file of that name, downloaded if it is not there."""
    from ogbench import utils

    folder = Path(os.environ.get("OGBENCH_DATA_DIR") or utils.DEFAULT_DATASET_DIR).expanduser()
    path = folder / f"{name}.npz"
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        urls = [f"{utils.DATASET_URL}/{name}{part}.npz" for part in ("", "-val")]
        check_free_space(folder, sum(map(_remote_bytes, urls)), name)
        with redirect_stdout(sys.stderr):
            utils.download_datasets([name], str(folder))
        if not zipfile.is_zipfile(path):  # OGBench does not notice a connection that ends early
            path.unlink()
            raise OSError("the connection ended early")
    except OSError as error:
        raise MageError(
            f"OGBench's file {name}.npz could not be downloaded ({error}); put it into {folder}, or set "
            "OGBENCH_DATA_DIR to the folder that has it."
        ) from error
    finally:
        for part in folder.glob(f"{name}*.npz.tmp"):
            part.unlink()
    return path


def _remote_bytes(url: str) -> int:
    with urlopen(Request(url, method="HEAD"), timeout=30) as response:
        return int(response.headers.get("Content-Length") or 0)
