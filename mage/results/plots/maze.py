"""Trajectories in mazes; in the maze game as in the paper's Figures 3 and 4."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from mage.data.maze_game.drawing import COIN_RADIUS, COLOURS, GOAL_HALF_WIDTH
from mage.data.maze_game.environment import GOAL, GOLD, SILVER, WALLS, centre
from mage.errors import MageError
from mage.results.plots.style import save

COLUMNS = 4
LETTERS_AN_INCH = 10
"""Of a title, about; longer ones take several lines."""
REDS = ListedColormap(colormaps["Reds"](np.linspace(0.25, 1.0, 64)))
"""From the beginning of a trajectory, light, to its end."""


def plot_trajectories(
    panels: Mapping[str, Sequence[np.ndarray]], path: str | Path, goal: tuple[int, int] = GOAL
) -> None:
    """The maze game: walls dark, coins, goal, and trajectories in red, the lighter the earlier; a panel a policy.

    Args:
        panels: as of `draw_trajectories`, positions as the game observes them.
        path: of the picture, written whole or not at all.
        goal: cell (row, column) of the goal; by default that of the evaluation.

    Raises:
        MageError: there is no panel, or the file cannot be written.
    """
    save(draw_trajectories(panels, np.array(WALLS) == 1, partial(draw_game, goal=goal)), path)


def draw_trajectories(
    panels: Mapping[str, Sequence[np.ndarray]],
    walls: np.ndarray,
    beneath: Callable[[Axes], None] = lambda axis: None,
) -> Figure:
    """Walls dark, and trajectories in red, the lighter the earlier; a panel a policy, or a view of its plans.

    Args:
        panels: by title, trajectories of positions (T, 2) in cells, column and row; T may differ, a row of NaN
            interrupts the line. The shade of a step is its place among the steps of the panel's longest.
        walls: (rows, columns), true where there is a wall.
        beneath: draws what else lies in the maze.

    Raises:
        MageError: there is no panel.
    """
    if not panels:
        raise MageError("there is nothing to plot: no policy was given")
    columns, (height, width) = min(COLUMNS, len(panels)), walls.shape
    rows = -(-len(panels) // columns)
    across = 2.4 * max(1.0, width / height)
    size = (across * columns, (across * height / width + 0.3) * rows)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (title, trajectories) in zip(axes, panels.items(), strict=False):
        colours = ListedColormap([_colour("floor"), _colour("wall")])
        axis.imshow(walls, cmap=colours, vmin=0, vmax=1, extent=(0, width, height, 0), interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        beneath(axis)
        _draw_trajectories(axis, trajectories)
        axis.set_title(textwrap.fill(title, int(LETTERS_AN_INCH * across)), fontsize="medium")
    for unused in axes[len(panels) :]:
        unused.set_axis_off()
    return figure


def draw_goals(axis: Axes, goals: Sequence[np.ndarray]) -> None:
    """Places (2,) in cells that episodes lead to, each once."""
    for place in np.unique(np.round(np.reshape(goals, (-1, 2)), 6), axis=0):
        axis.plot(*place, "*", color=_colour("goal"), markeredgecolor="black", markeredgewidth=0.6, markersize=11)


def draw_game(axis: Axes, goal: tuple[int, int] = GOAL) -> None:
    """Coins and goal of the maze game."""
    left, top = centre(goal) - GOAL_HALF_WIDTH
    axis.add_patch(Rectangle((left, top), 2 * GOAL_HALF_WIDTH, 2 * GOAL_HALF_WIDTH, color=_colour("goal")))
    for name, cell in {"silver": SILVER, "gold": GOLD}.items():
        axis.add_patch(Circle(tuple(centre(cell)), COIN_RADIUS, facecolor=_colour(name), edgecolor="black", lw=0.6))


def _draw_trajectories(axis: Axes, trajectories: Sequence[np.ndarray]) -> None:
    longest = max((len(positions) for positions in trajectories), default=0)
    for positions in trajectories:
        segments = np.stack([positions[:-1], positions[1:]], axis=1)
        lines = LineCollection(list(segments), cmap=REDS, linewidths=1.0, alpha=0.8, zorder=3)
        lines.set_array(np.arange(len(segments)))
        lines.set_clim(0, max(longest - 2, 1))
        axis.add_collection(lines, autolim=False)


def _colour(name: str) -> tuple[float, float, float]:
    red, green, blue = COLOURS[name]
    return red / 255, green / 255, blue / 255
