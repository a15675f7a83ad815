"""Does the action follow its plan? Heads I of several recipes, fitted on the same frozen stages of one trained run.

    mage train maze-game --seed 0 --out runs/maze
    python -m benchmarks.following runs/maze --steps 3000 --episodes 50

A row a head: the probes of `mage inspect`, action errors as shares of the actions' variance, score and success. The
run's own head is the first row; the others are fitted from scratch by stage 2b, on what their recipe says.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

import mage
from mage import scenarios
from mage.algorithms.mage.algorithm import Mage
from mage.algorithms.mage.inspection import inspect_data
from mage.config import make_config
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories
from mage.evaluation.episodes import evaluate_policies
from mage.interface import Policy
from mage.training.engine import Engine
from mage.training.trainer import Trainer

HEADS = {
    "I(z_1, s_0), z_1 of the window": ("latent_and_observation", "1", 1),
    "I(Z, R_0, s_0), generated Z": ("latent_and_condition", "null", 0),
    "I(Z, s_0), z_1 of the window, finer ones generated": ("latent_and_observation", "null", 1),
    "I(z_1 + z_2, s_0), both of the window": ("latent_and_observation", "2", 2),
    "I(Z, s_0), generated Z": ("latent_and_observation", "null", 0),
}
"""In words -> inverse_dynamics.inputs, inverse_dynamics.scales, training.inverse_dynamics.given_scales."""


def fit(
    run: Policy, trajectories: Trajectories, head: tuple[str, str, int], steps: int, fit_seed: int
) -> tuple[Policy, Trainer]:
    """The policy of a run with another head, fitted from scratch on its frozen stages."""
    inputs, scales, given = head
    overrides = [f"inverse_dynamics.inputs={inputs}", f"inverse_dynamics.scales={scales}"]
    overrides += [f"training.inverse_dynamics.given_scales={given}", f"training.inverse_dynamics.steps={steps}"]
    trainer = Trainer(trajectories, make_config(run.config.model_dump(), overrides), seed=fit_seed)
    own = trainer.agent.state_dict()
    kept = {name: value for name, value in run.agent.state_dict().items() if "inverse_dynamics" not in name}
    trainer.agent.load_state_dict(own | kept)
    stage = next(stage for stage in trainer.stages if stage.name == "inverse_dynamics")
    trainable = [parameter for parameter in trainer.agent.parameters() if parameter.requires_grad]
    engine = Engine(stage, trainer.agent, trainable, len(trainer.data), trainer.config.training, fit_seed)
    engine.train_until(steps)
    return trainer.policy(), trainer


def measure(policy: Policy, trainer: Trainer, episodes: int) -> dict[str, float | None]:
    """Probes, errors and scores of a policy."""
    assert isinstance(policy.agent, Mage)
    found = inspect_data(policy.agent.eval(), trainer.data)
    actions, plans = found["actions"], found["plans"]
    played = evaluate_policies([policy], episodes)
    return {
        **{name: plans[name] for name in ("moved", "follows", "nats_saved", "data_follows")},
        "error_true": actions["true"] / actions["variance"],
        "error_generated": actions["generated"] / actions["variance"],
        "score": float(played["normalized_score"].mean()),
        "success": 100 * float(played["success"].mean()),
    }


def main() -> None:
    """Prints a line of JSON a head and fit, as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--fits", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run = mage.load_policy(arguments.run)
    trajectories = load_trajectories(scenarios.get(run.task.scenario))
    own = Trainer(trajectories, run.config, seed=run.training_seed)
    print(json.dumps({"head": "own", **measure(run, own, arguments.episodes)}), flush=True)
    for fit_seed in range(arguments.fits):
        for words, head in HEADS.items():
            began = time.process_time()
            policy, trainer = fit(run, trajectories, head, arguments.steps, fit_seed)
            row = {"head": words, "fit": fit_seed, **measure(policy, trainer, arguments.episodes)}
            print(json.dumps(row | {"cpu_seconds": round(time.process_time() - began, 1)}), flush=True)


if __name__ == "__main__":
    main()
