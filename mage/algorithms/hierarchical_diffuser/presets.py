"""Hierarchical Diffuser's presets, and what a sweep varies where nothing is said."""

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
NO_VALUES: dict[str, Any] = {"high_value": {"steps": 0}, "low_value": {"steps": 0}}

# a point mass is where it is known to be and as fast: at both ends of both levels
MAZE: dict[str, Any] = {
    "hierarchy": {"interval": 15, "subgoals": 17, "normaliser": "limits", "padding": "none"},
    "high": {"denoising_steps": 256, "multipliers": (1, 4, 8), "actions": False},
    "low": {"denoising_steps": 128, "end_in_training": True},
    "goal": {"columns": (4, 5)},
    "acting": {"plans": 1, "replan_every": None, "follow": "states"},
    "training": {"high": {"steps": 2_000_000}, "low": {"steps": 2_000_000}} | NO_VALUES,
}
SHORT: dict[str, Any] = {"hierarchy": {"subgoals": 8}}
UMAZE: dict[str, Any] = SHORT | {"high": {"denoising_steps": 64}}
LARGE: dict[str, Any] = {"hierarchy": {"subgoals": 26}}
# states alone at both levels; nobody published the U-maze, whose guide is the weakest of the others' here
ANTMAZE: dict[str, Any] = {
    "hierarchy": {"interval": 15, "subgoals": 16, "padding": "last"}
    | {"average_rate": 1e-4, "average_start": 0, "average_every": 1},
    "high": {"multipliers": (1, 4, 8), "actions": False, "first_weight": 10.0},
    "low": {"actions": False, "end_in_training": True},
    "values": {"discount": 0.99, "reward_shift": -1.0, "failure_penalty": 100.0},
    "acting": {"guide_scale": 1.0, "guide_stop": 0, "temperature": 0.5, "follow": "inverse_dynamics"},
}
LOMAP: dict[str, Any] = {"weight_decay": 1e-5, "decay": "cosine_to_zero", "steps": 1_000_000}
WALKER: dict[str, Any] = {"acting": {"guide_scale": 1e-4, "guide_stop": 2}}
# nobody published any: locomotion's, states alone (4 actions of 24 to 30 values would outweigh a state)
ADROIT: dict[str, Any] = {
    "high": {"actions": False},
    "low": {"actions": False, "end_in_training": True},
    "values": {"in_deviations": True},
    "acting": {"guide_scale": 0.1, "guide_stop": 2, "follow": "inverse_dynamics"},
}
# nobody published any: the stride and states of CleanDiffuser's planners (configs/veteran/kitchen)
KITCHEN: dict[str, Any] = {
    "hierarchy": {"interval": 4, "subgoals": 32, "padding": "last"},
    "low": {"end_in_training": True},
    "values": {"in_deviations": True},
    "acting": {"guide_scale": 0.1, "guide_stop": 2},
}
# nobody published any: 34 cells are some 70 steps; it shows no velocity, so states cannot be steered by
GAME: dict[str, Any] = {
    "hierarchy": {"interval": 8, "subgoals": 12, "padding": "last"},
    "high": {"actions": False, "denoising_steps": 64},
    "low": {"end_in_training": True, "denoising_steps": 64},
    "goal": {"columns": (2, 3), "velocity": ()},
    "values": {"in_deviations": True},
    "acting": {"guide_scale": 0.1, "guide_stop": 2, "replan_every": None, "follow": "inverse_dynamics"},
}
INVERSE: dict[str, Any] = {"inverse_dynamics": PUBLISHED | {"steps": 1_000_000}}

SMALL_LEVELS: dict[str, Any] = {
    "high": {"denoising_steps": 10, "multipliers": (1, 2, 4)},
    "low": {"denoising_steps": 10, "multipliers": (1, 2, 4)},
}
PRESETS: Presets = {
    # ours: small, and guided in units of the returns' deviation, where one scale does for all families
    "cpu": {
        "*": {
            "hierarchy": {"average_every": 1, "average_start": 500},
            **SMALL_LEVELS,
            "values": {"in_deviations": True},
            "acting": {"plans": 4, "guide_scale": 0.1, "guide_stop": 2},
            "training": {
                "high": SMALL | {"steps": 3000},
                "low": SMALL | {"steps": 3000},
                "high_value": SMALL | {"steps": 1500},
                "low_value": SMALL | {"steps": 1500},
            },
        },
        "adroit": ADROIT | {"training": {"inverse_dynamics": SMALL | {"steps": 3000}}},
        "kitchen": KITCHEN,
        "antmaze": {
            "hierarchy": {"interval": 15, "subgoals": 16, "padding": "last"},
            "high": {"actions": False},
            "low": {"actions": False, "end_in_training": True},
            "acting": {"follow": "inverse_dynamics"},
            "training": {"inverse_dynamics": SMALL | {"steps": 3000}},
        },
        # of the medium mazes
        "maze2d": MAZE
        | {
            "high": {"denoising_steps": 20, "actions": False},
            "low": {"denoising_steps": 20, "end_in_training": True},
            "training": NO_VALUES,
        },
        **dict.fromkeys(("maze2d-umaze", "multi2d-umaze"), SHORT),
        **dict.fromkeys(("maze2d-large", "multi2d-large"), LARGE),
        "maze_game": GAME
        | {
            "high": {"denoising_steps": 10, "actions": False},
            "low": {"denoising_steps": 10, "end_in_training": True},
            # one plan of four passes the coins by
            "acting": GAME["acting"] | {"plans": 32, "guide_scale": 2.0, "replan_every": 8},
            "training": {"inverse_dynamics": SMALL | {"steps": 2000}},
        },
    },
    # github.com/changchencc/Simple-Hierarchical-Planning-with-Diffusion, branches dmc and maze_2d
    "paper": {
        "*": {
            "acting": {"plans": 64},
            "training": {
                "high": PUBLISHED | {"steps": 1_000_000},
                "low": PUBLISHED | {"steps": 1_000_000},
                "high_value": PUBLISHED | {"steps": 400_000},
                "low_value": PUBLISHED | {"steps": 400_000},
                "checkpoint_every": 5000,
            },
        },
        # halfcheetah's, which ant has, too, since nobody published any; elsewhere to terminate is to succeed
        "locomotion": {"values": {"termination_penalty": 100.0}},
        **dict.fromkeys(("walker2d-medium", "walker2d-medium-expert"), WALKER),
        "walker2d-medium-replay": {"acting": {"guide_scale": 0.1, "guide_stop": 4, "guide_steps": 2}},
        "maze2d": MAZE,
        **dict.fromkeys(("maze2d-umaze", "multi2d-umaze"), UMAZE),
        **dict.fromkeys(("maze2d-large", "multi2d-large"), LARGE),
        "antmaze": ANTMAZE
        | {
            "training": {"high": LOMAP, "low": LOMAP, "low_value": {"steps": 0}}
            | {"inverse_dynamics": PUBLISHED | LOMAP}
        },
        **dict.fromkeys(("antmaze-umaze-play", "antmaze-umaze-diverse"), SHORT),
        "antmaze-medium-diverse": {"acting": {"guide_scale": 5.0}},
        "antmaze-large-play": {"acting": {"guide_scale": 3.0}},
        "antmaze-large-diverse": {"acting": {"guide_scale": 5.0}},
        "adroit": ADROIT | {"training": INVERSE},
        "kitchen": KITCHEN,
        "maze_game": GAME | {"training": INVERSE},
    },
}

# the authors' own search
SPACE: Space = {
    "acting.guide_scale": [1e-4, 1e-3, 1e-2, 0.1],
    "acting.guide_stop": [2, 4],
    "acting.guide_steps": [1, 2],
}
