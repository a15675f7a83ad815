"""Pictures that policies are played for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mage.data.maze_game import MazeGame
from mage.data.mazes import goal_of, maze_of
from mage.errors import MageError
from mage.evaluation.latency import milliseconds_a_step
from mage.evaluation.rollout import Rollout
from mage.evaluation.walks import Walk, walks
from mage.interface import Policy
from mage.interface.policy import load_policy, read_config, read_description
from mage.results import summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Paths = list[np.ndarray]
"""Of (T, 2) in cells; a row of NaN interrupts one."""


def draw_walks(folder: Path, episodes: int) -> Figure:
    """Trajectories of a policy in its maze and, where it plans states, its plans: a panel a view, coarse to fine.

    Plans are drawn one after the other, each from the state that was reached by the time the one before ends.

    Args:
        folder: of a policy.
        episodes: that are played: the first of its evaluation.

    Raises:
        MageError: there is no policy, or its environment is no maze, or not here.
    """
    from mage.results.plots.maze import draw_game, draw_goals, draw_trajectories

    policy = load_policy(folder)
    rollout = Rollout(policy.task, max(episodes, policy.config.evaluation.batch_size))
    try:
        maze = maze_of(rollout.environments[0], policy.task)
        if maze is None:
            raise MageError(f"{folder}: the environment of {policy.task.scenario} is no maze")
        is_game = isinstance(rollout.environments[0].unwrapped, MazeGame)
        played = walks(policy, episodes, rollout)
        goals = [goal_of(environment) for environment in rollout.environments[: len(played)]]
    finally:
        rollout.close()
    offset = np.asarray(policy.task.observation_offset or 0.0)
    panels = {f"{len(played)} trajectories": [maze.cells(walk.observations + offset) for walk in played]}
    for view, plans in planned(policy, played).items():
        panels[f"plans, {view}"] = [maze.cells(states + offset) for states in plans]
    known = [maze.to_cells(goal) for goal in goals if goal is not None]
    beneath = draw_game if is_game else partial(draw_goals, goals=known)
    return draw_trajectories(panels, maze.walls, beneath)


def planned(policy: Policy, played: list[Walk]) -> dict[str, Paths]:
    """By view, what was planned along each walk: states (T, S), a row of NaN after each plan."""
    first = policy.plans(played[0].observations[:1], played[0].targets[:1])
    if not first:
        return {}
    views: dict[str, Paths] = {name: [] for name in first}
    horizon = next(iter(first.values())).shape[1]
    for walk in played:
        for name, plans_BHS in policy.plans(walk.observations[::horizon], walk.targets[::horizon]).items():
            apart = np.pad(plans_BHS, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
            views[name].append(apart.reshape(-1, apart.shape[-1]))
    return views


def time_steps(results: pd.DataFrame, failures: pd.DataFrame, root: Path, policies: Sequence[str]) -> pd.DataFrame:
    """The best configuration of each algorithm and scenario, its score, and how long a step of its policy takes here.

    Args:
        results: as from `mage.results.load`.
        failures: as from `mage.results.load_failures`.
        root: of
        policies: the folders of policies, of which one a configuration is timed.

    Returns:
        A row for each that has a score and a policy that can be read, with the columns of `draw_latency`.
    """
    found: dict[tuple[str, ...], Path] = {}
    for folder in policies:
        with suppress(MageError):  # of an algorithm that is not installed, or of another version
            described, config = read_description(root / folder), read_config(root / folder)
            task = described["task"]
            found.setdefault((task["scenario"], config.hash(), task["dataset_id"]), root / folder)
    scored = summary(results, failures).dropna(subset=["mean"])
    rows = []
    for best in scored.drop_duplicates(["scenario", "algorithm"]).to_dict("records"):
        path = found.get((best["scenario"], best["config_hash"], best["dataset_id"]))
        if path is not None:
            row = {"scenario": best["scenario"], "method": best["algorithm"], "score": best["mean"]}
            milliseconds = milliseconds_a_step(load_policy(path))
            rows.append(row | {"standard_error": best["standard_error"], "milliseconds": milliseconds})
    return pd.DataFrame(rows, columns=["scenario", "method", "score", "standard_error", "milliseconds"])
