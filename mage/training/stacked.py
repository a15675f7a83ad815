"""Several seeds of one configuration as one model: each step of a stage is one step on weights laid side by side.

A small model keeps a GPU waiting for the next kernel, not for numbers, and five seeds as one launch hardly more kernels
than one does. `torch.vmap` turns the loss of one seed into that of all, and `make_fx` writes down, once a stage, what
operations that and its gradients are, for going through vmap takes longer at every step than what it saves.

The networks and optimisers of every seed are views of the stack, so that a seed's trainer logs, diagnoses and saves as
one that trains alone. The numbers are those of training alone, up to the order of sums.

Shape suffixes: S seeds, B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from mage.distributed import world_size
from mage.errors import MageError
from mage.interface import Info
from mage.training.draws import Given, Listed
from mage.training.engine import Engine
from mage.training.side_by_side import SideBySide
from mage.training.trainer import Trainer


class StackedTrainers:
    """Trainers of several seeds that advance together.

    Stages that do not stack are trained seed by seed.

    Raises:
        MageError: no stage of the algorithm stacks, or other workers train the same seeds.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        self.trainers = list(trainers)
        self._stack: Stack | None = None
        if world_size() > 1:
            raise MageError("training.stacked is for one worker; take one, or set training.stacked=false")
        check_stacks(trainers[0])

    @property
    def step(self) -> int:
        """Steps that every seed has done, over all stages."""
        return min(trainer.step for trainer in self.trainers)

    def advance(self, until: int) -> None:
        """Trains all seeds up to a step counted over all stages; those that are behind catch up alone."""
        first, furthest = self.trainers[0], max(trainer.step for trainer in self.trainers)
        for trainer in self.trainers:
            trainer.advance(furthest)
        while first.step < min(until, first.total_steps):
            self._train_until(first.next_stop(until))
            for trainer in self.trainers:
                trainer.go_on()

    def _train_until(self, step: int) -> None:
        engines = [trainer.stage for trainer in self.trainers]
        if not engines[0].stage.stacks:
            for engine in engines:
                engine.train_until(step)
            return
        if self._stack is None or self._stack.engines[0] is not engines[0]:
            self._stack = Stack(engines)
        self._stack.train_until(step)
        if step == engines[0].config.steps:
            self._stack.part()
            self._stack = None


def check_stacks(trainer: Trainer) -> None:
    """MageError where no stage of the algorithm can be trained with several seeds at once."""
    if not any(stage.stacks for stage in trainer.stages):
        raise MageError(
            f"no stage of {trainer.config.algorithm} can be trained with several seeds at once; "
            "set training.stacked=false"
        )


class Stack:
    """One stage of several seeds under way, all at the same step.

    The first step is taken seed by seed: it makes what is made at a first step, and lists what is drawn in one.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.engines, self.draws = list(engines), Listed()
        self._together: SideBySide | None = None
        self._program: Any = None
        self._terms: list[str] = []
        self._totals: dict[str, Tensor] = {}
        self._steps = 0

    def train_until(self, step: int) -> None:
        """As `Engine.train_until`."""
        first = self.engines[0]
        for engine in self.engines:
            engine.set_modes()
        while first.step < step:
            if self._together is None:
                for engine in self.engines:
                    engine.gather(engine.train_step(self.draws if engine is first else None))
                self._together = SideBySide(self.engines)
                self._program = self._written_down(self._together)
            else:
                self.train_step()
            if first.step % first.training.log_every == 0 or first.step == step:
                self._log(self._together)

    def part(self) -> None:
        """Gives every seed weights of its own again."""
        if self._together is not None:
            self._together.part()

    @torch.no_grad()
    def train_step(self) -> None:
        """A step of all seeds as one, after the first."""
        together = self._together
        assert together is not None
        rows_SB, drawn = self._drawn()
        together.optimiser.begin(self.engines[0].step)
        values = self._program(*together.tensors.values(), rows_SB, *drawn)
        terms = dict(zip(self._terms, values, strict=False))
        terms["gradient_norm"] = together.move(values[len(terms) :])
        for name, value_S in terms.items():
            self._totals[name] = self._totals.get(name, 0.0) + value_S
        self._steps += 1
        for engine in self.engines:
            engine.step += 1

    def _drawn(self) -> tuple[Tensor, list[Tensor]]:
        """The rows (S, B) of this step, and all that is drawn in it."""
        pairs, first = [engine.generators(engine.step) for engine in self.engines], self.engines[0]
        size = (first.config.batch_size,)
        rows_SB = torch.stack([torch.randint(first.rows, size, generator=shared) for shared, _ in pairs])
        return rows_SB.to(first.device), self.draws.drawn([own for _, own in pairs])

    def _written_down(self, together: SideBySide) -> Any:
        """(tensors.., rows (S, B), what is drawn..) -> [terms (S,).., gradients (S, ..)..], as operations in a row."""
        from torch.fx.experimental.proxy_tensor import make_fx  # takes a second, which most trainings do without
        from torch.fx.graph import CodeGen

        random = torch.Generator(self.engines[0].device)

        def of_one(tensors: dict[str, Tensor], rows_B: Tensor, drawn: list[Tensor]) -> Info:
            with Given(drawn):
                terms: Info = functional_call(together.model, tensors, (rows_B, random))
                return terms

        def of_all(tensors: dict[str, Tensor], *drawn: Any) -> list[Tensor]:
            moved = {name: tensors[name].detach().requires_grad_() for name in together.moved}
            terms = torch.vmap(of_one, randomness="error")(tensors | moved, *drawn)
            gradients = torch.autograd.grad(terms["loss"].sum(), list(moved.values()))
            self._terms = list(terms)
            return [*(value_S.detach() for value_S in terms.values()), *gradients]

        # to write it down is to do it; what is kept does not change, and is large
        copies = {
            name: tensor if name.startswith("keeps.") else tensor.clone() for name, tensor in together.tensors.items()
        }
        program = make_fx(of_all)(copies, *self._drawn())
        program.graph.set_codegen(CodeGen())  # which takes what there is as it is, and not in dictionaries
        program.recompile()
        return program

    def _log(self, together: SideBySide) -> None:
        """Gives every seed its own terms and has it log."""
        together.tell_steps()
        for seed, engine in enumerate(self.engines):
            engine.gather({name: total_S[seed] for name, total_S in self._totals.items()}, self._steps)
            engine.log()
        self._totals, self._steps = {}, 0
