"""Checks the episodes of a dataset as they are stored: shapes, types, values, bounds and ends."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import minari
import numpy as np

from mage.data.minari_source import action_bounds, reading
from mage.data.observations import flatten_observations, observation_keys

Level = Literal["ok", "warning", "error"]
Ending = Literal["terminated", "cut off", "unmarked", "marked twice", "marked early"]


class Check(NamedTuple):
    """What was looked at, and what was found."""

    level: Level
    name: str
    text: str


class _Episode(NamedTuple):
    """One episode as it is on disk; lengths and widths by part, values outside the action bounds of so many in all."""

    steps: int
    lengths: dict[str, int]
    widths: dict[str, int]
    types: dict[str, frozenset[np.dtype]]
    not_finite: dict[str, int]
    outside: int
    actions: int
    ending: Ending


def check_episodes(dataset_id: str) -> Iterator[Check]:
    """The checks of the episodes as they are stored."""
    with reading(dataset_id):
        episodes = list(_scan(minari.load_dataset(dataset_id)))
    if not episodes:
        yield Check("error", "episodes", "there are none")
        return
    yield _shapes(episodes)
    yield _types(episodes)
    yield _finite(episodes)
    yield _actions(episodes)
    yield _endings(episodes)


def _scan(dataset: minari.MinariDataset) -> Iterator[_Episode]:
    low, high = map(np.array, action_bounds(dataset))
    keys: tuple[str, ...] | None = None
    for episode in dataset.iterate_episodes():
        if keys is None:
            keys = observation_keys(dataset.observation_space, episode.observations)
        flags = {"terminations": np.asarray(episode.terminations), "truncations": np.asarray(episode.truncations)}
        raw = {"actions": np.asarray(episode.actions), "rewards": np.asarray(episode.rewards)}
        observations = flatten_observations(episode.observations, keys)
        parts = {"observations": observations, **raw}
        actions = raw["actions"]
        fits = actions.shape[1:] == low.shape
        yield _Episode(
            steps=len(raw["rewards"]),
            lengths={name: len(part) for name, part in {**parts, **flags}.items()},
            widths={name: int(np.prod(part.shape[1:])) for name, part in parts.items()},
            types={
                "observations": frozenset(_types_in(episode.observations)),
                **{name: frozenset({part.dtype}) for name, part in raw.items()},
            },
            not_finite={name: int((~np.isfinite(part)).sum()) for name, part in parts.items()},
            outside=int(((actions < low) | (actions > high)).sum()) if fits else 0,
            actions=actions.size,
            ending=_ending(flags["terminations"], flags["truncations"]),
        )


def _types_in(observations: Any) -> Iterator[np.dtype]:
    if isinstance(observations, dict):
        for part in observations.values():
            yield from _types_in(part)
    else:
        yield np.asarray(observations).dtype


def _ending(terminations: np.ndarray, truncations: np.ndarray) -> Ending:
    marks = np.union1d(np.flatnonzero(terminations), np.flatnonzero(truncations))
    if len(marks) == 0:
        return "unmarked"
    if marks[0] < len(terminations) - 1:
        return "marked early"
    if terminations[-1] and truncations[-1]:
        return "marked twice"
    return "terminated" if terminations[-1] else "cut off"


def _shapes(episodes: Sequence[_Episode]) -> Check:
    widths = episodes[0].widths
    for number, episode in enumerate(episodes):
        expected = {name: episode.steps + (name == "observations") for name in episode.lengths}
        wrong = [name for name, length in episode.lengths.items() if length != expected[name]]
        if episode.steps == 0:
            return Check("error", "shapes", f"episode {number} has no steps")
        if wrong:
            name = wrong[0]
            text = f"episode {number} has {episode.steps} rewards and {episode.lengths[name]} {name}"
            return Check("error", "shapes", f"{text}, expected {expected[name]}")
        if episode.widths != widths:
            name = next(name for name in widths if episode.widths[name] != widths[name])
            text = (
                f"the {name} of episode {number} have {episode.widths[name]} values, those of episode 0 {widths[name]}"
            )
            return Check("error", "shapes", text)
    sizes = f"{widths['observations']} observation and {widths['actions']} action values a step"
    return Check("ok", "shapes", f"{len(episodes)} episodes, {sum(one.steps for one in episodes)} steps, {sizes}")


def _types(episodes: Sequence[_Episode]) -> Check:
    names = ("observations", "actions", "rewards")
    types = {name: frozenset[np.dtype]().union(*(episode.types[name] for episode in episodes)) for name in names}
    odd = any(one.kind != "f" for name in ("observations", "actions") for one in types[name])
    text = ", ".join(f"{name} {' and '.join(sorted(str(one) for one in types[name]))}" for name in names)
    return Check("warning" if odd else "ok", "types", f"{text}; read as float32")


def _finite(episodes: Sequence[_Episode]) -> Check:
    for name in ("observations", "actions", "rewards"):
        bad = [number for number, episode in enumerate(episodes) if episode.not_finite[name]]
        if bad:
            count = sum(episode.not_finite[name] for episode in episodes)
            text = (
                f"{count} values of the {name} are NaN or infinite, in {len(bad)} episodes, first in episode {bad[0]}"
            )
            return Check("error", "values", text)
    return Check("ok", "values", "all are finite")


def _actions(episodes: Sequence[_Episode]) -> Check:
    outside, total = sum(one.outside for one in episodes), sum(one.actions for one in episodes)
    if outside:
        share = 100.0 * outside / total
        return Check("warning", "actions", f"{share:.3g} % of the values are outside the bounds of the action space")
    return Check("ok", "actions", "all are within the bounds of the action space")


def _endings(episodes: Sequence[_Episode]) -> Check:
    endings = [episode.ending for episode in episodes]
    counts = {ending: endings.count(ending) for ending in dict.fromkeys(endings)}
    level: Level = "ok" if set(counts) <= {"terminated", "cut off"} else "warning"
    return Check(level, "episode ends", ", ".join(f"{count} {ending}" for ending, count in counts.items()))
