"""What a finished training says about itself, for `inspection.json`: loss curves in brief, the returns of the data as
targets to ask for, and the probes that need the data. Rollouts are added by `mage.evaluation.inspection`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mage.data.trajectories import describe
from mage.inspection.document import INSPECTION_VERSION
from mage.nn.ceiling import QUANTILE
from mage.training.artefacts import History
from mage.training.trainer import Trainer

QUANTILES = (0.02, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Of the training returns, asked for in the scan of score against target return."""

ASKED_STATES = 10_000
"""Of the data, at which the target is compared with what the data has done there."""

CURVE_TAIL = 0.25
"""The last part of a stage, over which the fall of its loss is told."""


def inspect_training(trainer: Trainer) -> dict[str, Any]:
    """The inspection of a trained policy, `rollouts` still missing."""
    policy, config, trajectories = trainer.policy(), trainer.config, trainer.trajectories
    described = describe(trajectories)
    return {
        "format_version": INSPECTION_VERSION,
        "algorithm": config.algorithm,
        "scenario": trajectories.task.scenario,
        "dataset_id": trajectories.task.dataset_id,
        "config_hash": config.hash(),
        "training_seed": trainer.seed,
        "target_return": policy.target_return,
        "target_return_rule": config.target_return_rule,
        "asks": policy.agent.asks,
        "sees_return": policy.agent.asks is not None,
        "dataset": {
            "episodes": described["episodes"],
            "steps": described["steps"],
            "return_mean": described["return_mean"],
            "return_max": described["return_max"],
            "score_mean": described["normalised_return_mean"],
        },
        "targets": targets(trainer),
        "ceiling": ceiling(trainer, policy.target_return) if policy.agent.asks else None,
        "stages": [stage_in_brief(trainer.history, name) for name in config.stages],
        "data": policy.agent.probe(trainer.data),
        "rollouts": None,
    }


def ceiling(trainer: Trainer, target: float) -> dict[str, Any]:
    """What the data has done at best, nearly, from a state, and at how many states of the data (in percent) the target
    is no higher: of all states, or of first ones for a target that is decremented.
    """
    data, learned, policy = trainer.data, trainer.ceiling, trainer.policy()
    rows_B = data.spread(ASKED_STATES)
    if trainer.config.target_return_rule == "decremented":
        rows_B = torch.from_numpy(trainer.trajectories.episode_starts[:-1]).to(data.device)
    observation_BS = data.recorded_observations(rows_B)
    asked_B = policy.asked(observation_BS, torch.full((len(rows_B),), target, device=data.device))
    condition_BY = policy.agent.condition(observation_BS, asked_B)
    return {"quantile": QUANTILE, "feasible": learned.share_feasible(condition_BY), "weights": learned.to_text()}


def targets(trainer: Trainer) -> list[dict[str, float]]:
    """Quantiles of the training returns: of all steps, or of whole episodes for a target that is decremented. Of what
    asks for advantages, of these.
    """
    trajectories, agent = trainer.trajectories, trainer.agent
    if agent.asks == "advantage":
        return [{"quantile": quantile, "target": agent.target_advantage(quantile)} for quantile in QUANTILES]
    returns = trajectories.returns_to_go
    if trainer.config.target_return_rule == "decremented":
        returns = returns[trajectories.episode_starts[:-1]]
    values = np.quantile(returns, QUANTILES).tolist()
    return [{"quantile": quantile, "target": value} for quantile, value in zip(QUANTILES, values, strict=True)]


def stage_in_brief(history: History, stage: str) -> dict[str, Any]:
    """Steps, last metrics, and by which share the loss fell over the last quarter (None: too few lines to tell)."""
    rows = [row for row in history if row["stage"] == stage]
    last = rows[-1]
    steps = float(last["step"])
    before = [row for row in rows if float(row["step"]) <= (1 - CURVE_TAIL) * steps]
    fall = 1 - float(last["loss"]) / float(before[-1]["loss"]) if before and float(before[-1]["loss"]) > 0 else None
    metrics = {name: value for name, value in last.items() if name not in ("stage", "step")}
    return {"stage": stage, "steps": int(steps), "fall_at_end": fall, "metrics": metrics}
