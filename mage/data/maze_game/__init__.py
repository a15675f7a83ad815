"""The maze game of the paper's Figure 3 (section B.4): its environment and the data recorded in it."""

from mage.data.maze_game.environment import LAYOUT, MazeGame

__all__ = ["LAYOUT", "MazeGame"]
