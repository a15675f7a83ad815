"""What the steps of the data are labelled with, and a policy is asked for: a return-to-go, or an advantage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mage.config import ADDED, Component
from mage.data.transitions import RewardConfig


class ConditionConfig(Component):
    """What a policy is given beside the state and asked for. All but the first two is of advantages and their V."""

    kind: Literal["return", "advantage"] = Field(
        "return",
        description="the return-to-go; or (ours) the advantage of the next n steps over a learned V(s), standardised, "
        "of which the same target is asked for in every state",
    )
    discount: Annotated[float | None, ADDED] = Field(
        None,
        gt=0,
        le=1,
        description="of returns-to-go; by default the scenario's. With 1 and a target_return_rule of decremented, what "
        "is asked for tells what has been received, whatever the observation hides",
    )
    horizon: int = Field(24, ge=1, description="n: steps of a return before it goes on with V")
    expectile: float = Field(0.9, gt=0, lt=1, description="tau: how optimistic V is; 0.5 is the mean of the data")
    clip: float = Field(3.0, gt=0, description="largest advantage either way, in its deviations over the data")
    hidden_dim: int = Field(256, ge=1, description="width of V")
    hidden_layers: int = Field(2, ge=1, description="of V")
    target_rate: float = Field(0.02, gt=0, le=1, description="by which V' follows V, a step")
    terminal_at_goal: bool = Field(
        False, description="a step of reward 1 is terminal: D4RL's AntMaze says so, Minari's recordings go on"
    )
    reward: RewardConfig = RewardConfig()
