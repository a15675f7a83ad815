"""Every knob as validated, frozen data: what all configurations share, and how one is read."""

from mage.config.base import AlgorithmConfig, digest
from mage.config.fields import (
    ADDED,
    QUIET,
    Component,
    Decay,
    EvaluationConfig,
    OptimiserConfig,
    OptionalStageConfig,
    PlainAdamConfig,
    StageConfig,
    TrainingConfig,
    check_heads,
)
from mage.config.loading import (
    algorithm_of,
    concerning,
    field_names,
    get_field,
    load_config,
    make_config,
    merge,
    preset_names,
    read_field,
    with_field,
)

__all__ = [
    "ADDED",
    "QUIET",
    "AlgorithmConfig",
    "Component",
    "Decay",
    "EvaluationConfig",
    "OptimiserConfig",
    "OptionalStageConfig",
    "PlainAdamConfig",
    "StageConfig",
    "TrainingConfig",
    "algorithm_of",
    "check_heads",
    "concerning",
    "digest",
    "field_names",
    "get_field",
    "load_config",
    "make_config",
    "merge",
    "preset_names",
    "read_field",
    "with_field",
]
