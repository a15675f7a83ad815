"""Sub-goals for training that are planned in the graph of a dataset's states, and what their path earns.

Of every step of the data the target is the next rewarded state of its episode, or the episode's last. Where the graph
knows a cheaper way there than the episode took, sub-goals are on that way; else they are the episode's own states.

Shape suffixes: R rows of the data, W steps that sub-goals are made for, B some of them, P paths, M sub-goals.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from mage.config import Component
from mage.data.state_graph import StateGraph
from mage.data.steps import Steps
from mage.data.transitions import GOAL_REWARD
from mage.errors import MageError

LEAST_COST = 1e-3


class GraphConfig(Component):
    """The graph of states, and where its paths lead. Nobody published any of it: all of it is ours."""

    nodes: int = Field(1000, ge=2, description="spread out evenly over the data: bounded memory, nothing to learn")
    reach: int = Field(30, ge=1, description="steps of an edge at most; twice hierarchy.interval, so paths can change")
    columns: tuple[int, ...] = Field(
        (),
        description="of the observation, by which states are told apart: those of the task, since states of many "
        "values share no nodes, and then no path is shorter than its episode; (): all",
    )
    weights: tuple[float, ...] = Field(
        (), description="of the columns, in deviations: velocities matter less than positions; (): 1"
    )
    target: Literal["rewarded", "last"] = Field(
        "last",
        description="of a path: the next state that is rewarded with 1, and sub-goals go by what the path earns; or "
        "the episode's last, and they go by what the episode earned",
    )
    reward_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="of a step's cost that is the reward it lacks to the data's best, in its range; the rest is 1 a "
        "step. Without it a path would shun what is to be collected on the way",
    )
    seed: int = Field(0, ge=0, description="of the states that nodes are chosen of")

    @model_validator(mode="after")
    def _check(self) -> GraphConfig:
        if self.weights and len(self.weights) != len(self.columns):
            raise ValueError(f"weights {self.weights} and columns {self.columns} differ in length")
        return self


class Planned(NamedTuple):
    """Sub-goals as rows of the data (B, M), and what is earned from there on and whether the path is shorter than the
    episode's own, (B,).

    What is earned is the discounted return, from 0 for the lowest of the data to 1 for its highest; of the path, if its
    target is a reward, where rewards are never negative.
    """

    row_BM: Tensor
    earned_B: Tensor
    is_shorter_B: Tensor


class GraphSubgoals:
    """Sub-goals of every step of the data but the last ones of episodes; the graph is made when it is first asked.

    Args:
        data: its steps.
        own: the graph.
        kept: columns that are there to tell states apart, if none are said.
        interval: steps from one sub-goal to the next.
        subgoals: M.

    Raises:
        MageError: the data has no such columns.
    """

    def __init__(self, data: Steps, own: GraphConfig, kept: list[int], interval: int, subgoals: int) -> None:
        self.data, self.own, self.interval, self.subgoals = data, own, interval, subgoals
        self.columns = list(own.columns or kept)
        size = data.observations(torch.zeros(1, dtype=torch.long, device=data.device)).shape[1]
        if max(self.columns) >= size:
            raise MageError(f"graph.columns {own.columns} are not all among the {size} columns of an observation")
        rows = torch.arange(len(data), device=data.device)
        self.starts = rows[rows < data.last_rows(rows)]
        if not len(self.starts):
            raise MageError("every episode of this data has one step: there is no way to plan in it")

    def __len__(self) -> int:
        return len(self.starts)

    def plan(self, numbers_B: Tensor) -> Planned:
        """For steps by their numbers."""
        found = self._found
        row_B, target_B, is_shorter_B = self.starts[numbers_B], found.target_W[numbers_B], found.is_shorter_W[numbers_B]
        ahead_M = self.interval * torch.arange(self.subgoals, device=row_B.device)
        own_BM = torch.minimum(row_B[:, None] + ahead_M, target_B[:, None])
        graph_BM = found.row_PM[found.path_W[numbers_B]]
        graph_BM = torch.where(graph_BM < 0, target_B[:, None], graph_BM)
        graph_BM[:, 0] = row_B
        return Planned(torch.where(is_shorter_B[:, None], graph_BM, own_BM), found.earned_W[numbers_B], is_shorter_B)

    @cached_property
    def _found(self) -> _Found:
        """The graph's paths from every start to its target, each pair of nodes once."""
        data, own = self.data, self.own
        rows = torch.arange(len(data), device=data.device)
        place_RC = data.observations(rows)[:, self.columns].cpu().numpy()
        if own.weights:
            place_RC = place_RC * np.asarray(own.weights, np.float32)
        last_R, start_W = data.last_rows(rows).cpu().numpy(), self.starts.cpu().numpy()
        reward_R = data.rewards(rows).cpu().numpy().astype(np.float64)
        graph = StateGraph(place_RC, last_R, step_costs(reward_R, own.reward_share), own.nodes, own.reach, own.seed)
        target_W = last_R[start_W]
        if own.target == "rewarded":
            target_W = next_rewarded(reward_R, last_R)[start_W]
        nodes = int(graph.node_R.max()) + 1
        pair_P, path_W = np.unique(graph.node_R[start_W] * nodes + graph.node_R[target_W], return_inverse=True)
        paths = graph.paths(pair_P // nodes, pair_P % nodes, self.interval, self.subgoals)
        is_shorter_W = paths.cost_P[path_W] < graph.cost(start_W, target_W) - 1e-9
        earned_W = data.weights(self.starts)
        if own.target == "rewarded":
            steps_W = torch.from_numpy(np.where(is_shorter_W, paths.steps_P[path_W], target_W - start_W))
            there_W = data.weights(torch.from_numpy(target_W).to(data.device))
            earned_W = torch.maximum(earned_W, there_W * data.discount ** steps_W.to(data.device))
        arrays = (target_W, path_W.reshape(-1), is_shorter_W, paths.row_PM)
        target, path, is_shorter, row = (torch.from_numpy(array).to(data.device) for array in arrays)
        return _Found(target, path, is_shorter, row, earned_W.float())


class _Found(NamedTuple):
    """The target and the path of every start, whether that is shorter than its episode, the states of every path, and
    what is earned from every start."""

    target_W: Tensor
    path_W: Tensor
    is_shorter_W: Tensor
    row_PM: Tensor
    earned_W: Tensor


def step_costs(reward_R: np.ndarray, reward_share: float) -> np.ndarray:
    """Of every step: 1, and by that share the reward that it lacks to the best in the range of rewards; above 0."""
    best, worst = reward_R.max(), reward_R.min()
    lacking_R = (best - reward_R) / ((best - worst) or 1.0)
    costs: np.ndarray = np.maximum(1 - reward_share + reward_share * lacking_R, LEAST_COST)
    return costs


def next_rewarded(reward_R: np.ndarray, last_R: np.ndarray) -> np.ndarray:
    """The next later row of the same episode that is rewarded with 1 or more; else the episode's last."""
    rows_R = np.arange(len(reward_R))
    at_R = np.where(reward_R >= GOAL_REWARD, rows_R, len(reward_R))
    from_R = np.minimum.accumulate(at_R[::-1])[::-1]
    later_R = np.append(from_R[1:], len(reward_R))
    targets: np.ndarray = np.minimum(later_R, last_R)
    return targets
