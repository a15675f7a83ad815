"""HDMI-style: a reconstruction of HDMI (Li, Wang, Jin, Zha, *Hierarchical Diffusion for Offline Decision Making*, ICML
2023), whose code was never published. Its results are those of this file, not HDMI's.

What its abstract and the papers that compare with it tell: sub-goals are found by shortest paths in a weighted graph
of the data; a goal diffuser, a transformer, makes them from a state and a return, and a trajectory diffuser the way to
each, both with classifier-free guidance. What they do not tell, which is every number, what the graph's nodes, edges
and weights are, how far sub-goals lie apart and whether actions are diffused, is ours and said where it is set
(`mage.data.graph_subgoals` for the graph). The ways have no guidance, since both of their ends are known; noise is
predicted, and conditions are told, as in Decision Diffuser; distances and lengths are Hierarchical Diffuser's, so that
the two differ in where sub-goals come from: it is that algorithm with other levels.

Shape suffixes: B batch or environments, M sub-goals, S values of an observation without its goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from mage.algorithms.hdmi_style.config import HdmiStyleConfig
from mage.algorithms.hdmi_style.levels import GoalDiffuser, TrajectoryDiffuser
from mage.algorithms.hdmi_style.presets import PRESETS, SPACE
from mage.algorithms.hierarchical_diffuser.algorithm import HierarchicalDiffuser
from mage.config import AlgorithmConfig
from mage.data.graph_subgoals import GraphSubgoals
from mage.data.plans import window_starts
from mage.data.steps import Steps
from mage.data.subgoals import Known
from mage.interface import ONE, Info, Optimisers, Presets, Space, Stage


class HdmiStyle(HierarchicalDiffuser):
    """A reconstruction of HDMI: plans where to be as shortest paths of the data would, then how to get there."""

    config_class: ClassVar[type[AlgorithmConfig]] = HdmiStyleConfig
    presets: ClassVar[Presets] = PRESETS
    space: ClassVar[Space] = SPACE

    def _levels(self, seen: int) -> tuple[Any, Any]:
        config = self.config
        actions = config.low.actions * self.sizes.action
        low = TrajectoryDiffuser(config.hierarchy.interval + 1, actions, seen, config.low, config.hierarchy)
        return GoalDiffuser(seen, config.high, config.hierarchy), low

    def stages(self, data: Steps) -> Sequence[Stage]:
        """The goal diffuser, on sub-goals that the graph plans at the first step; the trajectory diffuser on pieces of
        the data; the inverse dynamics."""
        self._measure(data)
        shared = self.config.hierarchy
        subgoals = GraphSubgoals(data, self.config.graph, self.layout.kept, shared.interval, shared.subgoals)
        pieces_W = window_starts(data, shared.interval + 1, shared.padding)
        made = {
            "high": partial(self._goal_stage, data, subgoals),
            "low": partial(self._denoising, data, self.low, self.low_windows, pieces_W),
            "inverse_dynamics": partial(self._inverting, data),
        }
        names = self.config.stages
        return [made[name](name, acts=name == names[-1]) for name in names]

    def _goal_stage(self, data: Steps, subgoals: GraphSubgoals, name: str, acts: bool) -> Stage:
        level = self.high

        def step(numbers_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
            planned = subgoals.plan(numbers_B)
            plan_BMS = self._of_seen.normalise(data.observations(planned.row_BM)[..., self.layout.kept])
            loss, info = level.denoising_loss(plan_BMS, self.known(level, plan_BMS), planned.earned_B, random)
            optimise[ONE].minimise(loss)
            level.denoiser_average.follow(level.denoiser)
            # a graph that shortens nothing does nothing
            return {**info, "shortened": planned.is_shorter_B.float().mean()}

        return Stage(
            name,
            self.config.training.high,
            {ONE: [level.denoiser, level.denoiser_average]},
            step,
            tells=("shortened",),
            rows=len(subgoals),
            shared_by=self.config.shared_key(),
            leaves=[level.denoiser_average],
            acts=acts,
        )

    def known(self, level: Any, plan_BHD: Tensor) -> Known:
        """What is known of plans of the data while a level learns: their start; of ways their end, of sub-goals the
        last one where a goal is shown."""
        seen_BHS = plan_BHD[..., level.actions :]
        columns = self.goal_columns if level is self.high else range(seen_BHS.shape[-1])
        return Known(seen_BHS[:, 0], seen_BHS[:, -1], columns)
