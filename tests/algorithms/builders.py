"""Small configurations of the algorithms that MAGE is compared with; that of MAGE is `tiny_config`."""

from collections.abc import Iterable
from typing import Any

from mage.config import AlgorithmConfig, make_config

SECTIONS: dict[str, dict[str, Any]] = {
    "bc": {"behaviour_cloning": {"hidden_dim": 16}},
    "return_bc": {"behaviour_cloning": {"hidden_dim": 16}},
    "dt": {"decision_transformer": {"context": 4, "depth": 1, "embed_dim": 16, "num_heads": 2}},
}


def reference_config(algorithm: str, steps: int = 10, overrides: Iterable[str] = ()) -> AlgorithmConfig:
    """One stage of so many steps, on this machine's CPU."""
    stage = {"steps": steps, "batch_size": 16, "learning_rate": 4e-3, "warmup_steps": 5}
    training = {"reference": stage, "log_every": 10, "device": "cpu"}
    data = SECTIONS[algorithm] | {"algorithm": algorithm, "training": training, "evaluation": {"batch_size": 5}}
    return make_config(data, overrides)
