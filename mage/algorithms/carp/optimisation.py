"""How VAR (github.com/FoundationVision/VAR) optimises, which CARP is built on.

AdamW, of which only the weights of linear maps and convolutions decay, by less and less: the decay falls to 0 as half a
cosine. The learning rate stays for a while and then falls to a share of itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from mage.interface.stage import Clip, Optimiser, schedule
from mage.nn.min_gpt import MinGptStageConfig, group


class VarStageConfig(MinGptStageConfig):
    """A stage that is optimised as VAR is."""

    weight_decay: float = Field(0.05, ge=0, description="at the first step, of the weights of maps alone")
    beta_1: float = Field(0.9, ge=0, lt=1, description="of Adam's average of gradients")
    held: float = Field(0.0, ge=0, lt=1, description="share of the steps before the learning rate falls")
    rate_left: float = Field(0.1, ge=0, le=1, description="share of the learning rate at the last step")


def steer(optimiser: Optimiser, decayed: Sequence[nn.Parameter], config: VarStageConfig) -> None:
    """Sets what the step at hand is taken with.

    Args:
        optimiser: of all parameters.
        decayed: the weights that decay.
        config: of the stage.
    """
    group(optimiser.adam, decayed, config)
    step, held = optimiser.step, round(config.held * optimiser.steps)
    falling = step if step < config.warmup_steps else max(config.warmup_steps, step - held)
    rate = config.learning_rate * schedule(falling, config, optimiser.steps - held, config.rate_left)
    for part in optimiser.adam.param_groups:
        part["lr"], part["betas"] = rate, (config.beta_1, config.beta_2)
    progress = step / max(1, optimiser.steps - 1)
    optimiser.adam.param_groups[0]["weight_decay"] = config.weight_decay * (1 + math.cos(math.pi * progress)) / 2


def weights_of_maps(network: nn.Module) -> list[nn.Parameter]:
    """The weights that decay."""
    maps = [each for each in network.modules() if isinstance(each, nn.Linear | nn.Conv1d | nn.ConvTranspose1d)]
    weights = [parameter for each in maps for name, parameter in each.named_parameters() if name == "weight"]
    return weights


def clip_each(parts: int) -> Clip:
    """Clips networks that lie side by side along the first axis of all parameters, so many, each by its own norm.

    Told is the norm of all.
    """

    def clip(parameters: Sequence[nn.Parameter], largest: float) -> Tensor:
        gradients = [each.grad.unflatten(0, (parts, -1)) for each in parameters if each.grad is not None]
        norm_A = torch.cat([gradient.flatten(1) for gradient in gradients], 1).norm(dim=1)
        factor_A = (largest / (norm_A + 1e-6)).clamp_max(1.0)
        for gradient in gradients:
            gradient.mul_(factor_A.view(-1, *[1] * (gradient.dim() - 1)))
        return norm_A.norm()

    return clip


def average_rate(step: int, highest_decay: float) -> float:
    """Of an average of weights at a step, from 0: of the steps to come ever less, 1 - (1 - (1 + n)^-3/4)."""
    before = step - 1
    return 1.0 if before <= 0 else max((1 + before) ** -0.75, 1 - highest_decay)
