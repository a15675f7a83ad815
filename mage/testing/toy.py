"""Small trainings on toy data, for the contract: they take a second each."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from mage import registry
from mage.config import AlgorithmConfig, load_config, make_config
from mage.data.environments import build
from mage.data.maze2d import environment_spec
from mage.data.observations import flatten_observation
from mage.data.trajectories import Task, Trajectories
from mage.interface import Policy
from mage.training.trainer import Trainer

if TYPE_CHECKING:
    from mage.training.ray_train import WorkerJob

STEPS = 8
"""Of every stage, unless `small` says otherwise."""

OBSERVATION_KEYS = ("desired_goal", "observation")
EPISODES, EPISODE_STEPS = 6, 40


def small_config(algorithm: str, small: Sequence[str]) -> AlgorithmConfig:
    """A configuration for tests: its cpu preset with short stages, changed by `small`."""
    training: Any = registry.get(algorithm).config_class.model_fields["training"].annotation
    stages = load_config(algorithm=algorithm).stages
    short = [f"training.{name}.{field}={STEPS}" for name in stages for field in ("steps", "batch_size")]
    assert set(stages) <= set(training.stage_names())
    quick = ["training.log_every=2", "training.device=cpu", "evaluation.batch_size=2"]
    return load_config(overrides=[*short, *quick, *small], algorithm=algorithm)


@cache
def trained_once(algorithm: str, small: tuple[str, ...]) -> Trainer:
    """A small run, trained to the end."""
    return train(small_config(algorithm, small))


def train(config: AlgorithmConfig, seed: int = 0) -> Trainer:
    """A trainer on the toy data that has trained to the end."""
    trainer = Trainer(toy_data(), config, seed)
    trainer.advance(trainer.total_steps)
    return trainer


def weights(trainer: Trainer) -> dict[str, Tensor]:
    """All that a training has made."""
    return dict(trainer.agent.state_dict())


def differences(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names of weights that are not equal to the bit."""
    return [name for name in {**one, **other} if name not in one or not torch.equal(one[name], other[name])]


def play(policy: Policy, observations_TBS: np.ndarray | None = None, targets: np.ndarray | None = None) -> np.ndarray:
    """Actions (T, B, A) of three episodes whose observations are given."""
    generators = [torch.Generator().manual_seed(i) for i in range(3)]
    acting = policy.begin(3)
    shown = observed() if observations_TBS is None else observations_TBS
    return np.stack([acting.act(seen_BS, targets, np.zeros(3), generators) for seen_BS in shown])


def observed() -> np.ndarray:
    """The first six steps of three episodes of the toy data, (T, B, S)."""
    data = toy_data()
    return np.stack([data.observations[start : start + 6] for start in data.episode_starts[:3]], 1)


@cache
def toy_data() -> Trajectories:
    """Six episodes of 40 steps in the U-maze, really played: noisily towards the goal, rewarded for being near it."""
    spec = environment_spec("maze2d-umaze")
    spec.kwargs = {**spec.kwargs, "reward_type": "dense"}
    spec.max_episode_steps = EPISODE_STEPS
    rng, environment = np.random.default_rng(0), build(spec, disable_env_checker=True)
    rows: dict[str, list[Any]] = {"observations": [], "actions": [], "rewards": []}
    for episode in range(EPISODES):
        observation, _ = environment.reset(seed=episode)
        for _ in range(EPISODE_STEPS):
            towards = observation["desired_goal"] - observation["achieved_goal"]
            action = np.clip(0.5 * towards + 0.3 * rng.standard_normal(2), -1, 1).astype(np.float32)
            rows["observations"].append(flatten_observation(observation, OBSERVATION_KEYS))
            observation, reward, *_ = environment.step(action)
            rows["actions"].append(action)
            rows["rewards"].append(reward)
    environment.close()
    return Trajectories(
        observations=np.asarray(rows["observations"], np.float32),
        actions=np.asarray(rows["actions"], np.float32),
        rewards=np.asarray(rows["rewards"], np.float32),
        terminations=np.zeros(EPISODES, bool),
        episode_starts=np.arange(0, (EPISODES + 1) * EPISODE_STEPS, EPISODE_STEPS, dtype=np.int64),
        task=_toy_task(spec),
    )


def briefly(task: Task, steps: int = 10) -> Task:
    """The task with episodes of so many steps."""
    spec = gym.envs.registration.EnvSpec.from_json(task.environment_spec)
    spec.max_episode_steps = steps
    return task.model_copy(update={"environment_spec": spec.to_json()})


def _toy_task(spec: gym.envs.registration.EnvSpec) -> Task:
    return Task(
        scenario="maze2d-umaze",
        dataset_id="toy/maze2d/umaze-v0",
        fingerprint="0" * 16,
        environment_spec=spec.to_json(),
        reference_scores=(0.0, float(EPISODE_STEPS)),
        discount=0.99,
        target_return_quantile=1.0,
        observation_keys=OBSERVATION_KEYS,
        action_low=(-1.0, -1.0),
        action_high=(1.0, 1.0),
    )


def train_as_worker(rank: int, config: dict[str, Any], folder: str, port: int) -> None:
    """One of two workers that train together."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    trainer = train(make_config(config))
    torch.save(weights(trainer), Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def train_for(job: WorkerJob) -> dict[str, Tensor]:
    """The last weights of a job's only seed, trained as a worker of a training on Ray does."""
    from mage.training.ray_train import make_trainers

    (trainer,) = make_trainers(job)
    trainer.advance(trainer.total_steps)
    return weights(trainer)


def free_port() -> int:
    """Where two workers may meet."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port
