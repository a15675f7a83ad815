"""The maze game of Figures 3 and 4: MAGE, with and without L_cond, beside its references; a table and a picture.

    python -m benchmarks.maze_game --seeds 2 --out runs/maze-game

A policy that is there already is not trained again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import mage
from benchmarks.table import environment_lines, markdown
from mage.algorithms.mage.algorithm import Mage
from mage.data.maze_game import MazeGame
from mage.data.maze_game.environment import WALLS
from mage.evaluation.rollout import Rollout
from mage.files import write_text
from mage.interface import Policy
from mage.results.plots.maze import plot_trajectories

POLICIES = {
    "MAGE": [],
    "MAGE without L_cond": ["transformer.condition_weight=0"],
    "Decision Transformer": ["algorithm=dt"],
    "BC given the return": ["algorithm=return_bc"],
}
DRAWN = 10
"""Episodes that are played for the picture."""


class Walk(NamedTuple):
    """One episode: observations (T, S) and targets (T,) that were acted on, and the position (2,) it ended in."""

    observations: np.ndarray
    targets: np.ndarray
    end: np.ndarray

    @property
    def positions(self) -> np.ndarray:
        """(T + 1, 2), in cells."""
        return np.concatenate([self.observations[:, :2], self.end[None]])


def main(seeds: int, out: Path, picture: Path) -> None:
    """Trains what is not there yet, evaluates, prints two tables and draws the policies of the first seed."""
    outcomes, scans, panels, plans = [], [], {}, {}
    for name, overrides in POLICIES.items():
        measured, scanned = [], []
        for seed in range(seeds):
            folder = out / f"{'-'.join(name.lower().split())}-{seed}"
            policy, seconds = trained(folder, overrides, seed)
            played = walks(policy, DRAWN)
            measured.append(outcome(mage.evaluate(folder)) | plan_quality(policy, played) | {"CPU-s": seconds})
            scanned.append(returns_by_target(folder))
            if seed == 0:
                panels[name] = [walk.positions for walk in played]
                if isinstance(policy.agent, Mage):
                    plans[f"plans of {name}"] = drawn_plans(policy, played, policy.agent.config.autoencoder.horizon)
        outcomes.append({"policy": name, "seeds": seeds} | pd.DataFrame(measured).mean().to_dict())
        scans.append({"policy": name} | pd.DataFrame(scanned).mean().to_dict())
    print("\n".join([*environment_lines(), "", markdown(pd.DataFrame(outcomes)), "", markdown(pd.DataFrame(scans))]))
    plot_trajectories(panels | plans, picture)


def trained(folder: Path, overrides: list[str], seed: int) -> tuple[Policy, float]:
    """The policy of a run directory, trained there if it is not yet, and the CPU-seconds that took.

    A training that was interrupted goes on; what it took is then not known (NaN).
    """
    stamp, interrupted = folder / "cpu_seconds.txt", (folder / "config.json").exists()
    if not stamp.exists():
        began = time.process_time()
        mage.train("maze-game", overrides=overrides, seed=seed, out=folder, resume=interrupted)
        write_text(stamp, "nan" if interrupted else f"{time.process_time() - began}")
    return mage.load_policy(folder), float(stamp.read_text())


def outcome(episodes: pd.DataFrame) -> dict[str, float]:
    """What the episodes of one policy found; every coin, and the goal in its turn, pays 1."""
    returns = episodes["return"]
    return {
        "return": float(returns.mean()),
        "silver %": 100 * float((returns >= 1).mean()),
        "gold %": 100 * float((returns >= 2).mean()),
        "success %": 100 * float(episodes["success"].astype(float).mean()),
        "steps": float(episodes["length"].mean()),
    }


def returns_by_target(folder: Path) -> dict[str, float]:
    """The mean return where quantiles of the training returns are asked for, of the scan that an evaluation makes."""
    scan = mage.inspect(folder)["rollouts"]["scan"]
    return {f"{100 * quantile:g} %": row["return"] for row in scan for quantile in row["quantiles"]}


def walks(policy: Policy, episodes: int) -> list[Walk]:
    """The first episodes of the evaluation, step by step."""
    rollout = Rollout(policy.task, policy.config.evaluation.batch_size)
    steps: list[tuple[np.ndarray, np.ndarray]] = []
    seed = policy.config.evaluation.seed
    rows = rollout.run(policy, range(episodes), seed, visit=lambda *step: steps.append(step))
    found: list[list[Any]] = [[] for _ in rows]
    for number, (observations, targets) in enumerate(steps):
        running = [i for i, row in enumerate(rows) if row["length"] > number]
        for i, observation, target in zip(running, observations, targets, strict=True):
            found[i].append((observation, target))
    games = [environment.unwrapped for environment in rollout.environments[:episodes]]
    ends = [game.position for game in games if isinstance(game, MazeGame)]
    rollout.close()
    return [
        Walk(np.stack([observation for observation, _ in own]), np.array([target for _, target in own]), end)
        for own, end in zip(found, ends, strict=True)
    ]


def plan_quality(policy: Policy, played: list[Walk]) -> dict[str, float]:
    """How far the first planned position is from the true one, and the share of planned ones in walls."""
    agent = policy.agent
    if not isinstance(agent, Mage):
        return {}
    horizon = agent.config.autoencoder.horizon
    inner = [(walk.observations[:-horizon], walk.targets[:-horizon]) for walk in played]  # plans within the episode
    observations, targets = (np.concatenate(parts) for parts in zip(*inner, strict=True))
    planned = plan(policy, observations, targets)
    cells = np.floor(planned).astype(int)
    inside = ((cells >= 0) & (cells < len(WALLS))).all(-1)
    columns, rows = np.moveaxis(cells.clip(0, len(WALLS) - 1), -1, 0)
    in_walls = ~inside | (np.array(WALLS)[rows, columns] == 1)
    offset = np.linalg.norm(planned[:, 0] - observations[:, :2], axis=1)
    return {
        "plan starts off by, % of a cell": 100 * float(offset.mean()),
        "plan in walls %": 100 * float(in_walls.mean()),
    }


def drawn_plans(policy: Policy, played: list[Walk], horizon: int) -> list[np.ndarray]:
    """What is planned along the way, one plan after the other, each from the state that was reached by its time."""
    planned = [plan(policy, walk.observations[::horizon], walk.targets[::horizon]) for walk in played]
    gap = ((0, 0), (0, 1), (0, 0))  # a row of NaN ends the line of a plan
    return [np.pad(plans, gap, constant_values=np.nan).reshape(-1, 2) for plans in planned]


def plan(policy: Policy, observations: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The trajectories (B, H, 2) that D' decodes from the Z that the policy acts on, as positions in cells."""
    *_, whole_BHS = policy.plans(observations, targets).values()
    positions: np.ndarray = whole_BHS[..., :2]
    return positions


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="training seeds of each policy")
    parser.add_argument("--out", type=Path, default=Path("runs/maze-game"), help="run directories; what is there stays")
    parser.add_argument("--picture", type=Path, default=Path(__file__).with_suffix(".png"))
    arguments = parser.parse_args()
    main(arguments.seeds, arguments.out, arguments.picture)
