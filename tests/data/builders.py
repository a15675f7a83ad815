"""Small datasets made by hand."""

from typing import Any

import gymnasium as gym
import minari
import numpy as np
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from mage.data.trajectories import Statistics, Task, Trajectories


def make_task(**changes: Any) -> Task:
    values: dict[str, Any] = {
        "scenario": "handmade",
        "dataset_id": "handmade/data-v0",
        "fingerprint": "0" * 16,
        "environment_spec": "",
        "reference_scores": (0.0, 10.0),
        "discount": 0.9,
        "target_return_quantile": 0.9,
        "observation_keys": (),
        "action_low": (-1.0,),
        "action_high": (1.0,),
    }
    return Task.model_validate(values | changes)


def make_trajectories(lengths: list[int], seed: int = 0, **changes: Any) -> Trajectories:
    """Random episodes of those lengths; observation dimension 0 is the row, 1 the episode, 2 noise."""
    rng = np.random.default_rng(seed)
    steps = sum(lengths)
    columns = [np.arange(steps), np.repeat(np.arange(len(lengths)), lengths), rng.normal(size=steps)]
    arrays = {
        "observations": np.stack(columns, axis=1).astype(np.float32),
        "actions": rng.uniform(-1, 1, size=(steps, 1)).astype(np.float32),
        "rewards": rng.normal(size=steps).astype(np.float32),
        "terminations": np.zeros(len(lengths), dtype=bool),
        "episode_starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    }
    return Trajectories(**(arrays | changes), task=make_task())


def write_minari(
    dataset_id: str,
    rewards: list[list[float]],
    observation_space: spaces.Space | None = None,
    action_space: spaces.Space | None = None,
    terminated: bool = True,
    env: gym.Env | str | None = None,
    **metadata: Any,
) -> str:
    """A Minari dataset in MINARI_DATASETS_PATH whose observations and actions are sampled from the spaces."""
    observation_space = observation_space or spaces.Box(-5, 5, (2,), np.float32, seed=0)
    action_space = action_space or spaces.Box(-1, 1, (1,), np.float32, seed=0)
    buffers = []
    for episode in rewards:
        ends = [False] * (len(episode) - 1)
        buffers.append(
            EpisodeBuffer(
                observations=stack([observation_space.sample() for _ in range(len(episode) + 1)]),
                actions=stack([action_space.sample() for _ in episode]),
                rewards=list(episode),
                terminations=[*ends, terminated],
                truncations=[*ends, not terminated],
            )
        )
    minari.create_dataset_from_buffers(
        dataset_id, buffers, env=env, observation_space=observation_space, action_space=action_space, **metadata
    )
    return dataset_id


def stack(samples: list[Any]) -> Any:
    """Samples of a space, nested dictionaries too, with a leading axis."""
    if isinstance(samples[0], dict):
        return {key: stack([sample[key] for sample in samples]) for key in samples[0]}
    return np.stack(samples)


def normalised(statistics: Statistics, returns: np.ndarray, observations: np.ndarray) -> np.ndarray:
    """Returns (B,) and observations (B, S) -> the rows (B, 1 + S) that a model reads, return-to-go first."""
    return_B1 = (returns.astype(np.float32)[:, None] - statistics.return_to_go_mean) / statistics.return_to_go_std
    observation_BS = (observations - statistics.observation_mean) / statistics.observation_std
    return np.concatenate([return_B1, observation_BS], axis=1)
