"""Diffuser's presets, and what a sweep varies where nothing is said."""

from __future__ import annotations

from typing import Any

from mage.interface import Presets, Space

# Adam at a constant rate, neither clipped nor decayed
PUBLISHED: dict[str, Any] = {
    "batch_size": 64,  # 32, the gradients of two added up
    "learning_rate": 2e-4,
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "gradient_clip": 1e9,
    "decay": "constant",
}
SMALL: dict[str, Any] = {"batch_size": 64, "learning_rate": 1e-3, "weight_decay": 0.0}
PLANNED_ONCE: dict[str, Any] = {"plans": 1, "guide_scale": 0.0, "replan_every": None, "follow": "states"}
# longer ways, whose plans need longer to learn: after 1000 steps they went through walls, and some after 2500
MEDIUM: dict[str, Any] = {"plan": {"horizon": 256}, "training": {"diffusion": {"steps": 6000}}}
LARGE: dict[str, Any] = {"plan": {"horizon": 384}, "training": {"diffusion": {"steps": 3000}}}

PRESETS: Presets = {
    # ours: small, and guided in units of the returns' deviation, where one scale does for all families
    "cpu": {
        "*": {
            "plan": {"horizon": 16, "denoising_steps": 10, "multipliers": (1, 2, 4), "average_every": 1},
            "value": {"in_deviations": True},
            "planning": {"plans": 8},
            "training": {"diffusion": SMALL | {"steps": 6000}, "value": SMALL | {"steps": 3000}},
        },
        # of the U-maze
        "maze2d": {
            "plan": {
                "horizon": 128,
                "denoising_steps": 20,
                "multipliers": (1, 2, 2, 2),
                # without it so short a training makes good plans, but elsewhere than between start and goal
                "show_ends": True,
                "normaliser": "limits",
                "padding": "none",
                "action_weight": 1.0,
                "average_start": 500,
            },
            "goal": {"columns": (4, 5)},
            "planning": PLANNED_ONCE,
            "training": {"diffusion": {"steps": 1000, "batch_size": 32}, "value": {"steps": 0}},
        },
        **dict.fromkeys(("maze2d-medium", "multi2d-medium"), MEDIUM),
        **dict.fromkeys(("maze2d-large", "multi2d-large"), LARGE),
    },
    # walker2d and hopper of github.com/jannerm/diffuser; its halfcheetah has plan.horizon=4, multipliers (1, 4, 8),
    # attention, guide_scale 1e-3 and guide_stop 4. There is none for Adroit and OGBench, whose observations need
    # not show a goal.
    "paper": {
        "*": {
            "planning": {"plans": 64},
            "training": {
                "diffusion": PUBLISHED | {"steps": 1000000},
                "value": PUBLISHED | {"steps": 200000},
                "checkpoint_every": 5000,
            },
        },
        # elsewhere an episode that terminates is one that succeeds
        "locomotion": {"value": {"termination_penalty": 100.0}},
        "adroit": {"value": {"in_deviations": True}},
        # Kitchen and AntMaze: github.com/CleanDiffuserTeam/CleanDiffuser, whose guide adds to what is predicted
        "kitchen": {
            "plan": {"width": 64, "padding": "last"},
            "planning": {"guide_scale": 1e-4, "temperature": 0.5},
        },
        "antmaze": {
            "plan": {"width": 64, "horizon": 64, "padding": "last"},
            "value": {"discount": 0.99},
            "planning": {"guide_scale": 1e-3, "temperature": 0.5},
        },
        # its medium maze; its U-maze has plan.horizon=128 and denoising_steps=64, its large one plan.horizon=384
        "maze2d": {
            "plan": {
                "horizon": 256,
                "denoising_steps": 256,
                "multipliers": (1, 4, 8),
                "normaliser": "limits",
                "padding": "none",
                "action_weight": 1.0,
            },
            "goal": {"columns": (4, 5)},
            "planning": PLANNED_ONCE,
            "training": {"diffusion": {"steps": 2000000}, "value": {"steps": 0}},
        },
    },
}

SPACE: Space = {
    "planning.guide_scale": {"low": 1e-3, "high": 1.0, "log": True},
    "planning.guide_stop": [0, 2, 4],
    "planning.temperature": [0.5, 1.0],
}
