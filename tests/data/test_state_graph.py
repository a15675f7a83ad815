"""The graph of a dataset's states: hand-counted ways, and nothing that no episode has driven."""

import numpy as np
import pytest

from mage.data.state_graph import StateGraph, spread_out, typical_step

# two episodes on a grid that cross at (2, 2): along y = 2 from (0, 2) to (4, 2), then along x = 2 from (2, 0) to (2, 4)
ALONG = [(x, 2.0) for x in range(5)]
ACROSS = [(2.0, y) for y in range(5)]
PLACE_RC = np.array([*ALONG, *ACROSS])
LAST_R = np.repeat([4, 9], 5)


def crossing(reach: int = 2) -> StateGraph:
    return StateGraph(PLACE_RC, LAST_R, np.ones(10), nodes=9, reach=reach)


def test_a_path_changes_episodes_where_they_cross_and_costs_the_steps_that_are_counted_by_hand() -> None:
    graph = crossing()
    from_, to = graph.node_R[[0]], graph.node_R[[9]]
    paths = graph.paths(from_, to, interval=1, states=6)
    assert (paths.cost_P.tolist(), paths.steps_P.tolist()) == ([4.0], [4])
    rows = paths.row_PM[0]
    assert [tuple(PLACE_RC[row]) for row in rows[:4]] == [(0, 2), (1, 2), (2, 2), (2, 3)]
    assert rows[4:].tolist() == [-1, -1]  # the target itself is who asks' own


def test_states_on_a_path_lie_evenly_within_its_pieces_too() -> None:
    graph = crossing()
    rows = graph.paths(graph.node_R[[0]], graph.node_R[[9]], interval=3, states=3).row_PM[0]
    assert tuple(PLACE_RC[rows[1]]) == (2, 3)
    assert rows[2] == -1


def test_no_edge_joins_what_no_episode_has_joined_and_each_is_the_cheapest_seen() -> None:
    rng = np.random.default_rng(0)
    place_RC, last_R, cost_R = rng.integers(0, 4, (60, 2)).astype(float), np.repeat([29, 59], 30), rng.uniform(1, 2, 60)
    graph = StateGraph(place_RC, last_R, cost_R, nodes=10, reach=3)
    wanted = np.full_like(graph.edges.cost_VV, np.inf)
    for row in range(60):
        for ahead in range(1, 4):
            if row + ahead <= last_R[row]:
                pair = graph.node_R[row], graph.node_R[row + ahead]
                aside = (graph.aside_R[row] + graph.aside_R[row + ahead]) * cost_R.mean()
                wanted[pair] = min(wanted[pair], cost_R[row : row + ahead].sum() + aside)
    np.fill_diagonal(wanted, np.inf)
    np.testing.assert_allclose(graph.edges.cost_VV, wanted)
    start, end = (each.ravel() for each in np.indices(wanted.shape))
    cost = graph.paths(start, end, interval=1, states=1).cost_P.reshape(wanted.shape)
    assert (cost <= wanted + 1e-9).all()
    assert (cost[:, None, :] <= cost[:, :, None] + cost[None, :, :] + 1e-9).all()


def test_there_is_no_way_back_along_an_episode() -> None:
    graph = crossing()
    paths = graph.paths(graph.node_R[[9]], graph.node_R[[0]], interval=1, states=2)
    assert np.isinf(paths.cost_P[0])


@pytest.mark.parametrize("count", [1, 5, 9, 20])
def test_nodes_are_rows_of_their_own_that_are_spread_out(count: int) -> None:
    rows = spread_out(PLACE_RC, count)
    assert len(rows) == len({tuple(PLACE_RC[row]) for row in rows}) == min(count, 9)
    assert np.array_equal(rows, spread_out(PLACE_RC, count))
    if count == 5:  # the middle is nearest to all, and the ends of both roads are far from each other
        assert {(4, 2), (2, 0), (2, 4)} <= {tuple(PLACE_RC[row]) for row in rows}


def test_a_path_does_not_jump_ahead_in_wide_nodes() -> None:
    place_RC, last_R = np.arange(40.0)[:, None], np.full(40, 39)
    graph = StateGraph(place_RC, last_R, np.ones(40), nodes=10, reach=4)
    from_, to = graph.node_R[[0]], graph.node_R[[39]]
    centres = np.array([place_RC[row, 0] for row in np.flatnonzero(graph.aside_R == 0)])
    paths = graph.paths(from_, to, interval=4, states=10)
    between = np.ptp(centres)  # from the first centre to the last, a step each
    assert paths.cost_P[0] == pytest.approx(paths.steps_P[0])
    assert between <= paths.cost_P[0] <= between + 9
    states = place_RC[paths.row_PM[0][paths.row_PM[0] >= 0], 0]
    assert len(states) >= 9
    assert np.diff(states).max() <= 4 + 2  # half a node more than the steps between them


def test_how_far_a_step_leads_is_told_from_the_steps_of_episodes_alone() -> None:
    assert typical_step(np.array([[0.0], [2], [4], [90], [94]]), np.array([2, 2, 2, 4, 4])) == pytest.approx(8 / 3)
    assert typical_step(np.zeros((3, 1)), np.full(3, 2)) == 1
