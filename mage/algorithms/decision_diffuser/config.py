"""The configuration of Decision Diffuser, its presets, and what a sweep varies where nothing is said."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mage.config import ADDED, AlgorithmConfig, Component, StageConfig, TrainingConfig
from mage.data.goals import GoalConfig
from mage.data.plans import Padding
from mage.interface import Presets, Space
from mage.nn.temporal_unet import multiple_of


class StatesConfig(Component):
    """Plans, which are of states alone, and their network. Defaults are those of the authors' code."""

    horizon: int = Field(100, ge=2, description="steps of a plan; a multiple of 2 to the number of halvings")
    denoising_steps: int = Field(200, ge=2, description="levels of noise; 200 in the authors' code, 100 in their paper")
    width: int = Field(
        128, ge=8, multiple_of=4, description="channels, times the multipliers, and of the embedded level and return"
    )
    multipliers: tuple[int, ...] = Field((1, 4, 8), min_length=1, description="of the width, from fine to coarse")
    show_ends: Annotated[bool, ADDED] = Field(
        False,
        description="every state of a plan is shown what is known of it, the start and the goal (ours); as published, "
        "that has to make its way through the convolutions",
    )
    normaliser: Literal["limits", "deviations"] = Field(
        "limits",
        description="of states: their limits to [-1, 1], and predictions clipped to that (theirs, too, but through the "
        "distribution function of each value); or their deviations",
    )
    padding: Padding = Field(
        "zeros",
        description="past an episode's end: no window reaches there; zeros in the data's units; or its last state",
    )
    predicts: Annotated[Literal["noise", "plan"], ADDED] = Field(
        "noise",
        description="what the network says of a noisy plan: its noise (as published), an error of which is many times "
        "as large in the plan where there is most noise, and the way is chosen; or the plan, as Diffuser's (ours)",
    )
    next_weight: float = Field(1.0, gt=0, description="of the first planned state in the loss; CleanDiffuser has 10")
    dropout: float = Field(0.25, ge=0, le=1, description="share of the windows whose return is not told")
    average_rate: float = Field(0.005, gt=0, le=1, description="of the average of the weights, which acts")
    average_start: int = Field(2000, ge=0, description="steps of training until which it is a plain copy")
    average_every: int = Field(10, ge=1, description="steps of training to a move of it")

    @model_validator(mode="after")
    def _check(self) -> StatesConfig:
        if self.horizon % (multiple := multiple_of(self.multipliers)):
            raise ValueError(
                f"horizon {self.horizon} is no multiple of {multiple}, which {len(self.multipliers)} multipliers need"
            )
        return self


class ReturnsConfig(Component):
    """The condition: y = (R + shift * the steps left - penalty) / scale + offset, R to the end of the episode."""

    discount: float | None = Field(0.99, gt=0, le=1, description="of R; null: the scenario's")
    scale: float | None = Field(
        None, gt=0, description="which is to bring y into [0, 1]; null: the largest of the data, which needs no table"
    )
    offset: float = Field(0.0, description="added after scaling")
    reward_shift: float = Field(0.0, description="added to every reward; -1 for goal tasks that pay 1 at the goal")
    termination_penalty: float = Field(0.0, ge=0, description="taken off the last reward where an episode terminates")


class DecidingConfig(Component):
    """How plans are made and acted on."""

    target: float | None = Field(
        None, description="y asked for; null: the target return that every algorithm is asked for, scaled as the data's"
    )
    guidance: float = Field(1.2, ge=0, description="weight of what y changes: 0 nothing, 1 as learned")
    temperature: float = Field(0.5, ge=0, description="factor of all noise while denoising")
    replan_every: int | None = Field(1, ge=1, description="steps of an episode; null: one plan an episode, to a goal")
    follow: Literal["inverse_dynamics", "states"] = Field(
        "inverse_dynamics",
        description="what leads to the plan's next state, as learned; or steer by the states as a point mass",
    )


class InverseConfig(Component):
    """I(s, s'), an MLP with GELU; the authors' has ReLU."""

    hidden_dim: int = Field(256, ge=1, description="its width; 512 in their paper")
    hidden_layers: int = Field(2, ge=1, description="its hidden layers")


class DecisionDiffuserTrainingConfig(TrainingConfig):
    """Its one stage."""

    diffusion: StageConfig = Field(StageConfig(), description="the denoiser and the inverse dynamics, at once")


class DecisionDiffuserConfig(AlgorithmConfig):
    """The whole configuration of a run of Decision Diffuser."""

    algorithm: Literal["decision_diffuser"] = "decision_diffuser"
    states: StatesConfig = StatesConfig()
    returns: ReturnsConfig = ReturnsConfig()
    goal: GoalConfig = GoalConfig()
    deciding: DecidingConfig = DecidingConfig()
    inverse: InverseConfig = InverseConfig()
    training: DecisionDiffuserTrainingConfig = DecisionDiffuserTrainingConfig()

    @property
    def discount(self) -> float | None:
        """Of the returns that it is told and asked for."""
        return self.returns.discount

    @model_validator(mode="after")
    def _check(self) -> DecisionDiffuserConfig:
        deciding, goal = self.deciding, self.goal
        if (deciding.replan_every or 1) >= self.states.horizon:
            raise ValueError(
                f"deciding.replan_every {deciding.replan_every} is no less than the {self.states.horizon} states of a "
                "plan (states.horizon)"
            )
        if goal.columns and len(goal.columns) != len(goal.position):
            raise ValueError(f"goal.columns {goal.columns} and goal.position {goal.position} differ in length")
        if deciding.follow == "states" and len(goal.velocity) != len(goal.position):
            raise ValueError(f"goal.velocity {goal.velocity} and goal.position {goal.position} differ in length")
        return self


# Adam at a constant rate, neither clipped nor decayed
PUBLISHED: dict[str, Any] = {
    "batch_size": 64,  # 32, the gradients of two added up
    "learning_rate": 2e-4,
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "gradient_clip": 1e9,
    "decay": "constant",
    "steps": 1_000_000,
}
TO_THE_GOAL: dict[str, Any] = {"replan_every": None, "follow": "states"}


def clean_diffuser(scale: float, target: float, guidance: float) -> dict[str, Any]:
    """What CleanDiffuser's configs/dd differ in from task to task."""
    return {"returns": {"scale": scale}, "deciding": {"target": target, "guidance": guidance}}


def longer(horizon: int) -> dict[str, Any]:
    """Plans of a small planner through a larger maze, which take longer to learn.

    The data's highest return is that from the goal on: asked for it from afar, plans rush through the walls.
    """
    return {
        "states": {"horizon": horizon},
        "deciding": {"target": 0.2},
        "training": {"diffusion": {"steps": 2500}},
    }


PRESETS: Presets = {
    # ours: small; what is asked for is what all algorithms are asked for
    "cpu": {
        "*": {
            "states": {"horizon": 16, "denoising_steps": 10, "width": 32, "multipliers": (1, 2, 4)}
            | {"next_weight": 10.0, "average_every": 1, "average_start": 500},
            "training": {"diffusion": {"steps": 6000, "batch_size": 64, "learning_rate": 1e-3, "weight_decay": 0.0}},
        },
        # y alone cannot say where the goal is: a plan ends there, as Diffuser's, and is shown it
        "maze2d": {
            "states": {"horizon": 128, "denoising_steps": 20, "multipliers": (1, 2, 2, 2), "next_weight": 1.0}
            | {"normaliser": "limits", "padding": "none", "show_ends": True, "predicts": "plan"},
            "goal": {"columns": (4, 5)},
            "deciding": TO_THE_GOAL,
            "training": {"diffusion": {"steps": 1500, "batch_size": 32}},
        },
        **{key: longer(256) for key in ("maze2d-medium", "multi2d-medium")},
        **{key: longer(384) for key in ("maze2d-large", "multi2d-large")},
        # a plan that is made anew at every step turns back before every coin
        "maze_game": {
            "states": {"horizon": 96, "padding": "last"},
            "goal": {"columns": (2, 3), "velocity": ()},
            "deciding": {"replan_every": 8, "guidance": 2.0},
        },
    },
    # github.com/anuragajay/decision-diffuser, code/config/locomotion_config.py; by task what its users have found
    # (github.com/CleanDiffuserTeam/CleanDiffuser, main, configs/dd), whose networks and samplers are others
    "paper": {
        "*": {"deciding": {"target": 0.9}, "training": {"diffusion": PUBLISHED, "checkpoint_every": 5000}},
        # what is asked of Ant nobody published
        "locomotion": {
            "returns": {"termination_penalty": 100.0, "discount": 0.997},
            "states": {"horizon": 32, "normaliser": "deviations"},
            "deciding": {"guidance": 1.4},
        },
        "halfcheetah-medium": clean_diffuser(1700, 1.1, 3.2),
        "halfcheetah-medium-replay": clean_diffuser(1600, 0.95, 1.4),
        "halfcheetah-medium-expert": clean_diffuser(3600, 0.95, 1.2),
        "walker2d-medium": clean_diffuser(1300, 0.75, 6.0),
        "walker2d-medium-replay": clean_diffuser(1300, 0.75, 2.4),
        "walker2d-medium-expert": clean_diffuser(1600, 1.0, 1.2),
        "kitchen": {
            "states": {"horizon": 32, "normaliser": "deviations", "padding": "last"},
            "returns": {"discount": 0.997, "scale": 470.0},
            "deciding": {"target": 0.85, "guidance": 1.0},
        },
        "kitchen-mixed": {"returns": {"scale": 400.0}},
        "antmaze": {
            "states": {"horizon": 64, "normaliser": "deviations", "padding": "last"},
            "returns": {"reward_shift": -1.0, "scale": 100.0, "offset": 1.0},
            "deciding": {"target": 0.3, "guidance": 2.5},
        },
        # nobody published the rest: episodes of 100 to 200 steps
        "adroit": {"states": {"horizon": 32, "normaliser": "deviations"}},
        # Diffuser's horizon and levels in the medium maze
        "maze2d": {
            "states": {"horizon": 256, "denoising_steps": 256, "padding": "none"},
            "goal": {"columns": (4, 5)},
            "deciding": TO_THE_GOAL,
        },
        **{key: {"states": {"horizon": 128, "denoising_steps": 64}} for key in ("maze2d-umaze", "multi2d-umaze")},
        **{key: {"states": {"horizon": 384}} for key in ("maze2d-large", "multi2d-large")},
        "maze_game": {
            "states": {"horizon": 96, "denoising_steps": 64, "padding": "last"},
            "goal": {"columns": (2, 3), "velocity": ()},
            "deciding": {"target": 1.0},
        },
    },
}

SPACE: Space = {"deciding.guidance": [1.2, 1.4, 1.6, 1.8], "deciding.temperature": [0.0, 0.5, 1.0]}
