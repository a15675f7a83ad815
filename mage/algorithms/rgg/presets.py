"""RGG's presets, and what a sweep varies where nothing is said: Diffuser's, of which the denoiser is shared."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mage.algorithms.diffuser.presets import PRESETS as DIFFUSER
from mage.algorithms.diffuser.presets import PUBLISHED, SMALL
from mage.config import merge
from mage.interface import Presets, Space

UMAZE: dict[str, Any] = {"plan": {"horizon": 128, "denoising_steps": 64}}
LARGE: dict[str, Any] = {"plan": {"horizon": 384}}
SIZES: dict[str, dict[str, Any]] = {"umaze": UMAZE, "medium": {}, "large": LARGE}


def over(diffuser: str, own: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A preset of Diffuser, changed place by place."""
    theirs = DIFFUSER[diffuser]
    return {place: merge(theirs.get(place, {}), own.get(place, {})) for place in {**theirs, **own}}


def guided(scale: float, weight: float, stop: int = 2) -> dict[str, Any]:
    """What the authors' code differs in from task to task of locomotion."""
    return {"planning": {"guide_scale": scale, "gap_weight": weight, "guide_stop": stop}}


def salient(weight: float) -> dict[str, Any]:
    """RGG+ by saliency."""
    return {"planning": {"attribution": "saliency", "attribution_weight": weight}}


def mazes(regularised: Mapping[str, float] = MappingProxyType({})) -> dict[str, dict[str, Any]]:
    """The mazes by size, and how much RGG+ weighs its regulariser there."""
    own = {size: {"planning": {"attribution_weight": weight}} for size, weight in regularised.items()}
    return {
        f"{kind}-{size}": merge(said, own.get(size, {}))
        for kind in ("maze2d", "multi2d")
        for size, said in SIZES.items()
    }


PAPER = over(
    "paper",
    {
        "*": {
            "planning": {"guide_scale": 0.05},
            "gap": {"candidates": 64, "restorations": 64},
            "training": {"gap": PUBLISHED | {"steps": 2_000_000}},
        },
        "maze2d": {"planning": {"plans": 8, "guide_scale": 0.05}, "gap": {"candidates": 1, "restorations": 10}},
        # nobody published Kitchen and AntMaze, where this guide does not add to what is predicted, as theirs does
        "kitchen": {"planning": {"guide_scale": 0.05}},
        "antmaze": {"planning": {"guide_scale": 0.05}},
    },
)

LOCOMOTION: dict[str, dict[str, Any]] = {
    # its predictor has no network in their code, and four steps do not fit those of the others
    "halfcheetah-medium-expert": merge({"plan": {"horizon": 4, "multipliers": (1, 4, 8)}}, guided(0.01, 10.0, 4)),
    "halfcheetah-medium": guided(0.1, 1.0),
    "halfcheetah-medium-replay": guided(0.01, 10.0),
    "walker2d-medium": guided(0.01, 10.0),
    "walker2d-medium-replay": guided(0.1, 0.1),
    "walker2d-medium-expert": guided(0.01, 1.0),
}

PRESETS: Presets = {
    # ours: small, and in units of the gaps' deviation
    "cpu": over(
        "cpu",
        {
            "*": {
                "planning": {"plans": 8, "guide_scale": 0.1, "gap_weight": 0.3},
                "gap": {"plans": 2000, "restorations": 4, "test_every": 100, "in_deviations": True},
                "training": {"gap": SMALL | {"steps": 1500}},
            },
            "maze2d": {
                "planning": {"plans": 8, "guide_scale": 0.5, "gap_weight": 1.0},
                "gap": {"plans": 1000},
                "training": {"gap": {"steps": 600, "batch_size": 32}},
            },
        },
    ),
    # github.com/leekwoon/rgg, rgg/rgg.py and scripts; nobody published Ant, Adroit, Kitchen, AntMaze and OGBench
    "paper": PAPER | LOCOMOTION | mazes(),
    # RGG+, rgg/rggplus.py; where the authors take DeepLIFT it is RGG
    "paper_plus": PAPER
    | mazes({"umaze": 3.0, "medium": 0.1, "large": 3.0})
    | {
        **LOCOMOTION,
        "halfcheetah-medium-expert": merge(LOCOMOTION["halfcheetah-medium-expert"], salient(1.0)),
        "walker2d-medium-replay": merge(LOCOMOTION["walker2d-medium-replay"], salient(0.001)),
    },
}

SPACE: Space = {
    "planning.guide_scale": {"low": 0.01, "high": 1.0, "log": True},
    "planning.gap_weight": {"low": 0.1, "high": 10.0, "log": True},
    "planning.attribution_weight": [0.0, 0.1, 1.0],
}
