"""Inspects runs on disk: a training run, a policy of a sweep, or a sweep with all its policies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mage.errors import MageError
from mage.evaluation.inspection import add_rollouts, standard_error
from mage.files import Say, kept_or_told
from mage.inspection.document import FILE, Inspection, read_inspection
from mage.inspection.findings import findings
from mage.interface.policy import Policy, read_config
from mage.results import RESULT_COLUMNS, load
from mage.words import plain

if TYPE_CHECKING:
    from mage.evaluation.ray_actors import EvaluationActors


def is_sweep(folder: Path) -> bool:
    """Whether there are policies below it, and none in it."""
    return not (folder / "policy.json").is_file() and bool(inspected_policies(folder))


def inspected_policies(folder: Path) -> list[Path]:
    """The run directories of a sweep (or of one of its scenarios) that can be inspected."""
    return sorted(path.parent for path in folder.glob(f"**/policies/*/seed-*/{FILE}"))


def inspect_run(
    folder: Path, read_policy: Callable[[], Policy], episodes: int | None, crew: EvaluationActors | None, say: Say
) -> Inspection:
    """The inspection of one policy, its rollouts added where there are too few, with findings and evaluation.

    Args:
        read_policy: called where rollouts are wanted.
        episodes: a target return; by default the configuration's.
        crew: Ray actors that share the targets; without, this process plays.
        say: is told where what was played cannot be kept.
    """
    config = read_config(folder)
    inspection = read_inspection(folder)
    wanted = config.evaluation.inspection_episodes if episodes is None else episodes
    if wanted > episodes_scanned(inspection):

        def keep(write: Callable[[], None]) -> None:
            kept_or_told(say, write)

        (inspection,) = add_rollouts([folder], [read_policy()], wanted, crew, keep=keep)
    return inspection | {"evaluation": evaluation_of(folder, inspection), "findings": findings(inspection)}


def inspect_sweep(folder: Path) -> dict[str, Any]:
    """What each policy of a sweep wrote when it was trained and evaluated; nothing is played."""
    policies = []
    for run in inspected_policies(folder):
        inspection = read_inspection(run)
        known = {"run": str(run.relative_to(folder)), "swept": swept_values(run, inspection)}
        judged = {"evaluation": evaluation_of(run, inspection), "findings": findings(inspection)}
        policies.append(known | inspection | judged)
    return {"sweep": str(folder), "policies": policies}


def episodes_scanned(inspection: Inspection) -> int:
    """Episodes a target of the scan that an inspection holds."""
    return inspection["rollouts"]["episodes"] if inspection["rollouts"] else 0


def evaluation_of(run: Path, inspection: Inspection) -> dict[str, Any] | None:
    """What the evaluation proper says, which has more episodes than the scan; None before there is one."""
    episodes = episodes_of(run, inspection["config_hash"], inspection["training_seed"])
    if episodes is None:
        return None
    measure = "return" if episodes["normalized_score"].isna().all() else "normalized_score"
    success = episodes["success"].dropna()
    return {
        "episodes": len(episodes),
        "measure": "return" if measure == "return" else "score",
        "mean": float(episodes[measure].mean()),
        "standard_error": standard_error(episodes[measure].to_numpy(float)),
        "success_rate": 100.0 * float(success.astype(float).mean()) if len(success) else None,
    }


def swept_values(run: Path, inspection: Inspection) -> dict[str, Any]:
    """The values of the fields that the sweep varied, as its results have them."""
    episodes = episodes_of(run, inspection["config_hash"], inspection["training_seed"])
    if episodes is None:
        return {}
    first = episodes.iloc[0]
    return {str(name): plain(first[name]) for name in episodes.columns if name not in RESULT_COLUMNS}


def episodes_of(run: Path, config_hash: str, training_seed: int) -> pd.DataFrame | None:
    """The evaluated episodes of a policy: `mage evaluate` writes them beside it, a sweep beside its policies."""
    for path in (run / "episodes.parquet", run.parent.parent.parent / "episodes" / f"{config_hash}.parquet"):
        if path.is_file():
            try:
                episodes = load(path)
            except MageError:
                continue
            is_mine = (episodes["config_hash"] == config_hash) & (episodes["training_seed"] == training_seed)
            if is_mine.any():
                return episodes[is_mine]
    return None
