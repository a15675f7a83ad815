"""What every trained policy shares, whatever the algorithm: task, statistics, target return, saving and loading.

Saved as `policy.safetensors` (weights) and `policy.json` (configuration, statistics, task); never pickle.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mage.config import FORMAT_VERSION, Config, make_config
from mage.data.trajectories import Statistics, Task
from mage.errors import DamagedError, MageError
from mage.files import checksum, replacing, write_text

Networks = Mapping[str, nn.Module]


class Policy(ABC):
    """A trained policy for a batch of environments.

    Attributes:
        networks: all that was trained, by name.
        target_return: the return-to-go it is asked for unless told otherwise, in the environment's own units,
        discounted as its training data was.
    """

    def __init__(
        self,
        config: Config,
        task: Task,
        statistics: Statistics,
        networks: Networks,
        target_return: float,
        training_seed: int,
    ) -> None:
        self.config, self.task, self.statistics = config, task, statistics
        self.networks = {name: network.eval() for name, network in networks.items()}
        self.target_return, self.training_seed = target_return, training_seed

    @staticmethod
    @abstractmethod
    def build(config: Config, observation_size: int, action_size: int) -> dict[str, nn.Module]:
        """The untrained networks of a configuration."""

    @abstractmethod
    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray | float | None = None,
        generators: Sequence[torch.Generator] | None = None,
    ) -> np.ndarray:
        """Actions (B, A) for flat observations (B, S), one per environment.

        Args:
            observations: (B, S), as `mage.data.observations` flattens them.
            return_to_go: target R_t per environment or for all; by default `self.target_return`.
            generators: one per environment; needed where the policy draws at random.
        """

    def reset(self) -> None:  # noqa: B027 - a policy without memory has nothing to forget
        """Forgets the past: all environments begin a new episode."""

    @property
    def algorithm(self) -> str:
        """Its name in results: mage, bc, .."""
        return self.config.algorithm

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(next(iter(self.networks.values())).parameters()).device

    @property
    def observation_size(self) -> int:
        """S, the length of a flat observation."""
        return len(self.statistics.observation_mean)

    @property
    def decrements_target(self) -> bool:
        """Whether the target return follows what has been received, R <- (R - r) / discount, or stays."""
        return self.config.target_return_rule == "decremented"

    def condition(self, observations: np.ndarray, return_to_go: np.ndarray | float | None = None) -> Tensor:
        """(R_t, s_t), normalised, (B, 1 + S) on the policy's device."""
        target = self.target_return if return_to_go is None else return_to_go
        returns_B = np.broadcast_to(np.asarray(target, np.float32), len(observations))
        rows = self.statistics.normalise(returns_B, np.asarray(observations, np.float32))
        return torch.from_numpy(rows).to(self.device)

    def clip(self, actions_BA: Tensor) -> np.ndarray:
        """Actions within the bounds of the environment."""
        clipped = np.clip(actions_BA.cpu().numpy(), self.task.action_low, self.task.action_high)
        return clipped.astype(np.float32)

    def to(self, device: torch.device | str) -> Self:
        """Moves the weights; returns self."""
        for network in self.networks.values():
            network.to(device)
        return self

    def save(self, folder: Path) -> None:
        """Writes `policy.safetensors` and `policy.json` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            f"{part}.{name}": tensor.contiguous()
            for part, network in self.networks.items()
            for name, tensor in network.state_dict().items()
        }
        with replacing(folder / "policy.safetensors") as path:
            save_file(weights, path)
        described = {
            "format_version": FORMAT_VERSION,
            "algorithm": self.algorithm,
            "training_seed": self.training_seed,
            "target_return": self.target_return,
            "task": self.task.model_dump(mode="json"),
            "statistics": self.statistics.to_dict(),
            "config": self.config.model_dump(mode="json"),
            "weights_sha256": checksum(folder / "policy.safetensors"),
        }
        write_text(folder / "policy.json", json.dumps(described, indent=1))

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Reads what `save` wrote for a policy of this class.

        Raises:
            MageError: no policy there, of another version, or damaged.
        """
        described = read_description(folder)
        config = make_config(described["config"])
        try:
            task, statistics = Task.model_validate(described["task"]), Statistics.from_dict(described["statistics"])
        except (ValueError, TypeError):
            raise MageError(f"{folder / 'policy.json'} is damaged: train again or restore it from a copy") from None
        networks = cls.build(config, len(statistics.observation_mean), len(task.action_low))
        try:
            weights = load_file(folder / "policy.safetensors")
            if checksum(folder / "policy.safetensors") != described["weights_sha256"]:
                raise DamagedError("they are not those that policy.json was written with")
            for part, network in networks.items():
                network.load_state_dict(_part(weights, f"{part}."))
        except Exception as error:
            message = str(error).splitlines()[0]
            raise MageError(f"the weights in {folder / 'policy.safetensors'} cannot be read: {message}") from None
        seed, target = described["training_seed"], described["target_return"]
        return cls(config, task, statistics, networks, target, seed).to(device)


def read_description(folder: Path) -> dict[str, Any]:
    """`policy.json` of a folder, its version checked."""
    path = folder / "policy.json"
    if not path.is_file():
        raise MageError(f"no policy in {folder}: {path.name} is missing; give the folder that `mage train --out` made")
    try:
        described: dict[str, Any] = json.loads(path.read_text())
    except ValueError:
        raise MageError(f"{path} is damaged: it is not JSON; train again or restore it from a copy") from None
    version = described.get("format_version")
    if version != FORMAT_VERSION:
        raise MageError(
            f"{path} has format version {version}, this mage reads version {FORMAT_VERSION}; use the mage that wrote it"
        )
    missing = {"config", "task", "statistics", "training_seed", "target_return", "weights_sha256"} - set(described)
    if missing:
        raise MageError(
            f"{path} is damaged: it lacks {', '.join(sorted(missing))}; train again or restore it from a copy"
        )
    return described


def _part(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
