"""Trajectories in the maze game as in the paper's Figures 3 and 4, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from mage.data.maze_game.drawing import COIN_RADIUS, COLOURS, GOAL_HALF_WIDTH
from mage.data.maze_game.environment import GOAL, GOLD, SILVER, WALLS, centre
from mage.errors import MageError
from mage.files import replacing

COLUMNS = 4
REDS = ListedColormap(colormaps["Reds"](np.linspace(0.25, 1.0, 64)))
"""From the beginning of a trajectory, light, to its end."""


def plot_trajectories(
    panels: Mapping[str, Sequence[np.ndarray]], path: str | Path, goal: tuple[int, int] = GOAL
) -> None:
    """Walls dark, coins, goal, and trajectories in red, the lighter the earlier; a panel a policy.

    Args:
        panels: by title, trajectories of positions (T, 2) in cells, as the game observes them; T may differ, a row of
            NaN interrupts the line. The shade of a step is its place among the steps of the panel's longest.
        path: of the PNG, written whole or not at all.
        goal: cell (row, column) of the goal; by default that of the evaluation.

    Raises:
        MageError: there is no panel, or the file cannot be written.
    """
    if not panels:
        raise MageError("there is nothing to plot: no policy was given")
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.4 * columns, 2.7 * rows), dpi=100, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (title, trajectories) in zip(axes, panels.items(), strict=False):
        _draw_maze(axis, goal)
        _draw_trajectories(axis, trajectories)
        axis.set_title(title, fontsize="medium")
    for unused in axes[len(panels) :]:
        unused.set_axis_off()
    canvas = FigureCanvasAgg(figure)
    with replacing(Path(path)) as temporary:
        canvas.print_png(str(temporary))


def _draw_maze(axis: Axes, goal: tuple[int, int]) -> None:
    height, width = len(WALLS), len(WALLS[0])
    axis.imshow(
        np.array(WALLS),
        cmap=ListedColormap([_colour("floor"), _colour("wall")]),
        extent=(0, width, height, 0),
        interpolation="nearest",
    )
    left, top = centre(goal) - GOAL_HALF_WIDTH
    axis.add_patch(Rectangle((left, top), 2 * GOAL_HALF_WIDTH, 2 * GOAL_HALF_WIDTH, color=_colour("goal")))
    for name, cell in {"silver": SILVER, "gold": GOLD}.items():
        axis.add_patch(Circle(tuple(centre(cell)), COIN_RADIUS, facecolor=_colour(name), edgecolor="black", lw=0.6))
    axis.set_xticks([])
    axis.set_yticks([])


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
