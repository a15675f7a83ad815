"""Checks a dataset as it is on disk, before hours of training find out: what is wrong, and what is only unusual.

Errors are what training or evaluation would fail on or score wrongly; warnings are what one has to know.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from mage import scenarios
from mage.data.check_episodes import Check, check_episodes
from mage.data.environments import TRAINS_WITHOUT, make_environment, shown_and_taken, success_of
from mage.data.known_issues import score_warning
from mage.data.minari_source import read_dataset
from mage.data.precision import notes_on
from mage.data.sources import combine, obtain
from mage.data.trajectories import Task, Trajectories, target_return
from mage.errors import MageError
from mage.scenarios import Scenario

# Experts score up to 115 (hammer-expert); far beyond that the reference scores are likely those of other data.
PLAUSIBLE_SCORES = (0.0, 150.0)
NOTED = ("observation", "reward", "action")
"""Words of a note by which it is listed."""

FEW_REWARDS = 3
"""At most so many different rewards are listed one by one."""


@dataclass(frozen=True)
class Report:
    """All that was checked; the trajectories are None where errors keep them from being used."""

    checks: tuple[Check, ...]
    trajectories: Trajectories | None

    @property
    def failed(self) -> bool:
        return any(check.level == "error" for check in self.checks)


def check_data(scenario: Scenario | None, dataset_id: str | None = None, namespace: str | None = None) -> Report:
    """Checks what load_trajectories would read; a dataset that is missing or cannot be opened raises MageError."""
    names = obtain(scenario, dataset_id, namespace, download=False)
    checks: list[Check] = []
    for name in names:
        suffix = f" of {name}" if len(names) > 1 else ""
        checks += [check._replace(name=check.name + suffix) for check in check_episodes(name)]
    if Report(tuple(checks), None).failed:
        return Report(tuple(checks), None)
    try:
        trajectories = combine([read_dataset(name) for name in names], scenario)
    except MageError as error:
        return Report((*checks, Check("error", "reading", str(error))), None)
    checks += _check_trajectories(trajectories)
    return Report(tuple(checks), trajectories)


def _check_trajectories(trajectories: Trajectories) -> Iterator[Check]:
    """The checks of what training and evaluation make of the episodes."""
    task = trajectories.task
    try:
        for note in notes_on(trajectories):
            yield Check("warning", next((name for name in NOTED if name in note), "episodes"), note)
    except MageError as error:
        yield Check("error", "returns", str(error))
        return
    yield _rewards(trajectories)
    yield _references(trajectories)
    limit = None
    if not task.environment_spec:
        yield Check("warning", "environment", "the dataset names none; policies can be trained but not evaluated")
    else:
        try:
            environment = make_environment(task)
        except MageError as error:
            yield Check("warning", "environment", f"{error}; {TRAINS_WITHOUT}")
        else:
            yield from _environment(environment, trajectories)
            limit = environment.spec.max_episode_steps if environment.spec else None
            environment.close()
    yield _lengths(trajectories, limit)
    yield _target(trajectories)


def _rewards(trajectories: Trajectories) -> Check:
    values, counts = np.unique(trajectories.rewards, return_counts=True)
    returns = trajectories.episode_returns
    if len(values) == 1:
        return Check("warning", "rewards", f"every reward is {values[0]:g}, so they say nothing")
    if len(values) <= FEW_REWARDS:
        text = ", ".join(f"{value:g} in {count} steps" for value, count in zip(values, counts, strict=True))
    else:
        text = f"{values[0]:.4g} to {values[-1]:.4g}, mean {trajectories.rewards.mean():.4g}"
    if trajectories.episodes > 1 and returns.min() == returns.max():
        return Check("warning", "rewards", f"{text}; but every episode returns {returns[0]:g}")
    return Check("ok", "rewards", text)


def _references(trajectories: Trajectories) -> Check:
    task, name = trajectories.task, "reference scores"
    if task.score == "success":
        return Check("ok", name, "none are needed: the score is the success rate")
    if task.reference_scores is None:
        return Check("warning", name, "neither the dataset nor the scenario has any; results will have no score")
    low, high = task.reference_scores
    mean = 100.0 * (trajectories.episode_returns.mean() - low) / (high - low)
    text = f"a return of {low:.6g} scores 0, {high:.6g} scores 100; the mean of the data scores {mean:.1f}"
    return Check("ok" if PLAUSIBLE_SCORES[0] <= mean <= PLAUSIBLE_SCORES[1] else "warning", name, text)


def _environment(environment: gym.Env, trajectories: Trajectories) -> Iterator[Check]:
    task, spec = trajectories.task, environment.spec
    assert spec is not None
    try:
        shown, acted = shown_and_taken(environment, task)
    except MageError as error:
        yield Check("warning", "environment", f"{error}; {TRAINS_WITHOUT}")
        return
    sizes = trajectories.observation_size, trajectories.action_size
    text = f"{spec.id} shows {shown} values and takes {acted}"
    if (shown, acted) == sizes:
        yield Check("ok", "environment", text)
        yield from _success(environment, task)
    else:
        yield Check("error", "environment", f"{text}, the data has {sizes[0]} and {sizes[1]}")
    if warning := score_warning(task):
        yield Check("warning", "known issue", warning)
    yield _time_limit(spec.max_episode_steps, task)


def _success(environment: gym.Env, task: Task) -> Iterator[Check]:
    """A score that is the success rate needs an environment that tells."""
    if task.score == "success" and success_of(environment.step(environment.action_space.sample())[4]) is None:
        yield Check("error", "success", "the score is the success rate, and the environment does not tell of success")


def _time_limit(limit: int | None, task: Task) -> Check:
    expected = scenarios.get(task.scenario).max_episode_steps if task.scenario in scenarios.names() else limit
    if limit is None:
        return Check("error", "time limit", "the environment has none, so an episode may never end")
    if limit != expected:
        text = f"the environment ends an episode after {limit} steps, the protocol of {task.scenario} after {expected}"
        return Check("error", "time limit", f"{text}; scores would not compare")
    return Check("ok", "time limit", f"{limit} steps")


def _lengths(trajectories: Trajectories, limit: int | None) -> Check:
    lengths = trajectories.lengths
    text = f"{lengths.min()} to {lengths.max()} steps, mean {lengths.mean():.1f}"
    single, long = int((lengths == 1).sum()), int((lengths > limit).sum()) if limit else 0
    if single:
        text += f"; {single} of {len(lengths)} have one step, which shows nothing of what follows"
    if long:
        text += f"; {long} of {len(lengths)} are longer than an evaluation, of {limit} steps"
    return Check("warning" if single or long else "ok", "episode lengths", text)


def _target(trajectories: Trajectories) -> Check:
    task, target = trajectories.task, target_return(trajectories)
    starts = trajectories.returns_to_go[trajectories.episode_starts[:-1]]
    text = f"{target:.6g}, the {task.target_return_quantile:g} quantile of the returns-to-go"
    reached = 100.0 * float((starts >= target).mean())
    if reached == 0:  # usual: it is a quantile over all steps, and stays the target at every step
        return Check("ok", "target return", f"{text}; no episode starts with more than {starts.max():.6g}")
    return Check("ok", "target return", f"{text}; {reached:.3g} % of the episodes start with it or more")
