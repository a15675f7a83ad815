"""Evaluates trained policies and returns one tidy row per episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from mage import scenarios
from mage.data.known_issues import score_warning
from mage.data.trajectories import Task
from mage.errors import MageError
from mage.evaluation.rollout import Rollout, batches, play_batch
from mage.files import Say
from mage.interface import Policy


def evaluate_policies(
    policies: Sequence[Policy],
    episodes: int | None = None,
    actors: int = 0,
    gpus: float = 0.0,
    extra: Mapping[str, Any] | None = None,
    tell: Callable[[int, int, bool], None] | None = None,
    say: Say = print,
) -> pd.DataFrame:
    """Plays every policy in its dataset's evaluation environment.

    Args:
        policies: of one task and configuration, one per training seed.
        episodes: per policy; by default the configuration's, else the scenario's.
        actors: Ray actors that share the work (Ray must be running); 0 plays in this process. The rows are the same.
        gpus: share of a GPU that each actor takes.
        extra: further columns, such as the values of swept fields.
        tell: with actors, hears how many batches of episodes are done, of how many, and whether an actor has died.

        say: is told of episodes that their environment did not play to the end; they have no row.

    Returns:
        One row per (policy, episode) with the columns of `mage.results.RESULT_COLUMNS`.

    Raises:
        MageError: no episode of a policy could be played.
    """
    config, task = policies[0].config, policies[0].task
    episodes = episodes or config.evaluation.episodes or default_episodes(task)
    if actors:
        from mage.evaluation.ray_actors import play_with_actors

        played = play_with_actors(list(policies), episodes, actors, gpus, tell)
    else:
        played = _play_here(policies, episodes)
    frames = []
    for policy, rows in zip(policies, (_without_failures(rows, say) for rows in played), strict=True):
        frame = pd.DataFrame(rows).astype({"success": "boolean"})
        frame.insert(0, "scenario", task.scenario)
        frame.insert(1, "algorithm", policy.algorithm)
        frame.insert(2, "config_hash", config.hash())
        frame.insert(3, "training_seed", policy.training_seed)
        frame = frame.assign(dataset_id=task.dataset_id, target_return=policy.target_return)
        frame["warning"] = pd.Series(score_warning(task), frame.index, dtype="string")
        # a list is one value, too
        frames.append(frame.assign(**{name: [value] * len(frame) for name, value in (extra or {}).items()}))
    return pd.concat(frames, ignore_index=True)


def _without_failures(rows: list[dict[str, Any]], say: Say) -> list[dict[str, Any]]:
    """The rows of one policy that were played; `failed` says of the others what happened."""
    good, failed = ([row for row in rows if ("failed" in row) == has] for has in (False, True))
    if failed and not good:
        raise MageError(f"{failed[0]['failed']}; no episode of {len(failed)} could be played")
    for row in failed:
        say(f"{row['failed']}; the other episodes are kept")
    return good


def default_episodes(task: Task) -> int:
    """Evaluation episodes of the scenario's protocol; 100 for a dataset that no scenario describes."""
    return scenarios.get(task.scenario).evaluation_episodes if task.scenario in scenarios.names() else 100


def _play_here(policies: Sequence[Policy], episodes: int) -> list[list[dict[str, Any]]]:
    settings = policies[0].config.evaluation
    # as the actors do: the last bit of a matrix product depends on the number of threads
    torch.set_num_threads(policies[0].config.training.threads)
    rollout = Rollout(policies[0].task, settings.batch_size)
    groups = list(batches(episodes, settings.batch_size))
    try:
        return [
            [row for group in groups for row in play_batch(rollout, policy, group, settings.seed)]
            for policy in policies
        ]
    finally:
        rollout.close()
