"""MAGE beside its references on nine sets in which several ways lead on; prints two tables in Markdown.

    python -m benchmarks.routes --dataset-namespace local --seeds 3 --out runs/routes --raw benchmarks/routes

What is measured already, in the folder or in `--raw FILE` (.csv for trainings, .parquet for their episodes), is not
measured again, so that one table can be filled over many runs and machines. Whoever is asked for a return is asked in
two ways by the same weights: for what is feasible at each step, and for what the scenario asks for throughout. All
play the same episodes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import mage
from benchmarks.acting import acting_with
from benchmarks.table import environment_lines, markdown
from mage import scenarios
from mage.config import AlgorithmConfig, load_config
from mage.data.sources import trajectories_of
from mage.data.trajectories import target_return
from mage.interface import Policy
from mage.results.store import write_parquet

SCENARIOS = (
    "maze-game-starts",
    "maze2d-medium",
    "maze2d-large",
    "kitchen-partial",
    "kitchen-mixed",
    "door-cloned",
    "halfcheetah-medium-expert",
    "antmaze-umaze-diverse",
    "antmaze-medium-diverse",
)
FEASIBLE, ADVANTAGE = "evaluation.target_return_rule=feasible", "condition.kind=advantage"
BEST = (ADVANTAGE, "condition.clip=1.5", "evaluation.target_return_quantile=1")
COUNTING_DOWN = ("condition.discount=1", "evaluation.target_return_rule=decremented")
PLAN = (
    "inverse_dynamics.inputs=latent_and_observation",
    "inverse_dynamics.loss_weight=0",
    "inverse_dynamics.scales=1",
    "training.inverse_dynamics.given_scales=1",
    "training.inverse_dynamics.whole_windows=true",
)
TWO_SCALES = ("inverse_dynamics.scales=2", "training.inverse_dynamics.given_scales=2")
DRAWN = "policy.sampling=sample"
WIDE = (
    "inverse_dynamics.hidden_dim=512",
    "inverse_dynamics.hidden_layers=3",
    "training.inverse_dynamics.steps=10000",
)
METHODS = {
    "bc": ("bc", "cpu", ()),
    "return_bc": ("return_bc", "cpu", (FEASIBLE,)),
    "return_bc, counting down": ("return_bc", "cpu", COUNTING_DOWN),
    "return_bc (advantage)": ("return_bc", "cpu", (ADVANTAGE,)),
    "return_bc (advantage), best": ("return_bc", "cpu", BEST),
    "return_bc (advantage), best, longer": ("return_bc", "cpu", (*BEST, "training.reference.steps=12000")),
    "dt": ("dt", "cpu", (FEASIBLE,)),
    "mage": ("mage", "cpu", (FEASIBLE,)),
    "mage, mean code": ("mage", "cpu", (FEASIBLE, "policy.sampling=expected")),
    "mage, counting down": ("mage", "cpu", COUNTING_DOWN),
    "mage (advantage)": ("mage", "cpu", (ADVANTAGE,)),
    "mage (advantage), best": ("mage", "cpu", BEST),
    "mage (advantage), best, longer": ("mage", "cpu", (*BEST, "training.inverse_dynamics.steps=12000")),
    "bc 0.1": ("bc", "cpu-0.1", ()),
    "return_bc 0.1": ("return_bc", "cpu-0.1", (FEASIBLE,)),
    "return_bc (advantage) 0.1": ("return_bc", "cpu-0.1", (ADVANTAGE,)),
    "mage 0.1": ("mage", "cpu-0.1", (FEASIBLE,)),
    "mage 0.1, wide I": ("mage", "cpu-0.1", (FEASIBLE, *WIDE)),
    "mage 0.1, drawn": ("mage", "cpu-0.1", (FEASIBLE, DRAWN)),
    "mage 0.1, drawn, I(z_1 + z_2, s_0)": ("mage", "cpu-0.1", (FEASIBLE, DRAWN, *PLAN, *TWO_SCALES)),
    "mage 0.1, I(z_1, s_0)": ("mage", "cpu-0.1", (FEASIBLE, *PLAN, "transformer.condition_weight=0")),
}
"""In words -> algorithm, preset, changes; 0.1 is what `cpu` was then. The last acts by its plan, as was first tried
(benchmarks/following.md). *best* asks for the most of an advantage that is cut where 3 steps in 1,000 have more (in
maze2d-medium), *longer* learns its action for twice as many steps.
"""

CELL = ["seed", "method", "scenario"]
PAIRED = ["scenario", "training_seed", "episode"]


def main() -> None:
    """Measures what is missing, then prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="NAME")
    parser.add_argument("--scenarios", nargs="+", default=SCENARIOS, choices=SCENARIOS, metavar="NAME")
    parser.add_argument("--dataset-namespace", metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--raw", type=Path, metavar="FILE", help="raw rows, without suffix: kept, and added to")
    parser.add_argument("--table-only", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept, episodes = read_raw(options.raw)
    known = set(kept[CELL].itertuples(index=False, name=None))
    for seed, scenario, method in product(range(options.seeds), options.scenarios, options.methods):
        if not options.table_only and (seed, method, scenario) not in known and not is_repeated(method, scenario):
            measure(seed, method, scenario, options)
    measured = sorted(options.out.glob("*/*/*/measured.json"))
    if kept.empty and not measured:
        parser.error(f"nothing is measured in {options.out}: run it without --table-only")
    rows = pd.concat([kept, pd.DataFrame([json.loads(file.read_text()) for file in measured])])
    rows = rows.drop_duplicates(CELL, keep="last").sort_values(CELL, ignore_index=True)
    played = [pd.read_parquet(file.with_name("played.parquet")) for file in measured]
    episodes = pd.concat([episodes, *played]).drop_duplicates([*PAIRED, "method", "target"], keep="last")
    if options.raw:
        rows.to_csv(options.raw.with_suffix(".csv"), index=False, float_format="%.6g")
        write_parquet(episodes.sort_values([*PAIRED, "method"], ignore_index=True), options.raw.with_suffix(".parquet"))
    tables = [frame for frame in (table(rows, episodes), differences(episodes)) if len(frame)]
    print("\n\n".join(["\n".join(environment_lines()), *map(markdown, tables)]))


def read_raw(file: Path | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trainings and episodes that an earlier run has kept."""
    if file and file.with_suffix(".csv").is_file():
        return pd.read_csv(file.with_suffix(".csv")), pd.read_parquet(file.with_suffix(".parquet"))
    return pd.DataFrame(columns=CELL), pd.DataFrame(columns=[*PAIRED, "method", "target"])


def is_repeated(method: str, scenario: str) -> bool:
    """Whether a method before it is the same there, as the preset of version 0.1 is where it has not changed."""
    names = list(METHODS)
    return any(configured(other, scenario) == configured(method, scenario) for other in names[: names.index(method)])


def configured(method: str, scenario: str) -> AlgorithmConfig:
    """What is trained."""
    algorithm, preset, changes = METHODS[method]
    return load_config(preset, changes, scenarios.get(scenario).domain, algorithm, scenario)


def measure(seed: int, method: str, scenario: str, options: argparse.Namespace) -> None:
    """Trains one policy and plays it, and writes what came of it to `measured.json` and `played.parquet`, once."""
    algorithm, preset, changes = METHODS[method]
    folder = options.out / slug(method) / scenario / f"seed-{seed}"
    if (folder / "measured.json").is_file():
        return
    built_in = bool(scenarios.get(scenario).builtin_dataset_id)
    namespace = None if built_in else options.dataset_namespace
    began, is_resumed = time.process_time(), (folder / "config.json").is_file()
    mage.train(
        scenario,
        dataset_namespace=namespace,
        algorithm=algorithm,
        preset=preset,
        overrides=list(changes),
        seed=seed,
        out=folder,
        resume=is_resumed,
        log=quiet,
    )
    seconds = time.process_time() - began
    asked = {"feasible" if FEASIBLE in changes else "own": mage.evaluate(folder, options.episodes, log=quiet)}
    if FEASIBLE in changes:
        asked["constant"] = mage.evaluate(throughout(mage.load_policy(folder), namespace), options.episodes)
    played = pd.concat([frame.assign(method=method, target=name) for name, frame in asked.items()])
    write_parquet(played, folder / "played.parquet")
    row = {"method": method, "scenario": scenario, "seed": seed, "resumed": is_resumed}
    row |= {"training_cpu_seconds": round(seconds, 1)} | probed(mage.inspect(folder, episodes=0))
    (folder / "measured.json").write_text(json.dumps(row, indent=1) + "\n")
    scores = ", ".join(f"{name} {frame['normalized_score'].mean():.1f}" for name, frame in asked.items())
    print(f"{scenario}, {method}, seed {seed}: {scores}", file=sys.stderr, flush=True)


def throughout(policy: Policy, namespace: str | None) -> Policy:
    """The same weights, asked for the scenario's quantile of the returns at every step, whatever is feasible."""
    changed = acting_with(policy, "evaluation.target_return_rule=null")
    changed.ceiling = None
    trajectories = trajectories_of(str(policy.task.scenario), namespace)
    changed.target_return = target_return(trajectories, of_episodes=changed.decrements_target)
    return changed


def probed(inspection: dict[str, Any]) -> dict[str, float | None]:
    """How the score rises with the target (rank correlation), where that is feasible, and MAGE's three probes."""
    plans = (inspection["data"] or {}).get("plans") or {}
    ceiling = inspection["ceiling"] or {}
    found = {"rises": (inspection["rollouts"] or {}).get("spearman"), "feasible": ceiling.get("feasible")}
    found |= {name: plans.get(name) for name in ("moved", "follows", "nats_saved")}
    return {name: None if value is None else float(value) for name, value in found.items()}


def table(rows: pd.DataFrame, episodes: pd.DataFrame) -> pd.DataFrame:
    """One row a set, method and target: score and its error, success, probes, and what a training took."""
    lines = []
    for (scenario, method, target), own in episodes.groupby(["scenario", "method", "target"], sort=False):
        trained = rows[(rows["scenario"] == scenario) & (rows["method"] == method)]
        score, error = mean_and_error(own, "normalized_score")
        line = {"scenario": scenario, "method": method, "target": target, "seeds": own["training_seed"].nunique()}
        line |= {"score": score, "+-": error, "success %": 100 * own["success"].astype(float).mean()}
        for name in ("moved", "follows", "nats_saved", "rises"):
            line[name] = number(trained[name].astype(float).mean()) if target != "constant" else "-"
        lines.append(line | {"training CPU s": trained["training_cpu_seconds"].mean()})
    frame = pd.DataFrame(lines)
    frame["scenario"] = pd.Categorical(frame["scenario"], SCENARIOS)
    return frame.sort_values(["scenario", "score"], ascending=[True, False], ignore_index=True)


def differences(episodes: pd.DataFrame) -> pd.DataFrame:
    """MAGE's score less that of each reference asked in the same way, if at all, of the same seeds and episodes."""
    now = episodes[~episodes["method"].str.contains("0.1", regex=False)]
    lines = []
    for scenario in SCENARIOS:
        asked = now[now["scenario"] == scenario]
        scores = asked.pivot_table(index=PAIRED, columns=["method", "target"], values="normalized_score")
        best_first = scores.mean().sort_values(ascending=False).index
        for own, other in product(best_first, best_first):
            is_fair = own[1] == other[1] or "own" in (own[1], other[1])
            gained = (scores[own] - scores[other]).dropna().rename("gained").reset_index()
            if own[0].startswith("mage") and not other[0].startswith("mage") and is_fair and len(gained):
                gain, error = mean_and_error(gained, "gained")
                names = {"scenario": scenario, "method": ", ".join(own), "less": ", ".join(other)}
                lines.append(names | {"gain": gain, "+-": error})
    return pd.DataFrame(lines)


def mean_and_error(frame: pd.DataFrame, column: str) -> tuple[float, float]:
    """The mean and its standard error: over training seeds, or with one of them over its episodes."""
    seeds = frame.groupby("training_seed")[column].mean()
    values = seeds if len(seeds) > 1 else frame[column]
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)


def slug(method: str) -> str:
    """A folder's name."""
    return "".join(letter if letter.isalnum() else "-" for letter in method)


def number(value: float) -> str:
    """With two decimals."""
    return "-" if value != value else f"{value:.2f}"


def quiet(line: str) -> None:
    """Says nothing."""


if __name__ == "__main__":
    main()
