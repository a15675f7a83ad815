"""What is true of every algorithm's runs: they go on where they stopped, and a saved policy plays the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mage import registry
from mage.config import AlgorithmConfig, make_config
from mage.data.steps import Steps
from mage.data.trajectories import Statistics, Trajectories
from mage.interface import Sizes
from mage.interface.policy import load_policy
from mage.training.trainer import Trainer


def untrained(config: AlgorithmConfig, trajectories: Trajectories) -> tuple[Any, Steps]:
    """An algorithm at its start, and the data that it is made for."""
    statistics = Statistics.from_trajectories(trajectories)
    torch.manual_seed(0)
    sizes = Sizes(trajectories.observation_size, trajectories.action_size)
    return registry.get(config.algorithm)(config, sizes, statistics), Steps(trajectories, statistics)


def trained(trajectories: Trajectories, data: Mapping[str, Any]) -> Any:
    """An algorithm at the end of its training."""
    trainer = Trainer(trajectories, make_config(data), seed=0)
    trainer.advance(trainer.total_steps)
    return trainer.agent.eval()


def check_resumed_run_is_the_undisturbed_one(config: AlgorithmConfig, trajectories: Trajectories, folder: Path) -> None:
    """Stopped in its midst and continued by another process, it has the same weights to the bit, and the same curve."""
    whole, stopped, resumed = (Trainer(trajectories, config, seed=3) for _ in range(3))
    whole.advance(whole.total_steps)
    stopped.advance(stopped.total_steps // 2)
    stopped.save(folder)
    resumed.load(folder)
    resumed.advance(resumed.total_steps)
    theirs = resumed.agent.state_dict()
    for name, value in whole.agent.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    assert resumed.history == whole.history


def check_saved_policy_plays_the_same(config: AlgorithmConfig, trajectories: Trajectories, folder: Path) -> None:
    """Saved and loaded, it acts the same to the bit, within the bounds, and without remembering."""
    trainer = Trainer(trajectories, config, seed=0)
    trainer.advance(trainer.total_steps)
    policy = trainer.policy()
    policy.save(folder)
    loaded, observations = load_policy(folder), trajectories.observations[:6]
    acted = policy.act(observations)
    np.testing.assert_array_equal(acted, loaded.act(observations))
    np.testing.assert_array_equal(acted, policy.act(observations))
    far = policy.act(1e6 * observations)
    assert (np.abs(far) <= 1).all()
