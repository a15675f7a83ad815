"""Plans at two levels: of every K-th step of a window, and of the K steps from one of these to the next.

Shape suffixes: B batch or environments, M sub-goals, G = M - 1 segments between them, K steps from one to the next, H
steps of a window, D values of a step (an action, then what is observed), A action size, S values observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Known(NamedTuple):
    """What is known of plans: all that is observed at their first step, and some of it at their last.

    Attributes:
        first_BS: at the first step.
        last_BS: at the last step.
        columns: of S, which are known at the last step.
    """

    first_BS: Tensor
    last_BS: Tensor
    columns: Sequence[int]

    def write(self, plan_BHD: Tensor) -> Tensor:
        """Into plans, in place; what is observed are their last values."""
        actions = plan_BHD.shape[-1] - self.first_BS.shape[-1]
        plan_BHD[:, 0, actions:] = self.first_BS
        for column in self.columns:
            plan_BHD[:, -1, actions + column] = self.last_BS[:, column]
        return plan_BHD

    def repeated(self, times: int) -> Known:
        """Of so many plans for each of these, one after another."""
        first_NS, last_NS = (end_BS.repeat_interleave(times, 0) for end_BS in (self.first_BS, self.last_BS))
        return Known(first_NS, last_NS, self.columns)

    @classmethod
    def between(cls, subgoal_BMS: Tensor) -> Known:
        """Of the segments from each sub-goal to the next, (B * G, S), those of one plan beside each other."""
        size = subgoal_BMS.shape[-1]
        return cls(subgoal_BMS[:, :-1].flatten(0, 1), subgoal_BMS[:, 1:].flatten(0, 1), range(size))


def jumps(window_BHD: Tensor, action: int, interval: int, dense: bool) -> Tensor:
    """What is observed at the steps 0, K, 2 K, .. of windows of M K steps, (B, M, S); the last is M K - K, not M K.

    Args:
        window_BHD: of H = M K steps.
        action: A.
        interval: K.
        dense: each also has the K actions from it to the next, laid end to end before it, (B, M, K A + S).
    """
    seen_BMS = window_BHD[:, ::interval, action:]
    if not dense:
        return seen_BMS
    action_BMK = window_BHD[..., :action].unflatten(1, (-1, interval)).flatten(2)
    return torch.cat([action_BMK, seen_BMS], -1)


def joined(segment_BGHD: Tensor) -> Tensor:
    """Segments of K + 1 steps, each of which begins where the one before ends, as plans of G K + 1 steps."""
    return torch.cat([segment_BGHD[:, :, :-1].flatten(1, 2), segment_BGHD[:, -1, -1:]], 1)
