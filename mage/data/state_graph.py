"""A graph of the states that a dataset has been in, and shortest paths in it, as rows of the data.

A node stands for the states nearest to one of some that are spread out evenly, its centre. An edge leads from node to
node where an episode went from one to the other within a few steps; it remembers the cheapest such piece, so a path is
a row of pieces that were really driven. Where episodes share nodes, paths change from one to the other. To get from a
centre to where a piece begins, and from where it ends to the next centre, costs what episodes need for so far: or else
a path would jump ahead in every node, and its states would lie too far apart. No edge is added between states that are
merely near: there may be a wall between them.

Shape suffixes: R rows of the data, C values that tell places apart, V nodes, P paths, M states of a path.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

CANDIDATES = 20_000
"""Of which nodes are chosen: to look at all rows once a node would cost as many passes over the data."""


class Edges(NamedTuple):
    """What leads from node to node, (V, V).

    Attributes:
        cost_VV: of the cheapest piece, and of the ways to it and from it; infinite where there is none.
        row_VV: where in the data it begins.
        steps_VV: how many it has.
        before_VV: steps of the way to it.
        all_VV: steps of all three.
    """

    cost_VV: np.ndarray
    row_VV: np.ndarray
    steps_VV: np.ndarray
    before_VV: np.ndarray
    all_VV: np.ndarray


class StateGraph:
    """Nodes and edges of a dataset: a pure function of its arguments.

    Attributes:
        node_R: the node of each row.
        aside_R: steps that it is away from the centre of it.
        edges: between nodes.

    Args:
        place_RC: of every row.
        last_R: the last row of the episode of each.
        cost_R: of the step from each row to the next, above 0.
        nodes: how many at most.
        reach: steps of an edge at most.
        seed: of the rows that nodes are chosen of.
    """

    def __init__(
        self, place_RC: np.ndarray, last_R: np.ndarray, cost_R: np.ndarray, nodes: int, reach: int, seed: int = 0
    ) -> None:
        distance_R, self.node_R = cKDTree(place_RC[spread_out(place_RC, nodes, seed)]).query(place_RC)
        self.aside_R = distance_R / typical_step(place_RC, last_R)
        self.total_R = np.concatenate([[0.0], np.cumsum(cost_R[:-1], dtype=np.float64)])
        self.edges = self._edges(last_R, reach, float(cost_R.mean()))

    def cost(self, row_R: np.ndarray, later_R: np.ndarray) -> np.ndarray:
        """What the data itself paid from rows to later ones of the same episodes."""
        paid: np.ndarray = self.total_R[later_R] - self.total_R[row_R]
        return paid

    def _edges(self, last_R: np.ndarray, reach: int, step_cost: float) -> Edges:
        nodes, rows_R = int(self.node_R.max()) + 1, np.arange(len(last_R))
        cost = np.full(nodes * nodes, np.inf)
        row, steps = np.zeros(nodes * nodes, np.int64), np.zeros(nodes * nodes, np.int32)
        for ahead in range(1, reach + 1):
            from_ = rows_R[rows_R + ahead <= last_R]
            to = from_ + ahead
            pair = self.node_R[from_] * nodes + self.node_R[to]
            paid = self.cost(from_, to) + step_cost * (self.aside_R[from_] + self.aside_R[to])
            before = cost[pair]
            np.minimum.at(cost, pair, paid)
            better = (paid < before) & (paid == cost[pair])
            steps[pair[better]], row[pair[better]] = ahead, from_[better]
        cost[:: nodes + 1] = np.inf
        before = self.aside_R[row]
        all_ = before + steps + self.aside_R[np.minimum(row + steps, len(last_R) - 1)]
        return Edges(*(each.reshape(nodes, nodes) for each in (cost, row, steps, before, all_)))

    def paths(self, from_P: np.ndarray, to_P: np.ndarray, interval: int, states: int) -> Paths:
        """The cheapest from nodes to nodes, of which every `interval`-th state is told, so many in all."""
        is_edge = np.isfinite(self.edges.cost_VV)
        backwards = csr_matrix(np.where(is_edge, self.edges.cost_VV, 0.0).T)
        cost_P, steps_P = np.empty(len(from_P)), np.empty(len(from_P))
        row_PM = np.empty((len(from_P), states), np.int64)
        for target in np.unique(to_P):
            of_P = np.flatnonzero(to_P == target)
            cost_V, next_V = dijkstra(backwards, indices=target, return_predecessors=True)
            cost_P[of_P] = cost_V[from_P[of_P]]
            row_PM[of_P], steps_P[of_P] = self._walk(from_P[of_P], target, next_V, interval, states)
        return Paths(cost_P, steps_P, row_PM)

    def _walk(
        self, at_P: np.ndarray, target: int, next_V: np.ndarray, interval: int, states: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Every `interval`-th row on the way of nodes to one of them, and how many steps that is."""
        row_PM, gone_P = np.full((len(at_P), states), -1), np.zeros(len(at_P))
        wanted_M = interval * np.arange(states)
        while (moving := np.flatnonzero((at_P != target) & (next_V[at_P] >= 0))).size:
            here, there = at_P[moving], next_V[at_P[moving]]
            _, row, steps, before, all_ = (each[here, there][:, None] for each in self.edges)
            offset = wanted_M - gone_P[moving, None]
            on_it = (offset >= 0) & (offset < all_)
            at_row = row + np.clip(np.rint(offset - before).astype(np.int64), 0, steps)
            row_PM[moving] = np.where(on_it, at_row, row_PM[moving])
            gone_P[moving] += all_[:, 0]
            at_P = at_P.copy()
            at_P[moving] = there
        return row_PM, gone_P


class Paths(NamedTuple):
    """Ways from nodes to nodes.

    Attributes:
        cost_P: infinite where there is none.
        steps_P: how many, with those from piece to piece.
        row_PM: of the states on them at even distances, the first at the beginning; -1 past the end.
    """

    cost_P: np.ndarray
    steps_P: np.ndarray
    row_PM: np.ndarray


def typical_step(place_RC: np.ndarray, last_R: np.ndarray) -> float:
    """How far a step of an episode leads on average; 1 where nothing moves."""
    stays_R = np.arange(len(last_R) - 1) < last_R[:-1]
    length_R = np.linalg.norm(np.diff(place_RC.astype(np.float64), axis=0), axis=1)[stays_R]
    return float(length_R.mean() if len(length_R) else 0.0) or 1.0


def spread_out(place_RC: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """So many rows, each the farthest from those before it, or fewer where these are everywhere already."""
    few = min(len(place_RC), CANDIDATES)
    candidate_K = np.sort(np.random.default_rng(seed).choice(len(place_RC), few, replace=False))
    place_KC = place_RC[candidate_K].astype(np.float32)
    chosen, distance_K = [0], np.full(few, np.inf, np.float32)
    while len(chosen) < count:
        away_KC = place_KC - place_KC[chosen[-1]]
        distance_K = np.minimum(distance_K, np.einsum("kc,kc->k", away_KC, away_KC))
        farthest = int(distance_K.argmax())
        if not distance_K[farthest]:
            break
        chosen.append(farthest)
    return candidate_K[chosen]
