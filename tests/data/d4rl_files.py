"""Files in D4RL's layout, of episodes that are really played."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import h5py
import numpy as np

from mage.data.environments import register_environments, warned_once


class Played(NamedTuple):
    """observations (T + 1, S), actions (T, A) float32, rewards (T,)."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray


def play(environment_id: str, lengths: Sequence[int]) -> list[Played]:
    """Random actions in the real environment, an episode a length."""
    register_environments()
    with warned_once():
        environment = gym.make(environment_id)
    environment.action_space.seed(0)
    episodes = []
    for seed, length in enumerate(lengths):
        observations, actions, rewards = [environment.reset(seed=seed)[0]], [], []
        for _ in range(length):
            actions.append(environment.action_space.sample())
            observation, reward, *_ = environment.step(actions[-1])
            observations.append(observation)
            rewards.append(float(reward))
        episodes.append(Played(np.array(observations), np.array(actions, np.float32), np.array(rewards)))
    environment.close()
    return episodes


def rows_of(episodes: Sequence[Played], terminal: Sequence[bool] = ()) -> dict[str, Any]:
    """The parts of a file; an episode whose `terminal` is not True ends with a timeout."""
    lengths = [len(episode.rewards) for episode in episodes]
    ends = np.cumsum(lengths) - 1
    terminals, timeouts = np.zeros(sum(lengths), bool), np.zeros(sum(lengths), bool)
    is_terminal = np.array([*terminal, *[False] * (len(ends) - len(terminal))])
    terminals[ends[is_terminal]] = timeouts[ends[~is_terminal]] = True
    return {
        "observations": np.concatenate([episode.observations[:-1] for episode in episodes]).astype(np.float32),
        "actions": np.concatenate([episode.actions for episode in episodes]),
        "rewards": np.concatenate([episode.rewards for episode in episodes]).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
        "infos/qpos": np.zeros((sum(lengths), 3)),
        "metadata/algorithm": np.bytes_(b"random actions"),
    }


def write(path: Path, rows: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in rows.items():
            file.create_dataset(name, data=values, compression="gzip" if np.ndim(values) else None)
    return path
