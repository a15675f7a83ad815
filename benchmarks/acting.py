"""How long a step of MAGE takes on a CPU beside one of a Decision Transformer of equal size; prints a table.

    OMP_NUM_THREADS=1 python -m benchmarks.acting --out benchmarks/acting.md
    OMP_NUM_THREADS=1 python -m benchmarks.acting --scores runs/a runs/b        # what weights in 8 bits cost them
    OMP_NUM_THREADS=1 python -m benchmarks.acting --products                    # what reading the weights takes

A step is all that a rollout waits for (`Policy.begin(..).act`): observations in, actions out, in the host's memory.
What is compared takes turns in one process, so that a busy moment hits all alike; ratios are medians of the ratios of
one turn, of the processor's time, which does not count what other processes took meanwhile. The networks are
untrained, their weights sharpened so that tokens differ from place to place.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.measuring import DOMAIN, OBSERVATION_SIZE, synthetic
from benchmarks.table import cpu_name
from mage.algorithms.dt import Context
from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.config import MageConfig
from mage.config import load_config, make_config
from mage.evaluation.episodes import evaluate_policies
from mage.interface import Policy
from mage.interface.policy import Acting, load_policy
from mage.training.trainer import Trainer

REFERENCE, IN_8_BITS = "mage, plain", "mage, int8"
WARM_UP, LEAST_TURNS = 1, 3
SIZES, BATCHES = ("cpu", "paper"), (1, 20, 100)
PARTS = {
    "linear": ("aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm"),
    "attention": ("aten::_scaled_dot_product_flash_attention_for_cpu", "aten::_scaled_dot_product_attention_math"),
    "norm": ("aten::native_layer_norm",),
    "gelu": ("aten::gelu",),
    "copy, add": ("aten::copy_", "aten::add", "aten::add_", "aten::cat", "aten::stack", "aten::embedding"),
}
"""Where a step's time goes -> kernels, by what they take themselves; the rest is Python's and the dispatcher's."""

Act = Callable[[], np.ndarray]


def main() -> None:
    """Measures each size and batch, prints the tables and writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES, help="presets of MAGE")
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES, help="environments")
    parser.add_argument("--seconds", type=float, default=6.0, help="about so long a size and batch (default 6)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1)")
    parser.add_argument("--out", type=Path, help="file of the tables")
    parser.add_argument("--scores", nargs="+", type=Path, help="policies of MAGE that play, in place of all that")
    parser.add_argument("--products", action="store_true", help="times the products of each scale alone")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.products:
        print(markdown(products()))
        return
    if arguments.scores:
        print(markdown([scores(folder) for folder in arguments.scores]))
        return
    times, parts = [], []
    for size in arguments.sizes:
        policies = policies_of(size)
        for batch in arguments.batches:
            acts = {name: acting(policy, batch) for name, policy in policies.items()}
            rows = measure(acts, arguments.seconds)
            for row in rows:
                row["action off by"] = difference(policies[row["model"]], policies[REFERENCE], batch)
            times += [{"size": size, "batch": batch} | row for row in rows]
            parts += [
                {"size": size, "batch": batch, "model": name} | shares(act, calls=1 if batch > 20 else 3)
                for name, act in acts.items()
            ]
            print(markdown(times[-len(acts) :]), flush=True)
    text = "\n".join([*described(arguments), "", markdown(times), "", markdown(parts), ""])
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


def policies_of(size: str) -> dict[str, Policy]:
    """MAGE of a preset and a Decision Transformer of the width, depth and heads of its transformer."""
    config = load_config(size, (), DOMAIN)
    assert isinstance(config, MageConfig)
    same = {
        f"decision_transformer.{name}": getattr(config.transformer, name)
        for name in ("depth", "embed_dim", "num_heads")
    }
    trajectories = synthetic(20)
    transformer = Trainer(trajectories, load_config(size, same, DOMAIN, algorithm="dt"), seed=0).policy()
    mage = sharpened(Trainer(trajectories, config, seed=0).policy())
    return {REFERENCE: by_reference(mage), "mage": mage, IN_8_BITS: in_8_bits(mage), "dt": transformer}


def by_reference(policy: Policy) -> Policy:
    """Acts by the plain `MultiScaleTransformer.generate`, which acting was before there was another way."""
    plain = copy.copy(policy)
    plain.agent = copy.copy(policy.agent)
    plain.agent.begin = lambda environments: None  # type: ignore[method-assign]
    return plain


def acting_with(policy: Policy, *overrides: str) -> Policy:
    """The same networks, acting with some fields changed."""
    changed = copy.copy(policy)
    changed.agent = copy.copy(policy.agent)
    changed.agent.config = make_config(policy.config.model_dump(mode="json"), overrides)
    return changed


def in_8_bits(policy: Policy) -> Policy:
    """Acts with weights in 8 bits."""
    return acting_with(policy, "policy.weights=int8")


@torch.inference_mode()
def products() -> list[dict[str, Any]]:
    """The products of the blocks' weights with the rows of each scale, `paper` size; also with weights transposed."""
    config = load_config("paper", (), DOMAIN)
    assert isinstance(config, MageConfig)
    width, depth = config.transformer.embed_dim, config.transformer.depth
    shapes = ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width))
    weights = [torch.randn(shape) for _ in range(depth) for shape in shapes]
    turned = [weight.t().contiguous().t() for weight in weights]
    size, rows = sum(weight.numel() for weight in weights), []
    for count in config.autoencoder.schedule:
        given = [torch.randn(count, weight.shape[1]) for weight in weights]
        plain, transposed = (quickest(given, own) for own in (weights, turned))
        rates = {"GB/s": 4e-9 * size / plain, "GFLOP/s": 2e-9 * count * size / plain}
        rows.append({"rows": count, "ms": 1e3 * plain, "ms, transposed": 1e3 * transposed} | rates)
    return rows


def quickest(given: list[torch.Tensor], weights: list[torch.Tensor]) -> float:
    """Seconds of one product after the other, each weight out of memory; the median of five turns."""

    def turn() -> float:
        began = time.perf_counter()
        for rows, weight in zip(given, weights, strict=True):
            torch.nn.functional.linear(rows, weight)
        return time.perf_counter() - began

    turn()
    return statistics.median(turn() for _ in range(5))


def scores(folder: Path) -> dict[str, Any]:
    """What a policy scores as it is and in 8 bits, in the same 50 episodes."""
    policy = load_policy(folder)
    played = [evaluate_policies([each], 50) for each in (policy, in_8_bits(policy))]
    row = {"scenario": policy.task.scenario, "steps": int(played[0]["length"].sum())}
    for name, frame in zip(("float32", "int8"), played, strict=True):
        row |= {name: float(frame["normalized_score"].mean()), f"{name}, sd": float(frame["normalized_score"].std())}
    return row


def sharpened(policy: Policy) -> Policy:
    """Codes and logits far enough apart that rounding decides nothing."""
    agent = policy.agent
    assert isinstance(agent, Mage)
    agent.autoencoder.quantizer.codebook_VC.normal_(generator=torch.Generator().manual_seed(0))
    for parameter in agent.transformer.parameters():
        parameter.data *= 2
    return policy


def acting(policy: Policy, batch: int) -> Act:
    """A step of so many episodes, on other observations each time; a Decision Transformer's context is full."""
    observations = np.random.default_rng(0).standard_normal((8, batch, OBSERVATION_SIZE)).astype(np.float32)
    under_way, step = with_full_context(policy.begin(batch)), 0

    def act() -> np.ndarray:
        nonlocal step
        step += 1
        return under_way.act(observations[step % len(observations)])

    return act


def with_full_context(acting: Acting) -> Acting:
    """Where it looks back: on zeros, so that a step takes as long as it will."""
    steps, sizes = acting.policy.agent.context, acting.policy.agent.sizes
    if steps > 1:
        condition_BY, action_BA = (
            torch.zeros(acting.environments, size) for size in (1 + sizes.observation, sizes.action)
        )
        acting._state = Context((condition_BY,) * (steps - 1), (action_BA,) * (steps - 2))
        acting.step = steps - 1
    return acting


def measure(acts: dict[str, Act], seconds: float) -> list[dict[str, Any]]:
    """Medians over turns, a row a model."""
    once = {name: min(milliseconds(act, 1)[0] for _ in range(WARM_UP)) for name, act in acts.items()}
    calls = {name: max(1, round(30 / took)) for name, took in once.items()}
    turns = max(LEAST_TURNS, round(1000 * seconds / sum(once[name] * calls[name] for name in acts)))
    measured = [{name: milliseconds(act, calls[name]) for name, act in acts.items()} for _ in range(turns)]
    rows: list[dict[str, Any]] = []
    for name in acts:
        wall, cpu = zip(*(turn[name] for turn in measured), strict=True)
        over = statistics.median(turn[name][1] / turn["dt"][1] for turn in measured)
        row = {"model": name, "ms": statistics.median(wall), "CPU ms": statistics.median(cpu), "least CPU ms": min(cpu)}
        rows.append(row | {"over dt": over, "turns": turns})
    return rows


def difference(policy: Policy, reference: Policy, batch: int) -> float | str:
    """The largest between their actions, on the same observations."""
    if policy.algorithm != reference.algorithm:
        return "-"
    actions_2BA = [acting(each, batch)() for each in (policy, reference)]
    return float(np.abs(np.subtract(*actions_2BA)).max())


def milliseconds(act: Act, calls: int) -> tuple[float, float]:
    """Of a step, by the clock and of the processor, the mean of so many."""
    started, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        act()
    return 1000 * (time.perf_counter() - started) / calls, 1000 * (time.process_time() - cpu) / calls


def shares(act: Act, calls: int) -> dict[str, str]:
    """Percent of a step's time by part, under the profiler, which lengthens what lies between kernels."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        started = time.perf_counter()
        for _ in range(calls):
            act()
        whole = 1e6 * (time.perf_counter() - started)
    took = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    found = {part: sum(took.get(name, 0.0) for name in names) / whole for part, names in PARTS.items()}
    found["rest"] = 1 - sum(found.values())
    return {part: f"{100 * share:.0f} %" for part, share in found.items()}


def described(arguments: argparse.Namespace) -> list[str]:
    """What was measured, on what."""
    return [
        f"- machine: CPU ({cpu_name()}), {arguments.threads} thread, Python {platform.python_version()}",
        f"- versions: torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), numpy {np.__version__}",
        f"- float32; {WARM_UP} step of warm-up; 'ms' and 'CPU ms' are medians over turns; the context of dt is full",
    ]


def markdown(rows: list[dict[str, Any]]) -> str:
    """A table of rows with the same columns."""
    cells = [[f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    lines = [list(rows[0]), ["---"] * len(rows[0]), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
