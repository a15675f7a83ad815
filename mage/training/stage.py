"""The training loop, for every stage and any number of workers.

All randomness of a step is derived from (seed, stage, step, rank), so a run that was stopped and continued is the run
that was never stopped, and one that runs in this process is the one that runs on a Ray worker: to the bit on a CPU, up
to the order in which a GPU adds.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mage.config import StageConfig, TrainingConfig
from mage.errors import MageError
from mage.training.distributed import mean_over_workers, parallel, rank, world_size

DIAGNOSED_WINDOWS = 256


class Stage:
    """One stage under way: an objective, its optimiser and how many steps are done.

    An objective is a module that returns (loss, info) for the indices of windows and a generator; its `diagnose`
    computes slower metrics, whenever a line is logged.
    """

    def __init__(
        self, name: str, objective: nn.Module, windows: int, config: StageConfig, training: TrainingConfig, seed: int
    ) -> None:
        if config.batch_size % world_size():
            raise MageError(
                f"batch_size {config.batch_size} of the {name} cannot be shared by {world_size()} workers evenly"
            )
        self.name, self.objective, self.windows = name, objective, windows
        self.config, self.training, self.seed = config, training, seed
        self.device = next(objective.parameters()).device
        self.parameters = [p for p in objective.parameters() if p.requires_grad]
        # fused: one kernel over all parameters, a third of the step time of small models
        self.optimizer = torch.optim.AdamW(
            self.parameters, config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.parallel_objective = parallel(objective)
        self.step = 0
        self.history: list[dict[str, float | str]] = []
        self._totals: dict[str, Tensor] = {}
        self._counted = 0

    def train_until(self, step: int) -> None:
        """Trains up to a step; logs every `log_every` steps and at the end of the call."""
        self.objective.train()
        while self.step < step:
            info = self.train_step()
            for name, value in info.items():
                self._totals[name] = self._totals.get(name, 0.0) + value
            self._counted += 1
            if self.step % self.training.log_every == 0 or self.step == step:
                self.log()

    def train_step(self) -> dict[str, Tensor]:
        """One step of the optimiser on this worker's share of a batch."""
        shared, own = self.generators(self.step)
        indices_B = torch.randint(self.windows, (self.config.batch_size,), generator=shared)[rank() :: world_size()]
        rate = self.config.learning_rate * schedule(self.step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, info = self.parallel_objective(indices_B.to(self.device), own)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        info["gradient_norm"] = nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_clip).detach()
        self.optimizer.step()
        self.step += 1
        return info

    def generators(self, step: int) -> tuple[torch.Generator, torch.Generator]:
        """The randomness of a step: one generator that all workers share, one that is this worker's own."""
        stage = zlib.crc32(self.name.encode())
        seeds = [np.random.SeedSequence([self.seed, stage, step, part]).generate_state(1) for part in (0, 1 + rank())]
        shared = torch.Generator().manual_seed(int(seeds[0][0]))
        own = torch.Generator(self.device).manual_seed(int(seeds[1][0]))
        # dropout takes no generator; torch.manual_seed would format a stack trace at every step
        torch.default_generator.manual_seed(int(seeds[1][0]))
        if self.device.type == "cuda":
            torch.cuda.manual_seed(int(seeds[1][0]))
        return shared, own

    def log(self) -> None:
        """Averages what has been gathered over steps and workers, adds diagnostics, and appends it to the history."""
        means = mean_over_workers({name: total / self._counted for name, total in self._totals.items()})
        if not math.isfinite(means["loss"]):
            raise MageError(
                f"the loss of the {self.name} is {means['loss']} at step {self.step}; "
                f"lower training.{self.name}.learning_rate (now {self.config.learning_rate})"
            )
        self.objective.eval()
        diagnosed = torch.randint(self.windows, (DIAGNOSED_WINDOWS,), generator=self.generators(self.step)[0])
        means |= mean_over_workers(self.objective.diagnose(diagnosed.to(self.device)))  # type: ignore[operator]
        self.objective.train()
        self.history.append({"stage": self.name, "step": self.step, **means})
        self._totals, self._counted = {}, 0

    def save(self, folder: Path) -> None:
        """Writes the optimiser's state; only meaningful right after `train_until`. The weights are the trainer's."""
        state = {}
        for index, parameter in enumerate(self.parameters):
            for name, value in self.optimizer.state[parameter].items():
                state[f"{index}.{name}"] = value
        save_file(state, folder / "optimizer.safetensors")

    def load(self, folder: Path, step: int) -> None:
        """Goes on from what `save` wrote at `step`."""
        state = load_file(folder / "optimizer.safetensors")
        for index, parameter in enumerate(self.parameters if step else []):
            names = ("step", "exp_avg", "exp_avg_sq")
            self.optimizer.state[parameter] = {name: state[f"{index}.{name}"].to(self.device) for name in names}
        self.step = step


def schedule(step: int, config: StageConfig) -> float:
    """Learning-rate factor: linear warm-up, then a cosine from 1 to 0.1."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, progress)))
