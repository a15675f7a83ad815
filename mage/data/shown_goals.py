"""Where the flat observations of a family of scenarios, or of a scenario, show the goal, for presets."""

from __future__ import annotations

from typing import Any


def _beside(size: int) -> dict[str, Any]:
    """Of a state of so many values, and then the whole state that is to be reached."""
    return {"columns": tuple(range(size, 2 * size)), "position": tuple(range(size)), "velocity": ()}


# 59 values, then the wanted kettle (7), light switch (2), microwave (1) and slide cabinet (1)
_COMPLETE = {"columns": tuple(range(59, 70)), "position": (*range(32, 39), 26, 27, 31, 28), "velocity": ()}
# 59 values, then the wanted bottom burner (2), kettle, light switch and microwave
_MIXED = {"columns": tuple(range(59, 71)), "position": (20, 21, *range(32, 39), 26, 27, 31), "velocity": ()}

SHOWN_GOALS: dict[str, dict[str, Any]] = {
    # 27 values of the body, its position, the goal; at the goal the body is as in the data's first observation
    "antmaze": {"columns": (29, 30), "position": (27, 28), "velocity": ()},
    "kitchen": _COMPLETE,
    "kitchen-mixed": _MIXED,
    # its position and velocity are all of a point's state
    "maze2d": {"columns": (4, 5), "position": (0, 1), "velocity": (2, 3)},
    "pointmaze-giant-goals-v0": _beside(2),
    "antmaze-giant-goals-v0": _beside(29),
    "antmaze-teleport-goals-v0": _beside(29),
    "humanoidmaze-giant-goals-v0": _beside(69),
}
"""Family or scenario -> fields of `GoalConfig`. OGBench's single tasks show none."""
