"""Every knob as validated, frozen data: components, runs of them, and how a configuration is read."""

from mage.config.components import (
    AutoencoderConfig,
    BehaviourCloningConfig,
    DecisionTransformerConfig,
    InverseDynamicsConfig,
    PolicyConfig,
    TransformerConfig,
    ValueConfig,
)
from mage.config.loading import field_names, get_field, load_config, make_config, preset_names, with_field
from mage.config.run import Config, EvaluationConfig, StageConfig, TrainingConfig, digest

FORMAT_VERSION = 3
"""Version of what `mage` writes to disk; a file of another version is refused, never guessed at."""

__all__ = [
    "FORMAT_VERSION",
    "AutoencoderConfig",
    "BehaviourCloningConfig",
    "Config",
    "DecisionTransformerConfig",
    "EvaluationConfig",
    "InverseDynamicsConfig",
    "PolicyConfig",
    "StageConfig",
    "TrainingConfig",
    "TransformerConfig",
    "ValueConfig",
    "digest",
    "field_names",
    "get_field",
    "load_config",
    "make_config",
    "preset_names",
    "with_field",
]
