"""The networks and the optimiser of several seeds as one, of which those of every seed are views.

Shape suffixes: S seeds, B batch, P values of all parameters that are moved, laid one behind the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mage.interface import ONE, Info, Optimiser
from mage.interface.stage import Minimise
from mage.training.engine import Engine

MOMENTS = ("exp_avg", "exp_avg_sq")


class Model(nn.Module):
    """All tensors that a stage of one seed learns, uses or keeps, with the terms of its loss as what it computes."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        step = engine.stage.step
        assert isinstance(step, Minimise)
        self.agent, self.keeps, self._loss = engine.agent, nn.ModuleList(engine.stage.keeps), step.loss

    def forward(self, rows_B: Tensor, random: torch.Generator) -> Info:
        """The terms, `loss` among them."""
        return self._loss(rows_B, random)[1]

    def own_tensors(self) -> dict[str, Tensor]:
        """By name: those that may differ from seed to seed."""
        saved = self.agent.state_dict(keep_vars=True, prefix="agent.")
        tensors = dict(self.named_parameters()) | dict(self.named_buffers())
        return {name: tensor for name, tensor in tensors.items() if name in saved or name.startswith("keeps.")}


class SideBySide:
    """What the engines of several seeds have, after a step of each: it moves, and theirs with it.

    Attributes:
        model: of the first seed.
        tensors: by name, (S, ..), those that may differ from seed to seed.
        moved: names of those that the optimiser moves, in the order in which it wants their gradients.
        optimiser: of all of them, as one parameter (S, P).
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        own = [engine.optimisers[ONE] for engine in engines]
        self.model = Model(engines[0])
        self._own_tensors = [Model(engine).own_tensors() for engine in engines]
        with_gradient = {id(parameter) for parameter in own[0].parameters if parameter.grad is not None}
        self.moved = [name for name, tensor in self._own_tensors[0].items() if id(tensor) in with_gradient]
        moved = [[tensors[name] for name in self.moved] for tensors in self._own_tensors]
        self._states = [
            [each.adam.state[tensor] for tensor in tensors if isinstance(tensor, nn.Parameter)]
            for each, tensors in zip(own, moved, strict=True)
        ]
        self._shapes = [tensor.shape for tensor in moved[0]]
        self.optimiser = Optimiser([nn.Parameter(flat(moved))], own[0].config, own[0].steps)
        self._state = self.optimiser.adam.state[self.optimiser.parameters[0]]
        self._state["step"] = self._states[0][0]["step"].clone()
        for moment in MOMENTS:
            self._state[moment] = flat([[state[moment] for state in states] for states in self._states])
        self.tensors = self._linked()
        self._link_states()

    def move(self, gradients: Sequence[Tensor]) -> Tensor:
        """A step of the optimiser, the gradients of each seed clipped by their own norm; returns these, (S,)."""
        gradient_SP = torch.cat([gradient.flatten(1) for gradient in gradients], 1)
        norm_S = gradient_SP.norm(dim=1)
        factor_S = (self.optimiser.config.gradient_clip / (norm_S + 1e-6)).clamp_max(1.0)  # as clip_grad_norm_
        self.optimiser.parameters[0].grad = gradient_SP.mul_(factor_S.unsqueeze(1))
        self.optimiser.adam.step()
        return norm_S

    def tell_steps(self) -> None:
        """Gives the optimisers of all seeds the number of steps that they have taken."""
        for states in self._states:
            for state, step in zip(states, self._state["step"].repeat(len(states)), strict=True):
                state["step"] = step

    def part(self) -> None:
        """Gives every seed weights of its own again: a view would be sent or copied with all that it is a view of."""
        for tensors in self._own_tensors:
            for tensor in tensors.values():
                tensor.data = tensor.data.clone()

    def _linked(self) -> dict[str, Tensor]:
        """All tensors, (S, ..), after making those of every seed views of them."""
        trained = views(self.optimiser.parameters[0].detach(), self._shapes)
        together = dict(zip(self.moved, trained, strict=True))
        for name in self._own_tensors[0]:
            own = [tensors[name] for tensors in self._own_tensors]
            if name not in together:
                together[name] = torch.stack([tensor.detach() for tensor in own])
            for tensor, view in zip(own, together[name], strict=True):
                tensor.data = view
        return together

    def _link_states(self) -> None:
        for moment in MOMENTS:
            for place, together in enumerate(views(self._state[moment], self._shapes)):
                for states, view in zip(self._states, together, strict=True):
                    states[place][moment] = view


def flat(tensors: Sequence[Sequence[Tensor]]) -> Tensor:
    """(S, P) of the tensors of each seed."""
    return torch.stack([torch.cat([each.detach().reshape(-1) for each in own]) for own in tensors])


def views(flat_SP: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """(S, ..) of each shape, laid one behind the other in (S, P)."""
    parts = flat_SP.split([shape.numel() for shape in shapes], 1)
    return [part.view(len(flat_SP), *shape) for part, shape in zip(parts, shapes, strict=True)]
