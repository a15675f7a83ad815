"""Trajectory Transformer's presets, and what a sweep varies where nothing is said."""

from __future__ import annotations

from typing import Any

from mage.interface import Presets, Space

STEPS = 195_312  # 50 epochs of a million windows, in batches of 256
PUBLISHED: dict[str, Any] = {
    "batch_size": 256,
    "learning_rate": 6e-4,
    "warmup_steps": 0,
    "weight_decay": 0.1,
    "decay": "constant",  # the rate goes by tokens
    "rate_by": "tokens",
}
SMALL: dict[str, Any] = {"learning_rate": 1e-3, "rate_by": "steps", "weight_decay": 0.01}
# 70 tokens a step, thrice those of HalfCheetah
LONG_STEPS: dict[str, Any] = {
    "trajectory_transformer": {"window": 3},
    "training": {"transformer": {"batch_size": 16}},
}
SPARSE: dict[str, Any] = {"trajectory_transformer": {"binning": "widths"}}
FAILURE = {"terminal_reward": -100.0}  # there an episode that terminates has failed


def locomotion(
    horizon: int, beam: int, steps: int = STEPS, batch_size: int = 256, observed: int | None = None, **search: Any
) -> dict[str, Any]:
    """A row of config/offline.py."""
    return {
        "trajectory_transformer": FAILURE | {"observed": observed},
        "search": {"horizon": horizon, "beam": beam} | search,
        "training": {"transformer": {"steps": steps, "batch_size": batch_size}},
    }


# nobody published any for these; rewards are sparse, and most quantiles of them would repeat
UNPUBLISHED: dict[str, Any] = SPARSE | {"search": {"horizon": 15, "beam": 32}}

PRESETS: Presets = {
    # ours: small, some 13 minutes of a core; dropout would take 1.8 times as long (halfcheetah-medium)
    "cpu": {
        "*": {
            "trajectory_transformer": {"bins": 50, "window": 4, "depth": 2, "embed_dim": 64, "dropout": 0.0},
            "search": {"horizon": 3, "beam": 8, "context": 2},
            "training": {"transformer": SMALL | {"steps": 8000, "batch_size": 32}},
        },
        "adroit": LONG_STEPS,
        "kitchen": LONG_STEPS | {"trajectory_transformer": {"window": 3, "binning": "widths"}},
        **dict.fromkeys(("antmaze", "maze2d", "ogbench"), SPARSE),
        # quantiles of running say little of a start: 50 of them cost another policy 15 of 45 points, equal widths 2
        # (`benchmarks/binning.py`, halfcheetah-medium)
        "locomotion": {"trajectory_transformer": FAILURE | {"observed": 27, "binning": "widths"}},
    },
    # github.com/jannerm/trajectory-transformer, config/offline.py; Adroit's and all without rewards at every step are
    # ours, for there are none
    "paper": {
        "*": {
            "training": {"transformer": PUBLISHED | {"steps": STEPS}, "log_every": 1000, "checkpoint_every": 5000},
        },
        "locomotion": locomotion(5, 32, observed=27),
        "halfcheetah-medium-expert": locomotion(15, 32),
        "walker2d-medium": locomotion(15, 128),
        "walker2d-medium-expert": locomotion(5, 128),
        "walker2d-medium-replay": locomotion(20, 32, steps=312_500, cut=None, top_k=40),
        "ant-medium": locomotion(5, 128, steps=390_625, batch_size=128, observed=27),
        "ant-medium-replay": locomotion(5, 128, steps=390_625, batch_size=128, observed=27),
        "ant-medium-expert": locomotion(15, 128, observed=27),
        # 70 tokens a step: a batch of 64 windows has as many as one of 256 of HalfCheetah has
        "adroit": {
            "search": {"horizon": 5, "beam": 32},
            "training": {"transformer": {"batch_size": 64, "steps": 781_250}},
        },
        **dict.fromkeys(("kitchen", "antmaze", "maze2d", "ogbench", "maze_game"), UNPUBLISHED),
    },
}

SPACE: Space = {
    "search.horizon": [3, 5, 15],
    "search.beam": [8, 32],
    "search.cut": [0.6, 0.8],
    "trajectory_transformer.binning": ["quantiles", "widths"],
}
