"""Every algorithm of version 0.1 trains as it did there: the same curves, weights and actions from the same seed.

To the bit where `training.json` was written, or on a machine like it; elsewhere a matrix product may differ in its last
bit, so there the first losses are compared.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mage import scenarios
from mage.config import make_config
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories
from mage.interface import Policy
from mage.training.trainer import Trainer
from tests.golden.machine import machine

HERE = Path(__file__).parent
GOLDEN: dict[str, Any] = json.loads((HERE / "training.json").read_text())
CONFIGS: dict[str, Any] = json.loads((HERE / "tiny_configs.json").read_text())
ENVIRONMENTS, STEPS = 3, 6


@pytest.fixture(scope="module")
def trajectories() -> Trajectories:
    """The six episodes that the golden runs were trained on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(HERE.parent / "data" / "old_runs" / "datasets"))
        return load_trajectories(scenarios.get("maze2d-umaze"), download=False)


@pytest.mark.parametrize("run", CONFIGS)
def test_the_same_seed_gives_the_weights_and_actions_of_version_0_1(trajectories: Trajectories, run: str) -> None:
    known = GOLDEN["runs"][run]
    trainer = Trainer(trajectories, make_config(CONFIGS[run]), seed=GOLDEN["seed"])
    trainer.advance(10**9)
    policy = trainer.policy()
    assert policy.target_return == pytest.approx(known["target_return"])
    assert [(row["stage"], row["step"]) for row in trainer.history] == [
        (row["stage"], row["step"]) for row in known["history"]
    ]
    if machine() != GOLDEN["machine"]:
        assert trainer.history[0]["loss"] == pytest.approx(known["history"][0]["loss"], rel=1e-3)
        return
    assert trainer.history == known["history"]
    assert digests(trainer) == known["digests"]
    observed = np.stack(
        [trajectories.observations[s : s + STEPS] for s in trajectories.episode_starts[:ENVIRONMENTS]], 1
    )
    generators = [torch.Generator().manual_seed(i) for i in range(ENVIRONMENTS)]
    policy.reset()
    actions = [policy.act(observations_BS, None, generators) for observations_BS in observed]
    np.testing.assert_array_equal(actions, np.asarray(known["actions"], np.float32))


def digests(trained: Trainer | Policy) -> dict[str, str]:
    """A digest of every weight, by name."""
    weights = {
        f"{part}.{name}": tensor
        for part, network in trained.networks.items()
        for name, tensor in network.state_dict().items()
    }
    return {
        name: hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()[:16] for name, tensor in weights.items()
    }
