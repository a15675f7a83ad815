"""MAGE on Ray: train, sweep, evaluate and reproduce multi-scale autoregressive generation for offline RL.

Importing this package is cheap; torch, Ray and the simulators are imported when something that needs them is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mage.errors import MageError

if TYPE_CHECKING:
    from mage import results as results
    from mage import scenarios as scenarios
    from mage.api import evaluate as evaluate
    from mage.api import inspect as inspect
    from mage.api import load_policy as load_policy
    from mage.api import train as train
    from mage.api import train_seeds as train_seeds
    from mage.sharing.folder import export as export

__version__ = "0.1.0"
__all__ = ["MageError", "evaluate", "export", "inspect", "load_policy", "results", "scenarios", "train", "train_seeds"]

_LAZY = {
    "evaluate": "mage.api",
    "export": "mage.sharing.folder",
    "inspect": "mage.api",
    "load_policy": "mage.api",
    "train": "mage.api",
    "train_seeds": "mage.api",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in ("results", "scenarios"):
        return importlib.import_module(f"mage.{name}")
    raise AttributeError(f"module 'mage' has no attribute '{name}'")
