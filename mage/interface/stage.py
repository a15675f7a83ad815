"""A stage of training, as data: what it trains, by which optimisers, and what one step of it does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mage.config.fields import OptimiserConfig, StageConfig
from mage.distributed import average_gradients
from mage.nn.adamw import AdamW

Info = Mapping[str, Tensor]
"""Named terms of a step, each one number; `loss` among them. Others may be of some steps only."""

Trained = nn.Module | nn.Parameter

Clip = Callable[[Sequence[nn.Parameter], float], Tensor]
"""(parameters, largest norm) -> the norm of their gradients before they were clipped."""

LEFT = 0.1
"""Share of a learning rate that a decay leaves."""


class Optimiser:
    """AdamW on some parameters, with the schedule and the clipping of its configuration.

    Attributes:
        step: of the stage that is under way, from 0.
        norm: of the gradient of this step, before it was clipped; None until it is taken, and where none is.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], config: OptimiserConfig, steps: int) -> None:
        self.parameters, self.config, self.steps, self.step = parameters, config, steps, 0
        self.adam = AdamW(parameters, config.learning_rate, config.weight_decay)
        self.norm: Tensor | None = None

    def begin(self, step: int) -> None:
        """Sets the learning rate of a step of the stage."""
        self.norm, self.step = None, step
        for group in self.adam.param_groups:
            group["lr"] = self.config.learning_rate * schedule(step, self.config, self.steps)

    def minimise(self, loss: Tensor, clip: Clip = nn.utils.clip_grad_norm_) -> Tensor:
        """One step down the gradient of the loss with respect to its own parameters, and no others.

        Gradients are averaged over the workers and clipped: all by one norm, unless `clip` does otherwise. Returns
        their norm.
        """
        self.adam.zero_grad()
        loss.backward(inputs=list(self.parameters))
        average_gradients(self.parameters)
        self.norm = clip(self.parameters, self.config.gradient_clip).detach()
        self.adam.step()
        return self.norm

    def state(self) -> dict[str, Tensor]:
        """What it remembers of its parameters, by their number."""
        remembered = enumerate(self.adam.state[parameter] for parameter in self.parameters)
        return {f"{index}.{name}": value for index, state in remembered for name, value in state.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from what `state` gave."""
        for name, value in state.items():
            index, _, what = name.partition(".")
            parameter = self.parameters[int(index)]
            self.adam.state[parameter][what] = value.to(parameter.device)


Optimisers = Mapping[str, Optimiser]
Step = Callable[[Tensor, Optimisers, torch.Generator], Info]


def nothing(rows_B: Tensor) -> Info:
    """No metrics beyond those of the steps."""
    return {}


class Kept(nn.Module):
    """A tensor that a loss reads, made at its first use of what the stages before have left."""

    value: Tensor | None

    def __init__(self, make: Callable[[], Tensor]) -> None:
        super().__init__()
        self._make = make
        self.register_buffer("value", None, persistent=False)

    def forward(self) -> Tensor:
        """The tensor."""
        if self.value is None:
            self.value = self._make()
        return self.value


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage of training. What `trains` does not name is frozen and in evaluation mode meanwhile.

    Attributes:
        name: of its section in `config.training`, and in the loss curves.
        config: steps, batch size and the settings of its optimisers.
        trains: by the name of an optimiser, the modules and parameters that it moves. A field of `config` of that name
            holds its settings; else they are those of the stage.
        step: (rows of the data, optimisers, random numbers) -> named terms; takes the steps of the optimisers.
        diagnose: slower metrics of some rows, whenever a line of the loss curve is written.
        tells: the terms and metrics that stand in its lines for people, beside the loss.
        end: called once, when the stage is done; returns a row for the loss curve, under a `stage` of its own, and the
            same in words.
        rows: how many rows there are to draw from, numbered from 0; by default all steps of the data.
        shared_by: all that determines what this stage leaves, besides data and seed: runs that agree here train it
            once. Only the first stages may be shared; it says then what determines those before it, too.
        leaves: what it changes beside what it trains, such as averages of weights: kept with it where it is shared.
        acts: whether the policy may be judged in the midst of the stage.
        stacks: whether several seeds may be trained as one (`mage.training.stacked`): the step is that of `minimise`,
            and its loss, from the second step on, is always the same operations on tensors of the algorithm, of
            `keeps` and of the data, with random numbers of its generator and of dropout alone.
        keeps: what its loss has made at its first use.
    """

    name: str
    config: StageConfig
    trains: Mapping[str, Sequence[Trained]]
    step: Step
    diagnose: Callable[[Tensor], Info] = nothing
    tells: Sequence[str] = ()
    end: Callable[[], tuple[Mapping[str, float | str], str]] | None = None
    rows: int | None = None
    shared_by: Mapping[str, Any] | None = None
    leaves: Sequence[nn.Module] = ()
    acts: bool = True
    stacks: bool = False
    keeps: Sequence[Kept] = ()

    def parameters(self, optimiser: str, trainable: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """What an optimiser of it moves, in a fixed order; `trainable` are those that may be moved at all."""
        allowed = {id(parameter) for parameter in trainable}
        return [parameter for parameter in parameters_of(self.trains[optimiser]) if id(parameter) in allowed]

    def settings(self, optimiser: str) -> OptimiserConfig:
        """Of one of its optimisers."""
        own = getattr(self.config, optimiser, None)
        return own if isinstance(own, OptimiserConfig) else self.config


def parameters_of(trained: Iterable[Trained]) -> Iterator[nn.Parameter]:
    """The parameters of modules and parameters, each once."""
    seen: set[int] = set()
    for part in trained:
        for parameter in [part] if isinstance(part, nn.Parameter) else part.parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield parameter


Loss = Callable[[Tensor, torch.Generator], tuple[Tensor, Info]]
"""(rows of the data, random numbers) -> the loss and its named terms, which hold it, too."""

ONE = "all"
"""The name of the optimiser of a stage that has only one."""


@dataclass(frozen=True)
class Minimise:
    """The step of `minimise`."""

    loss: Loss

    def __call__(self, rows_B: Tensor, optimise: Optimisers, random: torch.Generator) -> Info:
        """Takes it."""
        total, info = self.loss(rows_B, random)
        optimise[ONE].minimise(total)
        return info


def minimise(loss: Loss) -> Minimise:
    """The step of a stage that has one optimiser, `ONE`, and one loss."""
    return Minimise(loss)


def schedule(step: int, config: OptimiserConfig, steps: int, left: float = LEFT) -> float:
    """Learning-rate factor: linear warm-up, then a cosine or a line from 1 to what is left at the last step, or 1."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.decay == "constant":
        return 1.0
    progress = min(1.0, (step - config.warmup_steps) / max(1, steps - config.warmup_steps))
    left = 0.0 if config.decay == "cosine_to_zero" else left
    return left + (1 - left) * (1 - progress if config.decay == "linear" else 0.5 * (1 + math.cos(math.pi * progress)))
