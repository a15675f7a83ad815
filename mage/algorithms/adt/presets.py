"""The presets of ADT, `cpu` and `paper` V-ADT's, `cpu-subgoals` and `paper-subgoals` G-ADT's; and what a sweep varies
where nothing is said.
"""

from __future__ import annotations

from typing import Any

from mage.data.shown_goals import SHOWN_GOALS
from mage.interface import Presets, Space

ANTMAZE: dict[str, Any] = {
    "values": {"expectile": 0.9, "beta": 6.0, "terminal_at_goal": True, "reward": {"shift": -1.0}},
}
FAMILIES: dict[str, dict[str, Any]] = {
    "antmaze": ANTMAZE,
    # not in the authors' repository: implicit Q-learning's own settings of Kitchen, for Adroit too, whose values are in
    # the thousands: as prompts they would bury the observation (`cpu`, pen-expert: 19 for 131)
    "kitchen": {"values": {"expectile": 0.7, "beta": 0.5}},
    "adroit": {"values": {"expectile": 0.7, "beta": 0.5}, "adt": {"prompt_scale": 0.001}},
    # not in it, either: sparse rewards and much to stitch; values in the tens (`cpu`, maze2d-umaze: 22 for 33)
    "maze2d": {"values": {"expectile": 0.9, "beta": 3.0}, "adt": {"prompt_scale": 0.02}},
    "maze_game": {"values": {"expectile": 0.9, "beta": 3.0}, "adt": {"prompt_scale": 0.02}},
    "ogbench": ANTMAZE,  # as AntMaze; the paper's OGBench rows need sub-goals: presets of their own, below
    "locomotion": {"values": {"expectile": 0.7, "beta": 3.0}},
}
SMOOTH: dict[str, Any] = {"policy": {"decay": "cosine", "batch_size": 64}}
SMALL_ANTMAZE: dict[str, Any] = {
    "values": ANTMAZE["values"] | {"beta": 1.0},
    "adt": {"prompt_scale": 0.02},
    "training": SMOOTH,
}
GYM: dict[str, Any] = {"steps": 100_000, "batch_size": 4096, "learning_rate": 8e-4}

BY_SUBGOALS: dict[str, Any] = {
    "values": {"expectile": 0.7, "beta": 1.0, "hidden_layers": 3},
    "adt": {"prompt": "subgoal", "context": 10},
}
# OGBench's own HIQL; of the giant mazes, whose single tasks show no goal
GIANT: dict[str, Any] = {
    "values": {"beta": 3.0, "discount": 0.995},
    "subgoals": {"beta": 3.0, "goals": {"random": 0.3}, "any_goals": 0.0, "goal": "rewarded"},
}
WITH_GOALS: dict[str, dict[str, Any]] = {
    "antmaze": {"goal": SHOWN_GOALS["antmaze"], "subgoals": {"steps": 30}},
    # not in the authors' repository: as HIQL's authors have Kitchen
    "kitchen": {"goal": SHOWN_GOALS["kitchen"]},
    "kitchen-mixed": {"goal": SHOWN_GOALS["kitchen-mixed"]},
    # nobody published it: OGBench's point maze
    "maze2d": {"goal": SHOWN_GOALS["maze2d"], "values": {"beta": 3.0}, "subgoals": {"beta": 3.0}},
    "ogbench": GIANT,
    "pointmaze-giant-goals-v0": {"goal": SHOWN_GOALS["pointmaze-giant-goals-v0"], "subgoals": {"goal": "shown"}},
    "antmaze-giant-goals-v0": {"goal": SHOWN_GOALS["antmaze-giant-goals-v0"], "subgoals": {"goal": "shown"}},
    "antmaze-teleport-goals-v0": {
        "goal": SHOWN_GOALS["antmaze-teleport-goals-v0"],
        "subgoals": {"goal": "shown"},
        "values": {"discount": 0.99},
    },
    "humanoidmaze-giant-goals-v0": {
        "goal": SHOWN_GOALS["humanoidmaze-giant-goals-v0"],
        "subgoals": {"goal": "shown", "steps": 100},
        "adt": {"max_episode_steps": 4000},
    },
}

PRESETS: Presets = {
    # values as those of implicit Q-learning's preset, a transformer as that of the Decision Transformer's
    "cpu": {
        "*": {
            "values": {"target_rate": 0.05},
            "adt": {"embed_dim": 64, "depth": 2},
            "training": {
                "values": {"steps": 12_000, "learning_rate": 1e-3},
                "policy": {"steps": 6000, "batch_size": 16, "learning_rate": 1e-3, "warmup_steps": 100},
            },
        },
        **FAMILIES,
        # 30 on halfcheetah-medium without decay, 38 with it, 42 with more windows a step, too
        "locomotion": {
            "values": {"beta": 0.5, "reward": {"over_return_range": True, "scale": 1000.0}},
            "adt": {"prompt_scale": 0.01},
            "training": SMOOTH,
        },
        # six times an advantage of values so young is noise, which chooses what is learned from; V is at -58
        **dict.fromkeys(("antmaze", "ogbench"), SMALL_ANTMAZE),
    },
    "paper": {
        "*": {"training": {"log_every": 1000, "checkpoint_every": 50_000}},
        **FAMILIES,
        "adroit": FAMILIES["adroit"] | {"training": {"policy": {"steps": 100_000, "batch_size": 64}}},
        "locomotion": FAMILIES["locomotion"] | {"training": {"policy": GYM}},
    },
    # values of goals as those of HIQL's preset
    "cpu-subgoals": {
        "*": {
            "values": BY_SUBGOALS["values"] | {"hidden_dim": 128, "target_rate": 0.02},
            "subgoals": {"policy_dim": 128},
            "adt": BY_SUBGOALS["adt"] | {"embed_dim": 64, "depth": 2},
            "training": {
                "values": {"steps": 20_000, "learning_rate": 1e-3},
                "policy": {"steps": 6000, "batch_size": 16, "learning_rate": 1e-3, "warmup_steps": 100},
            },
        },
        **WITH_GOALS,
    },
    "paper-subgoals": {
        "*": {
            "values": BY_SUBGOALS["values"] | {"hidden_dim": 1024},
            "adt": BY_SUBGOALS["adt"] | {"embed_dim": 256},
            "training": {"log_every": 1000, "checkpoint_every": 50_000, "values": {"batch_size": 1024}},
        },
        **WITH_GOALS,
    },
}
SPACE: Space = {"values.expectile": [0.7, 0.8, 0.9], "values.beta": [0.5, 3.0, 6.0]}
