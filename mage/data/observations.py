"""The one rule that turns an observation, from a dataset or from a live environment, into a flat vector.

A plain box is ravelled. A goal dictionary becomes (observation, desired_goal); achieved_goal is left out because it
repeats part of the observation or can be computed from it. A nested desired_goal is flattened in sorted key order.
Anything else is refused: a silent guess would change what the policy sees.
"""

from typing import Any

import numpy as np
from gymnasium import spaces

from mage.errors import MageError

GOAL_KEYS = ("observation", "desired_goal")
_GOAL_SPACE_KEYS = {"observation", "achieved_goal", "desired_goal"}


def observation_keys(space: spaces.Space) -> tuple[str, ...]:
    """The dictionary keys that make up the flat vector, () for a plain box; other spaces raise MageError."""
    if isinstance(space, spaces.Box):
        return ()
    if isinstance(space, spaces.Dict) and set(space.spaces) == _GOAL_SPACE_KEYS and _only_boxes(space):
        return GOAL_KEYS
    raise MageError(
        f"The observation space {space} is not supported; it has to be a Box, or a Dict of boxes with the keys "
        "observation, achieved_goal and desired_goal."
    )


def flatten_observations(observations: Any) -> np.ndarray:
    """Observations with one leading axis (time or environments), length T -> (T, S) float32."""
    if not isinstance(observations, dict):
        array = np.asarray(observations, dtype=np.float32)
        return array.reshape(len(array), -1)
    keys = GOAL_KEYS if set(observations) == _GOAL_SPACE_KEYS else tuple(sorted(observations))
    return np.concatenate([flatten_observations(observations[key]) for key in keys], axis=1)


def flatten_observation(observation: Any) -> np.ndarray:
    """One observation of a live environment -> (S,) float32."""
    return flatten_observations(_with_leading_axis(observation))[0]


def _with_leading_axis(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: _with_leading_axis(value) for key, value in observation.items()}
    return np.asarray(observation)[None]


def _only_boxes(space: spaces.Space) -> bool:
    if isinstance(space, spaces.Dict):
        return all(_only_boxes(inner) for inner in space.spaces.values())
    return isinstance(space, spaces.Box)
