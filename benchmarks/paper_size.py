"""The `paper` preset at its full width on a CPU, for as many steps as a quarter of an hour holds, beside a narrow one.

    OMP_NUM_THREADS=1 python -m benchmarks.paper_size pen-expert --dataset-namespace local

Batches are small and the steps few, so it is no training to the end. It shows whether the losses of a network of 53
million weights fall as those of a small one do, whether its codes are used, whether memory stays flat, and whether a
training that is stopped in the midst of stage 2 and goes on from its checkpoint is the one that was not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from safetensors.torch import load_file

from benchmarks.table import environment_lines, markdown
from mage import scenarios
from mage.config import AlgorithmConfig, load_config
from mage.data.sources import trajectories_of
from mage.data.trajectories import Trajectories
from mage.training.trainer import Trainer
from mage.training.weights import WHOLE

NARROW = (
    "autoencoder.embed_dim=64",
    "autoencoder.encoder_blocks=2",
    "autoencoder.decoder_blocks=2",
    "inverse_dynamics.hidden_dim=64",
    "transformer.embed_dim=64",
    "transformer.depth=2",
)
WIDTHS: dict[str, tuple[str, ...]] = {"paper": (), "narrow": NARROW}
SHOWN = ("loss", "reconstruction_error", "codes_used_all", "cross_entropy", "token_accuracy")
MARKS = 8
"""Rows a stage."""
STEPS_AFTERWARDS = 4
"""The one that was stopped and the one that was not."""
BEFORE, AFTER = "before", "after"


def main() -> None:
    """Trains both, and prints a row a mark and what came of stopping."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--dataset-namespace", metavar="NAME")
    parser.add_argument("--autoencoder-steps", type=int, default=240)
    parser.add_argument("--transformer-steps", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    trajectories = trajectories_of(options.scenario, options.dataset_namespace)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for width in WIDTHS:
            trainer = Trainer(trajectories, config_of(width, options), seed=0)
            weights = sum(parameter.numel() for parameter in trainer.agent.parameters())
            print(f"{width}: {weights:,} weights", flush=True)
            midst = trainer.total_steps - options.transformer_steps // 2
            rows += trained(trainer, width, midst, folder / width)
        is_equal = goes_on_alike(trajectories, config_of("paper", options), folder / "paper")
    print("\n".join(["", *environment_lines(), "", markdown(pd.DataFrame(rows)), ""]))
    print(f"stopped in the midst of stage 2 and gone on, weights equal to the bit: {is_equal}")


def config_of(width: str, options: argparse.Namespace) -> AlgorithmConfig:
    """The `paper` preset with so many steps of so many windows."""
    steps = {"autoencoder": options.autoencoder_steps, "transformer": options.transformer_steps}
    changes = [f"training.log_every={max(1, min(steps.values()) // MARKS)}", *WIDTHS[width]]
    for stage, count in steps.items():
        changes += [f"training.{stage}.steps={count}", f"training.{stage}.warmup_steps={count // 10}"]
        changes += [f"training.{stage}.batch_size={options.batch_size}"]
        changes += [f"training.{stage}.learning_rate={options.learning_rate}"]
    return load_config("paper", changes, scenarios.get(options.scenario).domain, scenario=options.scenario)


def trained(trainer: Trainer, width: str, midst: int, folder: Path) -> list[dict[str, Any]]:
    """A row a mark: metrics since the last one, CPU seconds since the start, and what the process holds.

    A checkpoint is kept of the midst, and one of some steps afterwards.
    """
    rows, began, seen = list[dict[str, Any]](), time.process_time(), 0
    while trainer.step < trainer.total_steps:
        ahead = [mark for mark in (midst, midst + STEPS_AFTERWARDS) if mark > trainer.step]
        trainer.advance(min([*ahead, trainer.step + trainer.config.training.log_every]))
        for name, mark in ((BEFORE, midst), (AFTER, midst + STEPS_AFTERWARDS)):
            if trainer.step == mark:
                trainer.save(folder / name)
        for metrics in trainer.history[seen:]:
            row = {"size": width, "stage": metrics["stage"], "step": int(metrics["step"])}
            row |= {name: significant(metrics.get(name)) for name in SHOWN}
            rows.append(row | {"CPU s": time.process_time() - began, "MB": psutil.Process().memory_info().rss / 1e6})
            print(rows[-1], flush=True)
        seen = len(trainer.history)
    return rows


def goes_on_alike(trajectories: Trajectories, config: AlgorithmConfig, folder: Path) -> bool:
    """Whether what goes on from the checkpoint of the midst comes to the weights of what was not stopped."""
    trainer = Trainer(trajectories, config, seed=0)
    trainer.load(folder / BEFORE)
    trainer.advance(trainer.step + STEPS_AFTERWARDS)
    undisturbed = load_file(folder / AFTER / WHOLE)
    return all(torch.equal(value, undisturbed[name]) for name, value in trainer.agent.state_dict().items())


def significant(value: Any) -> str:
    """With three digits."""
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
