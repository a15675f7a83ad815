"""Evaluates trained policies and returns one tidy row per episode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from mage import scenarios
from mage.data.known_issues import score_warning
from mage.data.trajectories import Task
from mage.evaluation.recording import Recording, environment_version, make_recording
from mage.evaluation.rollout import Rollout, Tell, batches, without_failures
from mage.evaluation.work import do_all
from mage.files import Say
from mage.interface import Policy

if TYPE_CHECKING:
    from mage.evaluation.ray_actors import EvaluationActors

MEASURED = ("episode", "return", "success", "length", "normalized_score")
"""What a rollout says of an episode, in the order of the table."""


def evaluate_policies(
    policies: Sequence[Policy],
    episodes: int | None = None,
    crew: EvaluationActors | None = None,
    extra: Mapping[str, Any] | None = None,
    tell: Tell | None = None,
    say: Say = print,
    keep: Callable[[Recording], None] | None = None,
) -> pd.DataFrame:
    """Plays every policy in its dataset's evaluation environment.

    Args:
        policies: of one task and configuration, one per training seed.
        episodes: per policy; by default the configuration's, else the scenario's.
        crew: Ray actors that share the work; without, this process plays. The rows are the same.
        extra: further columns, such as the values of swept fields.
        tell: with a crew, hears how many batches of episodes are done, of how many, and whether an actor has died.
        say: is told of episodes that their environment did not play to the end; they have no row.
        keep: is given the recording of what was played; without it nothing is recorded.

    Returns:
        One row per (policy, episode) with the columns of `mage.results.RESULT_COLUMNS`.

    Raises:
        MageError: no episode of a policy could be played.
    """
    config, task = policies[0].config, policies[0].task
    episodes = episodes or config.evaluation.episodes or default_episodes(task)
    together = config.evaluation.batch_size
    groups = [
        partial(play_batch, episodes=list(group), record=keep is not None)
        for group in batches(range(episodes), together)
    ]
    work = [(number, play) for number in range(len(policies)) for play in groups]
    played = do_all(policies, work, together, crew, tell)
    frames, recorded = [], []
    for number, policy in enumerate(policies):
        rows = [row for (other, _), some in zip(work, played, strict=True) if other == number for row in some]
        rows = without_failures(rows, say)
        recorded += [{"training_seed": policy.training_seed, **row} for row in rows]
        frame = pd.DataFrame([{name: row[name] for name in MEASURED} for row in rows]).astype({"success": "boolean"})
        frame.insert(0, "scenario", task.scenario)
        frame.insert(1, "algorithm", policy.config.method)
        frame.insert(2, "config_hash", config.hash())
        frame.insert(3, "training_seed", policy.training_seed)
        frame = frame.assign(dataset_id=task.dataset_id, target_return=policy.target_return)
        frame["warning"] = pd.Series(score_warning(task), frame.index, dtype="string")
        frame["environment_version"] = environment_version(task.environment_spec)
        # a list is one value, too
        frames.append(frame.assign(**{name: [value] * len(frame) for name, value in (extra or {}).items()}))
    table = pd.concat(frames, ignore_index=True)
    if keep is not None:
        names = ("scenario", "algorithm", "config_hash", "dataset_id")
        keep(make_recording({name: str(table[name].iloc[0]) for name in names}, task, recorded))
    return table


def play_batch(policy: Policy, rollout: Rollout, episodes: Sequence[int], record: bool = False) -> list[dict[str, Any]]:
    """The rows of a batch of the evaluation, and those of its failures."""
    return rollout.play(policy, episodes, policy.config.evaluation.seed, record=record)


def default_episodes(task: Task) -> int:
    """Evaluation episodes of the scenario's protocol; 100 for a dataset that no scenario describes."""
    return scenarios.get(task.scenario).evaluation_episodes if task.scenario in scenarios.names() else 100
