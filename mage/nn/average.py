"""Copies of a module: one that follows it (target networks, averaged weights), one of when it was at its best."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mage.distributed import mean_of_workers


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


class BestSoFar(nn.Module):
    """A frozen copy of a module as it was at its lowest loss on what it does not learn from, looked at now and then.

    Until the first look it is the module itself. Its weights, that loss and the number of calls are part of its
    state_dict.

    Args:
        module: is copied, and not kept.
        every: how many calls of `offer` lie between two looks.
    """

    lowest: Tensor

    def __init__(self, module: nn.Module, every: int) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.every, self.calls = every, 0
        self.register_buffer("lowest", torch.tensor(float("inf")))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the copy makes of it."""
        return self.module(*args, **kwargs)

    @torch.no_grad()
    def offer(self, module: nn.Module, loss: Callable[[], Tensor]) -> None:
        """Takes the module after a step of it, if it is looked at now and its loss () is lower than any before."""
        self.calls += 1
        if self.calls % self.every == 0:
            found = mean_of_workers(loss())  # all workers have to choose the same
            if found >= self.lowest:
                return
            self.lowest.copy_(found)
        elif self.calls > self.every:
            return
        self.module.load_state_dict(module.state_dict())

    # no buffer: to read a counter that lies on a GPU is to wait for the GPU
    def get_extra_state(self) -> Tensor:
        """How often it was offered the module, for the state_dict."""
        return torch.tensor(self.calls)

    def set_extra_state(self, state: Tensor) -> None:
        """Goes on counting from there."""
        self.calls = int(state)
