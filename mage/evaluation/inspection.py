"""The part of an inspection that needs an environment: score against target return, and the states that were visited.

`inspection.json` lies beside `policy.json`. Training writes what the data says (`Algorithm.probe`) and the quantiles
of the returns-to-go, so that the scan needs no dataset; this module adds `rollouts`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mage.evaluation.rollout import Rollout, without_failures
from mage.evaluation.work import do_all
from mage.files import write_json
from mage.inspection.document import FILE, Inspection, read_inspection
from mage.interface import Policy
from mage.nn.ceiling import Ceiling, ceiling_of

if TYPE_CHECKING:
    from mage.evaluation.ray_actors import EvaluationActors

KEPT_STATES = 2048
FEWEST_TARGETS_TO_CORRELATE = 3

Target = dict[str, Any]
"""What is asked for: `target` (None: the policy has none), the `quantiles` that it is, and whether it is the `own`."""


def add_rollouts(
    folders: Sequence[Path],
    policies: Sequence[Policy],
    episodes: int,
    crew: EvaluationActors | None = None,
    keep: Callable[[Callable[[], None]], None] = lambda write: write(),
) -> list[Inspection]:
    """Scans policies of one task and configuration, and writes what was found into the inspections of their runs.

    Args:
        crew: Ray actors that share the targets; without, this process plays.
        keep: calls what writes one of them, and knows what to do where that is not possible.

    Returns:
        The inspections as they are then.
    """
    inspections = [read_inspection(folder) for folder in folders]
    if not episodes or not policies[0].task.environment_spec:
        return inspections
    known = [inspection["targets"] for inspection in inspections]
    ceilings = [ceiling_of(inspection, policy.device) for inspection, policy in zip(inspections, policies, strict=True)]
    found = inspect_rollouts(policies, known, episodes, crew, ceilings)
    scanned = [inspection | {"rollouts": rollouts} for inspection, rollouts in zip(inspections, found, strict=True)]
    for folder, inspection in zip(folders, scanned, strict=True):
        keep(partial(write_json, folder / FILE, inspection))
    return scanned


def inspect_rollouts(
    policies: Sequence[Policy],
    quantiles: Sequence[Sequence[Mapping[str, float]]],
    episodes: int,
    crew: EvaluationActors | None = None,
    ceilings: Sequence[Ceiling | None] = (),
) -> list[dict[str, Any]]:
    """Plays every policy with low and high target returns, on the same seeds.

    Args:
        policies: of one task and configuration.
        quantiles: for each of them, `quantile` and `target` of the training returns.
        episodes: a target.
        crew: Ray actors that share the targets; without, this process plays.
        ceilings: for each policy, what the data has done at best; None where nobody knows.

    Returns:
        For every policy: `scan`, one row a target in rising order, and how score and target go together.
    """
    asked = [targets_to_ask(policy, known) for policy, known in zip(policies, quantiles, strict=True)]
    scans = [(number, row) for number, rows in enumerate(asked) for row in rows]
    known_ceilings = ceilings or [None] * len(policies)
    work = [
        (number, partial(play_target, target=row["target"], episodes=episodes, ceiling=known_ceilings[number]))
        for number, row in scans
    ]
    together = min(policies[0].config.evaluation.batch_size, episodes)
    played = do_all(policies, work, together, crew)
    rows = [(number, row | measured) for (number, row), measured in zip(scans, played, strict=True)]
    return [
        summarise([row for other, row in rows if other == number], episodes, policy.task.has_scores)
        for number, policy in enumerate(policies)
    ]


def targets_to_ask(policy: Policy, quantiles: Sequence[Mapping[str, float]]) -> list[Target]:
    """The distinct targets of a scan, rising, with the policy's own among them."""
    if policy.agent.asks is None:
        return [{"target": None, "quantiles": [], "own": True}]
    asked: list[Target] = []
    for known in sorted(quantiles, key=lambda known: known["quantile"]):
        if asked and math.isclose(asked[-1]["target"], known["target"], rel_tol=1e-6):
            asked[-1]["quantiles"].append(known["quantile"])
        else:
            asked.append({"target": known["target"], "quantiles": [known["quantile"]], "own": False})
    same = [row for row in asked if math.isclose(row["target"], policy.target_return, rel_tol=1e-6)]
    if not same:
        same = [{"target": policy.target_return, "quantiles": []}]
        asked += same
    same[0]["own"] = True
    return sorted(asked, key=lambda row: row["target"])


def play_target(
    policy: Policy, rollout: Rollout, target: float | None, episodes: int, ceiling: Ceiling | None = None
) -> dict[str, Any]:
    """One row of the scan: mean score and return, success rate, and what is known of visited states."""
    seed, visited = policy.config.evaluation.seed, VisitedStates()
    rows = without_failures(rollout.play(policy, range(episodes), seed, target, visited))
    scores, returns = (np.array([row[name] for row in rows]) for name in ("normalized_score", "return"))
    successes = [row["success"] for row in rows if row["success"] is not None]
    measured: dict[str, Any] = {
        "score": float(scores.mean()),
        "score_standard_error": standard_error(scores),
        "return": float(returns.mean()),
        "return_standard_error": standard_error(returns),
        "success_rate": 100.0 * float(np.mean(successes)) if successes else None,
        "episodes": {"score": scores.tolist(), "return": returns.tolist()},
        "length": float(np.mean([row["length"] for row in rows])),
    }
    observations, targets = (torch.from_numpy(kept.astype(np.float32)).to(policy.device) for kept in visited.kept())
    feasible = None
    if ceiling is not None:
        asked = policy.asked(observations, targets)
        feasible = ceiling.share_feasible(policy.agent.condition(observations, asked))
    return measured | {"feasible": feasible, "visited": policy.agent.probe_visited(observations, targets)}


class VisitedStates:
    """Remembers at most `limit` states and targets of a rollout, spread evenly over its steps."""

    def __init__(self, limit: int = KEPT_STATES) -> None:
        self.limit, self.stride = limit, 1
        self._steps: list[tuple[np.ndarray, np.ndarray]] = []
        self._seen = 0

    def __call__(self, observations: np.ndarray, targets: np.ndarray) -> None:
        """A step of the environments that still run: observations (B, S) and targets (B,)."""
        if self._seen % self.stride == 0:
            self._steps.append((observations.copy(), targets.copy()))
        self._seen += 1
        while sum(len(targets) for _, targets in self._steps) > self.limit and len(self._steps) > 1:
            self._steps, self.stride = self._steps[::2], 2 * self.stride

    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """(M, S) and (M,)."""
        observations, targets = zip(*self._steps, strict=True)
        return np.concatenate(observations), np.concatenate(targets)


def summarise(scan: list[dict[str, Any]], episodes: int, has_scores: bool) -> dict[str, Any]:
    """The scan, and the rank correlation of target and mean score (None for few targets or one score)."""
    measure = "score" if has_scores else "return"
    values = [row[measure] for row in scan]
    correlation = None
    if len(scan) >= FEWEST_TARGETS_TO_CORRELATE and len(set(values)) > 1:
        from scipy.stats import spearmanr  # seconds to import, and every worker imports this module

        correlation = float(spearmanr([row["target"] for row in scan], values).statistic)
    return {"episodes": episodes, "measure": measure, "scan": scan, "spearman": correlation}


def standard_error(values: np.ndarray) -> float | None:
    """Of the mean; None for one value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
