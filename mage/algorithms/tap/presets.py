"""TAP's presets, and what a sweep varies where nothing is said."""

from __future__ import annotations

from typing import Any

from mage.interface import Presets, Space

STEPS, ADROIT_STEPS = 97_656, 19_531  # 50 and 10 epochs of a million windows, in batches of 512
PUBLISHED: dict[str, Any] = {
    "batch_size": 512,
    "learning_rate": 2e-4,
    "warmup_steps": 0,
    "weight_decay": 0.1,
    "decay": "constant",
}
SMALL: dict[str, Any] = {"batch_size": 64, "learning_rate": 1e-3, "weight_decay": 0.01}

SMALL_MAZE: dict[str, Any] = {"tap": {"window": 15, "discount": 0.998}}

# there an episode that terminates has failed
LOCOMOTION: dict[str, Any] = {"tap": {"terminal_reward": -100.0, "observed": 27}}
# 64 paths in the configuration, 256 in the script that the scores are of
ADROIT: dict[str, Any] = {
    "tap": {"max_episode_steps": 200},
    "search": {"horizon": 24, "beam": 256},
    "training": {"autoencoder": {"steps": ADROIT_STEPS}, "prior": {"steps": ADROIT_STEPS}},
}
PEN: dict[str, Any] = ADROIT | {"tap": {"max_episode_steps": 100}}
# nobody published any: those of Adroit, on episodes of any length
KITCHEN: dict[str, Any] = {name: ADROIT[name] for name in ("search", "training")}
MAZE: dict[str, Any] = {
    "tap": {"window": 15, "discount": 0.998, "normalise": False},
    "search": {"horizon": 15, "beam": 2, "expand": 4},
}
ANTMAZE: dict[str, Any] = MAZE | {"tap": MAZE["tap"] | {"codes": 8192}}

PRESETS: Presets = {
    # ours: small
    "cpu": {
        "*": {
            "tap": {"codes": 128, "code_dim": 32, "depth": 2, "embed_dim": 64, "dropout": 0.0},
            "search": {"horizon": 15, "beam": 16, "expand": 4},
            "training": {"autoencoder": SMALL | {"steps": 4000}, "prior": SMALL | {"steps": 3000}},
        },
        # a decoder of 24 steps, for half as long, leaves their first action too rough: 72 on pen-expert for 100
        "adroit": {
            "tap": {"window": 12},
            "search": {"horizon": 12},
            "training": {"autoencoder": {"steps": 8000}},
        },
        "kitchen": {"search": {"horizon": 24}},
        **dict.fromkeys(("antmaze", "maze2d", "ogbench", "maze_game"), SMALL_MAZE),
        # shorter ones still for gaits: 3 on halfcheetah-medium with windows of 24, 37 with 12, 48 with 6
        "locomotion": {
            "tap": LOCOMOTION["tap"] | {"window": 6},
            "search": {"horizon": 6},
            "training": {"autoencoder": {"steps": 12_000}},
        },
    },
    # github.com/ZhengyaoJiang/latentplan: config/vqvae.py, and its scripts where they differ. hammer-expert, whose
    # entry there is misspelt, has Adroit's row; the other mazes have AntMaze's with fewer codes
    "paper": {
        "*": {
            "training": {
                "autoencoder": PUBLISHED | {"steps": STEPS},
                "prior": PUBLISHED | {"steps": STEPS},
                "log_every": 1000,
                "checkpoint_every": 5000,
            },
        },
        "locomotion": LOCOMOTION,
        "adroit": ADROIT,
        **dict.fromkeys(("pen-expert", "pen-human", "pen-cloned"), PEN),
        "kitchen": KITCHEN,
        "antmaze": ANTMAZE,
        **dict.fromkeys(("maze2d", "maze_game", "ogbench"), MAZE),
    },
}

SPACE: Space = {
    "search.horizon": [9, 15, 24],
    "search.beam": [16, 64],
    "search.likelihood_weight": {"low": 1.0, "high": 1000.0, "log": True},
    "search.least_probability": [0.002, 0.05],
}
