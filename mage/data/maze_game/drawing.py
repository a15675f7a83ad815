"""The maze game as a picture, drawn with numpy alone."""

from collections.abc import Mapping

import numpy as np

PIXELS_A_CELL = 24
COLOURS = {
    "floor": (245, 245, 242),
    "wall": (64, 64, 64),
    "silver": (168, 172, 180),
    "gold": (226, 172, 32),
    "goal": (60, 160, 90),
    "agent": (204, 51, 17),
}
"""RGB; the plots of trajectories use the same."""
COIN_RADIUS, GOAL_HALF_WIDTH = 0.28, 0.4


def draw(
    walls: np.ndarray,
    agent: np.ndarray,
    half_width: float,
    goal: np.ndarray,
    coins: Mapping[str, np.ndarray | None],
) -> np.ndarray:
    """A picture (height, width, 3) uint8.

    Args:
        walls: (rows, columns), true where there is a wall.
        agent: (x, y) of its middle, in cells.
        half_width: of the agent.
        goal: (x, y).
        coins: (x, y) of `silver` and `gold`; None where it is collected.
    """
    picture = np.where(
        np.kron(walls, np.ones((PIXELS_A_CELL, PIXELS_A_CELL)))[..., None], *map(_rgb, ("wall", "floor"))
    )
    grid: np.ndarray = (np.indices(picture.shape[:2]) + 0.5) / PIXELS_A_CELL
    y, x = grid[0], grid[1]
    picture[_square(x, y, goal, GOAL_HALF_WIDTH)] = COLOURS["goal"]
    for name, coin in coins.items():
        if coin is not None:
            picture[(x - coin[0]) ** 2 + (y - coin[1]) ** 2 <= COIN_RADIUS**2] = COLOURS[name]
    picture[_square(x, y, agent, half_width)] = COLOURS["agent"]
    return picture


def _rgb(name: str) -> np.ndarray:
    return np.array(COLOURS[name], dtype=np.uint8)


def _square(x: np.ndarray, y: np.ndarray, middle: np.ndarray, half_width: float) -> np.ndarray:
    inside: np.ndarray = np.maximum(abs(x - middle[0]), abs(y - middle[1])) <= half_width
    return inside
