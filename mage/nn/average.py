"""A copy of a module that follows it: the target networks of critics, the averaged weights of generative models."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class Average(nn.Module):
    """A frozen copy, average <- average + rate (module - average) at every `every`-th call of `follow` after `start`.

    Its weights, and how often it followed, are part of its state_dict. Buffers are copied as they are.

    Args:
        module: is copied, and not kept.
        rate: 0 stands still, 1 is the module itself.
        start: up to this call the copy is the module itself.
        every: how many calls lie between two moves.
        waits: up to the start the copy stands still instead.
    """

    def __init__(self, module: nn.Module, rate: float, start: int = 0, every: int = 1, waits: bool = False) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.rate, self.start, self.every, self.calls = rate, start, every, 0
        self.early_rate = 0.0 if waits else 1.0

    @property
    def due(self) -> bool:
        """Whether it will move at the next call of `follow`."""
        return (self.calls + 1) % self.every == 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the copy makes of it."""
        return self.module(*args, **kwargs)

    @torch.no_grad()
    def follow(self, module: nn.Module) -> None:
        """Moves the copy a little towards the module, after the module took a step."""
        due = self.due
        self.calls += 1
        rate = self.rate if self.calls > self.start else self.early_rate
        if not due or not rate:
            return
        for average, parameter in zip(self.module.parameters(), module.parameters(), strict=True):
            average.lerp_(parameter, rate)
        for copied, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            copied.copy_(buffer)

    # no buffer: to read a counter that lies on a GPU is to wait for the GPU
    def get_extra_state(self) -> Tensor:
        """How often it was called, for the state_dict."""
        return torch.tensor(self.calls)

    def set_extra_state(self, state: Tensor) -> None:
        """Goes on counting from there."""
        self.calls = int(state)
