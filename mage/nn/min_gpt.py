"""How minGPT (github.com/karpathy/minGPT) starts and optimises its weights, for the methods that were built on it.

Linear and embedding weights start as N(0, 0.02), biases and positions at 0. AdamW has betas (0.9, 0.95), and only the
weights of linear maps decay: no biases, norms, embeddings and positions.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field
from torch import nn

from mage.config import StageConfig
from mage.nn.adamw import AdamW

START = 0.02


class MinGptStageConfig(StageConfig):
    """A stage that is optimised as minGPT is."""

    weight_decay: float = Field(0.1, ge=0, description="of the weights of linear maps alone")
    beta_2: float = Field(0.95, gt=0, lt=1, description="of Adam's average of squared gradients")


def initialise(network: nn.Module) -> None:
    """Sets the first weights of all linear maps and embeddings of a network."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=START)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def linear_weights(*networks: nn.Module) -> list[nn.Parameter]:
    """The weights that decay."""
    linear = [module for network in networks for module in network.modules() if isinstance(module, nn.Linear)]
    return [parameter for module in linear for name, parameter in module.named_parameters() if name == "weight"]


def group(adam: AdamW, decayed: Iterable[nn.Parameter], config: MinGptStageConfig) -> None:
    """Makes an optimiser of all parameters one that decays those alone; once is enough, and again does no harm."""
    if len(adam.param_groups) > 1:
        return
    decays, (whole,) = {id(parameter) for parameter in decayed}, adam.param_groups
    parameters = whole["params"]
    whole["betas"] = (whole["betas"][0], config.beta_2)
    whole["params"] = [parameter for parameter in parameters if id(parameter) in decays]
    rest = [parameter for parameter in parameters if id(parameter) not in decays]
    adam.param_groups.append({**whole, "params": rest, "weight_decay": 0.0})
