"""The maze game of Figure 3: collect the hidden silver coin, then the gold coin, then reach the goal (section B.4).

Positions are (x, y) in cells, x to the right and y downwards, so that cell (row, column) is the square
[column, column + 1] x [row, row + 1]. The agent is a square of half a cell.
"""

from collections.abc import Mapping, Sequence
from math import ceil, floor
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from mage.data.maze_controller import Cell, free_cells
from mage.data.maze_game.drawing import draw
from mage.errors import MageError

# S and G are where evaluation starts and ends, 1 is the silver coin, 2 the gold one. In the order of the game the legs
# are 8, 18 and 8 cells long; the direct way from S to G is 12 and passes no coin.
LAYOUT = (
    "#########",
    "#S..#..2#",
    "#.#.#.#.#",
    "#.#...#.#",
    "#.###.#.#",
    "#...#...#",
    "##.###.##",
    "#1...#.G#",
    "#########",
)
WALLS = [[int(square == "#") for square in row] for row in LAYOUT]
START, SILVER, GOLD, GOAL = (
    next((i, row.index(letter)) for i, row in enumerate(LAYOUT) if letter in row) for letter in "S12G"
)
# A step of at most the agent's width keeps the straight line between two positions out of the walls, at corners too.
HALF_WIDTH, STEP = 0.25, 0.5
# Without it episodes are all or nothing: a policy that lacks a hundredth of a cell at a corner is caught there forever.
SLIP_STD = 0.1


class MazeGame(gym.Env[np.ndarray, np.ndarray]):
    """Pays 1 for the silver coin, 1 for the gold coin once the silver one is collected, 1 for the goal once both are.

    The goal then ends the episode, with `success` in the info; the time limit is the specification's. A coin or goal
    that is not due yet is passed without effect.

    An observation is x, y, the goal's x, y, and whether silver and gold are collected. Without these flags two episodes
    can be at the same place with different ways to go, and no policy of the observation alone (BC, MAGE) can play the
    game from its rules: that is `hides_coins`. Where the coins lie is never shown; it is the same in every episode.

    An action in [-1, 1]^2 moves the agent by up to half a cell in x, then in y; it slides along walls. The ground is
    slippery: Gaussian noise with a standard deviation of 0.1 is added to the action.

    Args:
        start: cell of the agent at the beginning, anywhere in it that the agent fits; by default a random free one.
        goal: its cell; by default a random free one. Random cells are neither a coin's nor each other's.
        render_mode: None or `rgb_array`.
        hides_coins: an observation has the two positions only.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012 - Gymnasium's own declaration

    def __init__(
        self,
        start: Sequence[int] | None = None,
        goal: Sequence[int] | None = None,
        render_mode: str | None = None,
        hides_coins: bool = False,
    ) -> None:
        height, width = len(WALLS), len(WALLS[0])
        self._shown = 4 if hides_coins else 6
        high = np.array([width, height, width, height, 1, 1], np.float32)[: self._shown]
        self.observation_space = spaces.Box(np.zeros_like(high), high)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.render_mode = render_mode
        self._fixed: dict[str, Sequence[int] | None] = {"start": start, "goal": goal}
        for name, cell in self._fixed.items():
            _check_cell(name, cell)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode; `options` may hold `start` and `goal`, cells for this episode only."""
        super().reset(seed=seed)
        start, self._goal = self._choose_cells(self._fixed | (options or {}))
        room = 0.5 - HALF_WIDTH
        self._position = (centre(start) + self.np_random.uniform(-room, room, size=2)).astype(np.float32)
        self._silver = self._gold = self._success = False
        return self._observation(), {"success": False}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Moves, collects what is due in the cell of arrival; the second boolean is never set here."""
        slipping = np.clip(action, -1.0, 1.0) + SLIP_STD * self.np_random.standard_normal(2)
        moves = (STEP * np.clip(slipping, -1.0, 1.0)).tolist()
        for axis in (0, 1):
            self._position[axis] = slide(self._position.tolist(), axis, moves[axis])
        reward = float(self._collect(cell_at(self._position)))
        return self._observation(), reward, self._success, False, {"success": self._success}

    def render(self) -> np.ndarray | None:
        """A picture (height, width, 3) uint8; None without render_mode."""
        if self.render_mode is None:
            return None
        coins = {"silver": None if self._silver else centre(SILVER), "gold": None if self._gold else centre(GOLD)}
        return draw(np.array(WALLS, dtype=bool), self._position, HALF_WIDTH, centre(self._goal), coins)

    @property
    def position(self) -> np.ndarray:
        """(x, y) of the agent, where an episode ended too."""
        return self._position.copy()

    def _collect(self, cell: Cell) -> bool:
        """Takes what is due; whether there was anything."""
        if not self._silver:
            self._silver = cell == SILVER
            return self._silver
        if not self._gold:
            self._gold = cell == GOLD
            return self._gold
        due = not self._success
        self._success = self._success or cell == self._goal
        return due and self._success

    def _observation(self) -> np.ndarray:
        whole = np.array([*self._position, *centre(self._goal), self._silver, self._gold], dtype=np.float32)
        return whole[: self._shown]

    def _choose_cells(self, wanted: Mapping[str, Any]) -> tuple[Cell, Cell]:
        """Start and goal: as wanted, else drawn; drawing both each time keeps the seed's other numbers the same."""
        for name in ("start", "goal"):
            _check_cell(name, wanted[name])
        taken = [SILVER, GOLD, *(tuple(cell) for cell in (wanted["start"], wanted["goal"]) if cell is not None)]
        cells = [cell for cell in free_cells(WALLS) if cell not in taken]
        drawn = [cells[index] for index in self.np_random.choice(len(cells), size=2, replace=False)]
        start, goal = (
            cell if wanted[name] is None else (int(wanted[name][0]), int(wanted[name][1]))
            for name, cell in zip(("start", "goal"), drawn, strict=True)
        )
        return start, goal


def centre(cell: Sequence[int]) -> np.ndarray:
    """(x, y) of the middle of a cell (row, column)."""
    return np.array([cell[1] + 0.5, cell[0] + 0.5])


def cell_at(position: np.ndarray) -> Cell:
    """The cell (row, column) that holds a position (x, y)."""
    return floor(position[1]), floor(position[0])


def slide(position: Sequence[float], axis: int, move: float) -> float:
    """Where a move along one axis ends: at the wall, if the agent's leading edge would enter one.

    Positions against a wall are multiples of a quarter, hence exact; no tolerance is needed.
    """
    arrival, across, back = position[axis] + move, position[1 - axis], move < 0
    ahead = floor(arrival - HALF_WIDTH) if back else ceil(arrival + HALF_WIDTH) - 1
    for lane in range(floor(across - HALF_WIDTH), ceil(across + HALF_WIDTH)):
        row, column = (lane, ahead) if axis == 0 else (ahead, lane)
        if WALLS[row][column]:
            return ahead + 1 + HALF_WIDTH if back else ahead - HALF_WIDTH
    return arrival


def _check_cell(name: str, cell: Sequence[int] | None) -> None:
    if cell is not None and (len(cell) != 2 or tuple(cell) not in free_cells(WALLS)):
        raise MageError(f"The {name} of the maze game is {list(cell)}; it has to be [row, column] of a free cell.")
