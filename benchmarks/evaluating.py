"""An evaluation over its floor: its environments' own steps and its model's batches, shared by the cores.

    OMP_NUM_THREADS=1 python -m benchmarks.evaluating runs/door --episodes 100 --actors 2

The floor is of the same episodes: the environments alone take the actions that were recorded, and the policy alone is
timed while it acts. One environment at a time is what an evaluation without batches would be.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pandas as pd
import ray

from benchmarks.acting import acting_with
from benchmarks.table import environment_lines, markdown
from mage.evaluation.episodes import evaluate_policies
from mage.evaluation.ray_actors import EvaluationActors
from mage.evaluation.rollout import Rollout, batches
from mage.interface import Policy
from mage.interface.policy import load_policy
from mage.training.ray_start import start_ray


class Timed:
    """A policy whose seconds of acting are counted."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.seconds = policy, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.policy, name)

    def begin(self, environments: int) -> Any:
        """Begins episodes."""
        self.acting = self.policy.begin(environments)
        return self

    def act(self, *seen: Any) -> np.ndarray:
        """A step of all of them."""
        began = time.perf_counter()
        actions = self.acting.act(*seen)
        self.seconds += time.perf_counter() - began
        return actions


def main() -> None:
    """Plays, and prints a row a way of playing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--actors", type=int, default=2)
    options = parser.parse_args()
    policy = load_policy(options.run)
    steps, physics, model = parts(policy, options.episodes)
    floor = steps + model
    took = {
        "floor: environments' steps": (steps, floor),
        "of these, in MuJoCo": (physics, floor),
        "floor: model": (model, floor),
        "in this process": (played(policy, options.episodes), floor),
        "one environment at a time": (one_at_a_time(policy, options.episodes), floor),
    }
    start_ray("local")
    with EvaluationActors(options.actors) as crew:
        for name in ("with their start", "again"):
            took[f"{options.actors} actors, {name}"] = (played(policy, options.episodes, crew), floor / options.actors)
    ray.shutdown()
    rows = [{"what": name, "seconds": whole, "over floor": whole / least} for name, (whole, least) in took.items()]
    print("\n".join([*environment_lines(), "", markdown(pd.DataFrame(rows))]))


def parts(policy: Policy, episodes: int) -> tuple[float, float, float]:
    """Seconds of the environments' steps, of MuJoCo in them, and of the model's, of all episodes, batch by batch."""
    size = policy.config.evaluation.batch_size
    rollout, timed, steps, physics = Rollout(policy.task, size), Timed(policy), 0.0, 0.0
    rollout.run(policy, range(size))  # what comes first takes longer
    for group in batches(range(episodes), size):
        rows = rollout.run(timed, list(group), record=True)
        steps += seconds(partial(replay, rollout, rows))
        physics += in_mujoco(partial(replay, rollout, rows))
    rollout.close()
    return steps, physics, timed.seconds


def in_mujoco(work: Callable[[], object]) -> float:
    """How long something is in MuJoCo's own step."""
    step, within = mujoco.mj_step, [0.0]

    def timed(*given: Any, **named: Any) -> None:
        began = time.perf_counter()
        step(*given, **named)
        within[0] += time.perf_counter() - began

    mujoco.mj_step = timed
    try:
        work()
    finally:
        mujoco.mj_step = step
    return within[0]


def replay(rollout: Rollout, rows: Iterable[dict[str, Any]]) -> None:
    """The environments alone."""
    for environment, row in zip(rollout.environments, rows, strict=False):
        environment.reset(seed=row["environment_seed"])
        for action in row["actions"]:
            environment.step(action)


def one_at_a_time(policy: Policy, episodes: int) -> float:
    """Seconds of an evaluation in batches of one, extrapolated from a tenth of its episodes."""
    single = acting_with(policy, "evaluation.batch_size=1")
    return 10 * played(single, max(1, episodes // 10))


def played(policy: Policy, episodes: int, crew: EvaluationActors | None = None) -> float:
    """Seconds of an evaluation as the product does it."""
    return seconds(lambda: evaluate_policies([policy], episodes, crew))


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
