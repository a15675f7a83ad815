"""Table 8 on a CPU: how long a step takes of MAGE and of each that the paper compares it with, beside the paper's.

    OMP_NUM_THREADS=1 python -m benchmarks.table_8 --out runs/table-8

A step is all that a rollout of one environment waits for, as in `benchmarks.acting`, with the context full. Nothing is
trained: how long a step takes does not depend on the weights. Each model takes turns with a Decision Transformer of the
same size, since a machine that others share is slower at times: `over DT` is the median of the ratios of one turn, of
the processor's time. What is in --out is not measured again, so that slow models can be measured by themselves.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from benchmarks.acting import Act, described, milliseconds
from benchmarks.gpu.measuring import DOMAIN, OBSERVATION_SIZE, synthetic
from benchmarks.table import markdown
from mage.config import AlgorithmConfig, load_config, make_config, with_field
from mage.interface import Policy
from mage.results.published import published
from mage.training.trainer import Trainer

MODELS = {
    "DT": "dt",
    "ADT": "adt",
    "MAGE": "mage",
    "TT": "tt",
    "TT, no cache": "tt",
    "Decision Diffuser": "decision_diffuser",
    "HD": "hierarchical_diffuser",
}
"""As the paper calls them, but for TT without its cache of keys and values -> the algorithm."""
SECTIONS = {"dt": "decision_transformer", "adt": "adt", "tt": "trajectory_transformer"}
SIZES = ("cpu", "paper", "equal")
LOST_CACHE = ("TT, no cache",)
REFERENCE = "DT"
MOST_TURNS = 30
LEAST_SEARCH = {"horizon": 1, "beam": 1, "expand": 1, "cache": True}


def main() -> None:
    """Measures what is missing, then prints the table of all that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES, help="presets; or transformers as MAGE's")
    parser.add_argument("--models", nargs="+", choices=[*MODELS], default=[*MODELS])
    parser.add_argument("--seconds", type=float, default=10.0, help="about so long a model and size (default 10)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for size in arguments.sizes:
        for name in arguments.models:
            file = arguments.out / f"{size}-{name.replace(', ', '-').replace(' ', '-').lower()}.json"
            if name in models_of(size) and not file.exists():
                file.write_text(json.dumps(measure(name, size, arguments.seconds), indent=1) + "\n")
                print(file.read_text(), flush=True)
    rows = pd.DataFrame([json.loads(file.read_text()) for file in arguments.out.glob("*.json")])
    print("\n".join(described(arguments)) + "\n")
    print(markdown(table(rows)))


def models_of(size: str) -> tuple[str, ...]:
    """All; of MAGE's size only transformers."""
    return tuple(name for name, algorithm in MODELS.items() if size != "equal" or algorithm in {*SECTIONS, "mage"})


def config_of(name: str, size: str) -> AlgorithmConfig:
    """Of Adroit's preset."""
    algorithm, preset = MODELS[name], "paper" if size == "equal" else size
    changes: dict[str, Any] = {"search.cache": False} if name in LOST_CACHE else {}
    if size == "equal" and algorithm in SECTIONS:
        mage = cast(Any, load_config(preset, (), DOMAIN)).transformer
        same = ("depth", "embed_dim", "num_heads")
        changes |= {f"{SECTIONS[algorithm]}.{field}": getattr(mage, field) for field in same}
    return load_config(preset, changes, DOMAIN, algorithm)


def policy_of(name: str, size: str) -> Policy:
    """Untrained."""
    return Trainer(synthetic(20), config_of(name, size), seed=0).policy()


def acting(policy: Policy) -> Act:
    """A step of an episode that has as many behind it as are looked back on."""
    observations = np.random.default_rng(0).standard_normal((8, 1, OBSERVATION_SIZE)).astype(np.float32)
    generators = [torch.Generator().manual_seed(0)]
    under_way, hurried = policy.begin(1), searching_least(policy)
    for step in range(policy.agent.context):
        under_way.policy = hurried
        under_way.act(observations[step % len(observations)], generators=generators)
    under_way.policy = policy

    def act() -> np.ndarray:
        return under_way.act(observations[under_way.step % len(observations)], generators=generators)

    return act


def searching_least(policy: Policy) -> Policy:
    """The same, but for a search, which is as short as can be: what it remembers is of the same size."""
    if not hasattr(policy.config, "search"):
        return policy
    config = policy.config.model_dump()
    for field, value in LEAST_SEARCH.items():
        config = with_field(config, f"search.{field}", value)
    hurried = copy.copy(policy)
    hurried.agent = copy.copy(policy.agent)
    hurried.agent.config = make_config(config)
    return hurried


def measure(name: str, size: str, seconds: float) -> dict[str, Any]:
    """A row of the table: medians over turns, of which there is one where a step takes longer than `seconds`."""
    policy = policy_of(name, size)
    parameters = sum(parameter.numel() for parameter in policy.agent.parameters())
    reference, act = acting(policy_of(REFERENCE, size)), acting(policy)
    milliseconds(reference, 1)
    first = milliseconds(act, 1)
    turns = min(MOST_TURNS, round(1000 * seconds / first[0]))
    calls = max(1, round(30 / first[0]))
    measured = [(first, milliseconds(reference, 5))] if turns < 1 else []
    measured += [(milliseconds(act, calls), milliseconds(reference, 5)) for _ in range(turns)]
    own, other = zip(*measured, strict=True)
    return {
        "size": size,
        "model": name,
        "parameters": parameters,
        "ms": statistics.median(wall for wall, _ in own),
        "CPU ms": statistics.median(cpu for _, cpu in own),
        "over DT": statistics.median(one[1] / another[1] for one, another in zip(own, other, strict=True)),
        "turns": len(measured),
        "load": os.getloadavg()[0],
    }


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Measured, and in columns of their own the paper's."""
    paper = published("adroit").astype({"table": str}).query("table == '8'").set_index("method")["mean"]
    rows = rows.assign(order=rows["size"].map(SIZES.index) * len(MODELS) + rows["model"].map([*MODELS].index))
    rows = rows.sort_values("order").drop(columns="order").reset_index(drop=True)
    published_as = rows["model"].where(~rows["model"].isin(LOST_CACHE), "TT")
    return rows.assign(
        **{"paper ms": published_as.map(paper), "paper over DT": published_as.map(paper) / paper[REFERENCE]}
    )


if __name__ == "__main__":
    main()
