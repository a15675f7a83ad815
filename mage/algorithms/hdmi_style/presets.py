"""HDMI-style's presets, all of them ours, and what a sweep varies where nothing is said.

Distances and lengths are Hierarchical Diffuser's where that has any, optimisers and guidance Decision Diffuser's.
"""

from __future__ import annotations

from typing import Any

from mage.interface import Presets, Space

ADAM: dict[str, Any] = {
    "batch_size": 64,
    "learning_rate": 2e-4,
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "gradient_clip": 1e9,
    "decay": "constant",
}
SMALL: dict[str, Any] = {"batch_size": 64, "learning_rate": 1e-3, "weight_decay": 0.0}


def lengths(interval: int, subgoals: int, **hierarchy: Any) -> dict[str, Any]:
    """Of plans, with edges of the graph of up to two intervals."""
    return {"hierarchy": {"interval": interval, "subgoals": subgoals, **hierarchy}, "graph": {"reach": 2 * interval}}


def with_graph(plans: dict[str, Any], **graph: Any) -> dict[str, Any]:
    """The same, with more said of the graph."""
    return plans | {"graph": plans["graph"] | graph}


# the return is told as it is paid, and a path must not shun rewards
PAID: dict[str, Any] = {"reward_share": 0.5}
ADROIT: dict[str, Any] = with_graph(lengths(4, 9), **PAID) | {"acting": {"asked_return": 0.9}}
LOCOMOTION: dict[str, Any] = ADROIT | {"acting": {"asked_return": 0.9, "guidance": 1.4}}
# states are told apart by what is in the kitchen: light switch, slide cabinet, microwave, kettle
KITCHEN: dict[str, Any] = with_graph(lengths(4, 32), **PAID, columns=(26, 27, 28, 31, *range(32, 39))) | {
    "acting": {"asked_return": 0.85, "guidance": 1.0}
}
ANTMAZE: dict[str, Any] = with_graph(lengths(15, 16), columns=(27, 28), target="rewarded")
OGBENCH: dict[str, Any] = with_graph(lengths(25, 40), columns=(0, 1))
MAZE: dict[str, Any] = with_graph(
    lengths(15, 17, normaliser="limits", padding="none"),
    columns=(0, 1, 2, 3),
    weights=(1.0, 1.0, 0.1, 0.1),
    target="rewarded",
) | {
    "goal": {"columns": (4, 5)},
    "acting": {"replan_every": None, "follow": "states"},
    "training": {"inverse_dynamics": {"steps": 0}},
}
# of the medium mazes
SHORT: dict[str, Any] = {"hierarchy": {"subgoals": 8}}
LARGE: dict[str, Any] = {"hierarchy": {"subgoals": 26}}
# it shows no velocity, so states cannot be steered by; whether coins are collected is part of the state
GAME: dict[str, Any] = with_graph(lengths(8, 12), **PAID, columns=(0, 1, 4, 5)) | {
    "goal": {"columns": (2, 3), "velocity": ()},
    "acting": {"replan_every": None},
}
HIDDEN: dict[str, Any] = {"graph": {"columns": (0, 1)}}
LONG: dict[str, Any] = {"high": {"denoising_steps": 64}, "low": {"denoising_steps": 64, "multipliers": (1, 4, 8)}}
FAMILIES: dict[str, dict[str, Any]] = {
    "adroit": ADROIT,
    "kitchen": KITCHEN,
    "antmaze": ANTMAZE,
    "locomotion": LOCOMOTION,
    "ogbench": OGBENCH,
    "maze2d": MAZE,
    **dict.fromkeys(("maze2d-umaze", "multi2d-umaze"), SHORT),
    **dict.fromkeys(("maze2d-large", "multi2d-large"), LARGE),
    "maze_game": GAME,
    "maze-game-hidden": HIDDEN,
}

PRESETS: Presets = {
    "cpu": {
        "*": {
            "hierarchy": {"average_every": 1, "average_start": 500},
            "high": {"denoising_steps": 20, "embed_dim": 64, "depth": 2, "num_heads": 4},
            "low": {"denoising_steps": 10, "multipliers": (1, 2, 4)},
            "training": {
                "high": SMALL | {"steps": 4000},
                "low": SMALL | {"steps": 3000},
                "inverse_dynamics": SMALL | {"steps": 3000},
            },
        },
        **FAMILIES,
        # its plans are in a hurry, and who falls behind is not to cut the corners; an error of the noise at the highest
        # level is one of many times that in the sub-goals, which then lie in walls
        "maze2d": MAZE | {"acting": MAZE["acting"] | {"lateness": 0.01}, "high": {"predicts": "plan"}},
    },
    # nobody published any of HDMI's: sizes and lengths that it would be fair to compare
    "paper": {
        "*": {
            "graph": {"nodes": 2000},
            "training": {
                "high": ADAM | {"steps": 1_000_000},
                "low": ADAM | {"steps": 1_000_000},
                "inverse_dynamics": ADAM | {"steps": 1_000_000},
                "checkpoint_every": 5000,
            },
        },
        **FAMILIES,
        "maze2d": MAZE | LONG,
        "maze_game": GAME | LONG,
    },
}

SPACE: Space = {
    "acting.guidance": [1.0, 1.2, 1.4, 2.0],
    "acting.asked_return": [0.8, 0.9, 1.0],
    "graph.nodes": [1000, 2000, 5000],
}
