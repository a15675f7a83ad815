"""What a planner's guide gives: trained planners play as they are, and with their guide turned off, the same episodes.

    python -m benchmarks.guidance runs/rivals/diffuser/maze2d-umaze/seed-0/run runs/rivals/rgg/maze2d-umaze/seed-0/run
    python -m benchmarks.guidance runs/dd --acting deciding.replan_every=1 "deciding.replan_every=8 deciding.guidance=2"

The choice of the best of several plans is part of a guide. Without one, a planner does what the data does. With
--acting it is said what each of those changes of how the same networks act gives.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.acting import acting_with
from benchmarks.table import environment_lines, markdown
from mage.evaluation.episodes import evaluate_policies
from mage.interface.policy import load_policy

UNGUIDED = {
    "diffuser": ("planning.guide_scale=0", "planning.plans=1"),
    "rgg": ("planning.guide_scale=0", "planning.plans=1"),
    "decision_diffuser": ("deciding.guidance=0",),
    "hierarchical_diffuser": ("acting.guide_scale=0", "acting.plans=1"),
    "hdmi_style": ("acting.guidance=0",),
}


def main() -> None:
    """Plays and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--acting", nargs="+", metavar="FIELDS", help="changes, each of one or more fields of acting")
    options = parser.parse_args()
    if options.acting:
        rows = pd.DataFrame([acted(run, way, options.episodes) for run in options.runs for way in options.acting])
    else:
        rows = pd.DataFrame([compared(folder, options.episodes) for folder in options.runs])
    print("\n".join([*environment_lines(), "", markdown(rows)]))


def compared(folder: Path, episodes: int) -> dict[str, Any]:
    """Returns and successes of a policy with and without its guide; `gain` is of the same episodes, +- its error."""
    policy = load_policy(folder)
    plain = acting_with(policy, *UNGUIDED[policy.algorithm])
    guided, unguided = (evaluate_policies([each], episodes).set_index("episode") for each in (policy, plain))
    gain = (guided["return"] - unguided["return"]).to_numpy(float)
    return {
        "scenario": policy.task.scenario,
        "algorithm": policy.algorithm,
        "episodes": episodes,
        "score": float(guided["normalized_score"].mean()),
        "return": float(guided["return"].mean()),
        "unguided": float(unguided["return"].mean()),
        "gain": float(gain.mean()),
        "+-": float(gain.std(ddof=1) / len(gain) ** 0.5),
        "success %": 100 * float(guided["success"].astype(float).mean()),
        "unguided %": 100 * float(unguided["success"].astype(float).mean()),
    }


def acted(folder: Path, way: str, episodes: int) -> dict[str, Any]:
    """What a policy gets that acts with some fields changed."""
    policy = load_policy(folder)
    frame = evaluate_policies([acting_with(policy, *way.split())], episodes)
    return {
        "scenario": policy.task.scenario,
        "algorithm": policy.algorithm,
        "acting": way,
        "return": float(frame["return"].mean()),
        "+-": float(frame["return"].std(ddof=1) / len(frame) ** 0.5),
        "success %": 100 * float(frame["success"].astype(float).mean()),
    }


if __name__ == "__main__":
    main()
