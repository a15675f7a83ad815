"""The behaviour policy of D4RL's maze2d data: a PD controller along shortest paths of maze cells.

Cells are (row, column) of the maze map; positions are (x, y) of the simulator.
"""

from collections import deque
from collections.abc import Callable

import numpy as np

Cell = tuple[int, int]
P_GAIN, D_GAIN = 10.0, -1.0
# A cell on the way counts as passed at half a cell from its centre, a target as reached much nearer. D4RL wants 0.1 for
# both, which brakes at every cell: without noise that controller scores 201 on the U-maze, this one 228.
PASSED, REACHED = 0.5, 0.1


def free_cells(maze_map: list[list]) -> list[Cell]:
    return [(i, j) for i, row in enumerate(maze_map) for j, value in enumerate(row) if value != 1]


def next_cells(maze_map: list[list]) -> dict[tuple[Cell, Cell], Cell]:
    """(from, to) -> the next cell on a shortest path, for every pair of free cells that are connected."""
    free = set(free_cells(maze_map))
    table = {}
    for target in free:
        table[target, target] = target
        queue, seen = deque([target]), {target}
        while queue:
            cell = queue.popleft()
            for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                neighbour = (cell[0] + step[0], cell[1] + step[1])
                if neighbour in free and neighbour not in seen:
                    table[neighbour, target] = cell
                    seen.add(neighbour)
                    queue.append(neighbour)
    return table


class WaypointController:
    """Steers a point mass to a target, cell centre by cell centre, with force 10 (waypoint - position) - velocity."""

    def __init__(self, maze_map: list[list], centre_of: Callable[[Cell], np.ndarray]) -> None:
        self._next = next_cells(maze_map)
        self._centre_of = {cell: tuple(map(float, centre_of(cell))) for cell in free_cells(maze_map)}
        self._cells = list(self._centre_of)

    def start(self, position: np.ndarray, target: Cell, goal: tuple[float, float] | None = None) -> None:
        """Heads for the target cell's centre, or for a point `goal` inside that cell."""
        self._target, self._goal = target, goal or self._centre_of[target]
        self._waypoint = self._next[self.nearest_cell(position), target]

    def nearest_cell(self, position: np.ndarray) -> Cell:
        x, y = position
        return min(
            self._cells, key=lambda cell: (self._centre_of[cell][0] - x) ** 2 + (self._centre_of[cell][1] - y) ** 2
        )

    def act(self, observation: np.ndarray) -> tuple[float, float, bool]:
        """(force x, force y, target reached) for an observation (x, y, vx, vy); the forces are not clipped."""
        x, y, velocity_x, velocity_y = observation.tolist()
        at_target = self._waypoint == self._target
        to_x, to_y = self._goal if at_target else self._centre_of[self._waypoint]
        radius = REACHED if at_target else PASSED
        near = (to_x - x) ** 2 + (to_y - y) ** 2 < radius**2
        if near and not at_target:
            self._waypoint = self._next[self._waypoint, self._target]
        return P_GAIN * (to_x - x) + D_GAIN * velocity_x, P_GAIN * (to_y - y) + D_GAIN * velocity_y, near and at_target
