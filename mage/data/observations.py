"""The one rule that turns an observation, from a dataset or from a live environment, into a flat vector.

A plain box is ravelled. Of a goal dictionary the parts that its `observation_keys` name are laid end to end: the
observation and the desired goal, and between them the achieved goal if nothing in the observation repeats it (the
position of AntMaze's ant, which D4RL's 29 numbers begin with and Gymnasium-Robotics' 27 lack). A nested part is
flattened in sorted key order. Anything else is refused: a silent guess would change what the policy sees.

Values that lie far from zero for what they differ by, such as seconds since 1970, are told from an offset, which is
subtracted before they are single precision (`Task.observation_offset`).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from mage.errors import MageError

GOAL_KEYS = ("observation", "desired_goal")
GOAL_KEYS_WITH_POSITION = ("observation", "achieved_goal", "desired_goal")


def observation_keys(space: spaces.Space, observations: Any) -> tuple[str, ...]:
    """The dictionary keys that make up the flat vector, () for a plain box; other spaces raise MageError.

    Args:
        space: of one observation.
        observations: some of them with one leading axis, such as an episode's.
    """
    if isinstance(space, spaces.Box):
        return ()
    if isinstance(space, spaces.Dict) and set(space.spaces) == set(GOAL_KEYS_WITH_POSITION) and _only_boxes(space):
        achieved = observations["achieved_goal"]
        # nested, it is Kitchen's: what the observation says of each object, apart from the observation's noise
        repeated = isinstance(achieved, dict) or _repeats(observations["observation"], achieved)
        return GOAL_KEYS if repeated else GOAL_KEYS_WITH_POSITION
    raise MageError(
        f"The observation space {space} is not supported; it has to be a Box, or a Dict of boxes with the keys "
        "observation, achieved_goal and desired_goal."
    )


def flatten_observations(observations: Any, keys: tuple[str, ...] = (), kind: Any = np.float32) -> np.ndarray:
    """Observations with one leading axis (time or environments), length T -> (T, S) float32, or another kind."""
    if not isinstance(observations, dict):
        array = np.asarray(observations, dtype=kind)
        return array.reshape(len(array), math.prod(array.shape[1:]))
    parts = [flatten_observations(observations[key], kind=kind) for key in keys or sorted(observations)]
    return np.concatenate(parts, axis=1)


def flatten_observation(observation: Any, keys: tuple[str, ...] = (), offset: Sequence[float] = ()) -> np.ndarray:
    """One observation of a live environment -> (S,) float32; keys and offset are those of the data's task."""
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite
        if not offset:
            return flatten_observations(_with_leading_axis(observation), keys)[0]
        return less_offset(flatten_observations(_with_leading_axis(observation), keys, np.float64), offset)[0]


def less_offset(observations: np.ndarray, offset: Sequence[float] | np.ndarray) -> np.ndarray:
    """(T, S) -> (T, S) float32, subtracted in double precision; of another width, they are left to who checks it."""
    if observations.shape[1] != len(offset):
        return observations.astype(np.float32)
    return (observations.astype(np.float64) - np.asarray(offset)).astype(np.float32)


def _with_leading_axis(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: _with_leading_axis(value) for key, value in observation.items()}
    return np.asarray(observation)[None]


def _repeats(observations: np.ndarray, parts: np.ndarray) -> bool:
    """Whether each column of `parts` is also one of `observations`, both with a leading axis."""
    columns, wanted = (np.asarray(array).reshape(len(array), -1) for array in (observations, parts))
    return bool((columns[:, :, None] == wanted[:, None, :]).all(axis=0).any(axis=0).all())


def _only_boxes(space: spaces.Space) -> bool:
    if isinstance(space, spaces.Dict):
        return all(_only_boxes(inner) for inner in space.spaces.values())
    return isinstance(space, spaces.Box)
