"""The maze game of Figures 3 and 4: MAGE, with and without L_cond, and its rivals; two tables and a picture a game.

    python -m benchmarks.maze_game --seeds 2 --out runs/maze-game
    python -m benchmarks.maze_game --games maze-game-hidden --policies MAGE "Decision Transformer" --out runs/maze-game

In `maze-game-hidden` no observation tells what has been collected. A policy that is there is neither trained nor
evaluated again; it only plays for the picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import mage
from benchmarks.table import environment_lines, markdown
from mage.data.maze_game.environment import WALLS
from mage.evaluation.rollout import Rollout
from mage.evaluation.walks import Walk, walks
from mage.files import write_text
from mage.interface import Policy
from mage.report.policy_views import Paths, planned
from mage.results import load
from mage.results.plots.maze import plot_trajectories

GAMES = ("maze-game", "maze-game-hidden")
COUNTING_DOWN = ["condition.discount=1", "evaluation.target_return_rule=decremented"]
"""What is asked for is what is still to come of 3, so that it tells what has been collected."""
PLAN_THAT_ACTS = [
    "inverse_dynamics.inputs=latent_and_observation",
    "training.inverse_dynamics.given_scales=3",
    "transformer.condition_bins=8",
    "transformer.condition_dropout=0.2",
    "policy.guidance=1",
    "policy.temperature=0.6",
    "training.autoencoder.steps=2000",
    "training.transformer.steps=4000",
    "training.inverse_dynamics.steps=8000",
]
"""Of two ways to go on it takes one, not the mean: I reads the windows' own plans, and those that the target makes
likelier are drawn."""
PLAN_OF_THE_WHOLE_GAME = [
    "plan.horizon=96",
    "plan.padding=last",
    "training.diffusion.steps=4000",
    "planning.plans=8",
    "planning.replan_every=12",
    "planning.guide_scale=3",
    "planning.guide_steps=1",
]
"""Diffuser's returns are those of what it has planned, and 16 steps, as its preset has, see no second coin."""
POLICIES = {
    "MAGE": [],
    "MAGE, counting down": [*COUNTING_DOWN, *PLAN_THAT_ACTS],
    "BC, counting down": ["algorithm=return_bc", *COUNTING_DOWN],
    "MAGE without L_cond": ["transformer.condition_weight=0"],
    "MAGE, likeliest plans": ["policy.sampling=greedy"],
    "Decision Transformer": ["algorithm=dt"],
    "Decision Diffuser": ["algorithm=decision_diffuser"],
    "HD": ["algorithm=hierarchical_diffuser"],
    "Diffuser": ["algorithm=diffuser", *PLAN_OF_THE_WHOLE_GAME],
    "BC given the return": ["algorithm=return_bc"],
}
DRAWN = 10
"""Episodes that are played for the picture."""


def main(games: Sequence[str], names: Sequence[str], seeds: int, out: Path, pictures: Path) -> None:
    """Trains what is not there yet, evaluates, prints two tables and draws the policies of the first seed."""
    outcomes, scans = [], []
    for game in games:
        panels: dict[str, Paths] = {}
        plans: dict[str, Paths] = {}
        for name in names:
            measured, scanned = [], []
            for seed in range(seeds):
                folder = out / game / f"{'-'.join(name.lower().split())}-{seed}"
                policy, seconds = trained(folder, game, POLICIES[name], seed)
                played = first_walks(policy)
                measured.append(outcome(evaluated(folder)) | plan_quality(policy, played) | {"CPU-s": seconds})
                scanned.append(returns_by_target(folder))
                if seed == 0:
                    panels[name] = [positions(walk.observations) for walk in played]
                    own = {f"{name}, {view}": paths for view, paths in planned(policy, played).items()}
                    plans |= {title: [positions(states) for states in paths] for title, paths in own.items()}
            outcomes.append({"game": game, "policy": name, "seeds": seeds} | pd.DataFrame(measured).mean().to_dict())
            scans.append({"game": game, "policy": name} | pd.DataFrame(scanned).mean().to_dict())
        plot_trajectories(panels | plans, pictures / f"{game.replace('-', '_')}.png")
    print("\n".join([*environment_lines(), "", markdown(pd.DataFrame(outcomes)), "", markdown(pd.DataFrame(scans))]))


def trained(folder: Path, game: str, overrides: list[str], seed: int) -> tuple[Policy, float]:
    """The policy of a run directory, trained there if it is not yet, and the CPU-seconds that took.

    A training that was interrupted goes on; what it took is then not known (NaN).
    """
    stamp, interrupted = folder / "cpu_seconds.txt", (folder / "config.json").exists()
    if not stamp.exists():
        began = time.process_time()
        mage.train(game, overrides=overrides, seed=seed, out=folder, resume=interrupted)
        write_text(stamp, "nan" if interrupted else f"{time.process_time() - began}")
    return mage.load_policy(folder), float(stamp.read_text())


def evaluated(folder: Path) -> pd.DataFrame:
    """The episodes of a policy's evaluation, which also asks for other targets; played where they are not there yet."""
    is_done = (folder / "episodes.parquet").exists() and mage.inspect(folder)["rollouts"]
    return load(folder / "episodes.parquet") if is_done else mage.evaluate(folder)


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


def first_walks(policy: Policy) -> list[Walk]:
    """The first episodes of the evaluation, step by step."""
    rollout = Rollout(policy.task, policy.config.evaluation.batch_size)
    try:
        return walks(policy, DRAWN, rollout)
    finally:
        rollout.close()


def plan_quality(policy: Policy, played: list[Walk]) -> dict[str, float]:
    """How far the first planned position is from the true one, and the share of planned ones in walls."""
    horizon = max((states.shape[1] for states in plans_at(policy, played[0], [0])), default=0)
    if not horizon:
        return {}
    offsets, in_walls = [], []
    for walk in played:
        begun = np.arange(0, max(len(walk.observations) - horizon, 1), 8)  # plans that end within the episode
        *_, whole_BHS = plans_at(policy, walk, begun)
        planned_BH2 = positions(whole_BHS)
        cells = np.floor(planned_BH2).astype(int)
        inside = ((cells >= 0) & (cells < len(WALLS))).all(-1)
        columns, rows = np.moveaxis(cells.clip(0, len(WALLS) - 1), -1, 0)
        in_walls.append(~inside | (np.array(WALLS)[rows, columns] == 1))
        offsets.append(np.linalg.norm(planned_BH2[:, 0] - positions(walk.observations[begun]), axis=1))
    return {
        "plan starts off by, % of a cell": 100 * float(np.concatenate(offsets).mean()),
        "plan in walls %": 100 * float(np.concatenate(in_walls).mean()),
    }


def plans_at(policy: Policy, walk: Walk, steps: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """What is planned at some steps of an episode, view by view, coarse to fine."""
    return list(policy.plans(walk.observations[steps], walk.targets[steps]).values())


def positions(observations: np.ndarray) -> np.ndarray:
    """(.., 2), in cells."""
    return observations[..., :2]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", nargs="+", default=GAMES, choices=GAMES)
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=list(POLICIES))
    parser.add_argument("--seeds", type=int, default=1, help="training seeds of each policy")
    parser.add_argument("--out", type=Path, default=Path("runs/maze-game"), help="run directories; what is there stays")
    parser.add_argument("--pictures", type=Path, default=Path(__file__).parent, help="the folder of the pictures")
    arguments = parser.parse_args()
    main(arguments.games, arguments.policies, arguments.seeds, arguments.out, arguments.pictures)
