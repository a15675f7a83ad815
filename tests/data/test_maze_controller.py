import numpy as np
import pytest

from mage.data.maze2d import MAZES
from mage.data.maze_controller import WaypointController, free_cells, next_cells


@pytest.mark.parametrize("name", MAZES)
def test_following_the_next_cells_reaches_every_cell_from_every_other(name: str) -> None:
    walls = MAZES[name].walls
    table, cells = next_cells(walls), free_cells(walls)
    for start in cells:
        for target in cells:
            cell, steps = start, 0
            while cell != target:
                following = table[cell, target]
                assert abs(following[0] - cell[0]) + abs(following[1] - cell[1]) == 1
                assert walls[following[0]][following[1]] != 1
                cell, steps = following, steps + 1
                assert steps <= len(cells)


def test_the_path_is_a_shortest_one() -> None:
    around_a_pillar = [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1]]
    table, cell, steps = next_cells(around_a_pillar), (3, 0), 0
    while cell != (0, 3):
        cell, steps = table[cell, (0, 3)], steps + 1
    assert steps == 6


def test_the_controller_pushes_towards_the_waypoint_against_the_velocity() -> None:
    controller = WaypointController([[0, 0, 0]], lambda cell: np.array([cell[1], 0.0]))
    controller.start(np.array([0.0, 0.0]), (0, 2))
    assert controller.act(np.array([0.0, 0.1, 0.5, 0.0])) == pytest.approx((9.5, -1.0, False))
    controller.act(np.array([0.9, 0.0, 0.0, 0.0]))
    assert controller.act(np.array([0.9, 0.0, 0.0, 0.0])) == pytest.approx((11.0, 0.0, False))
    assert controller.act(np.array([1.95, 0.0, 0.0, 0.0])) == pytest.approx((0.5, 0.0, True))
