"""The policy: (s_t, target return-to-go) -> K token maps -> a = I(z_1 + .. + z_K) (section 3.2, "Determining Action").

Saved as `policy.safetensors` (weights) and `policy.json` (configuration, statistics, task); never pickle.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from mage.config import FORMAT_VERSION, Config, make_config
from mage.data.trajectories import Statistics, Task
from mage.errors import MageError
from mage.files import replacing, write_text
from mage.model.autoencoder import TrajectoryAutoencoder
from mage.model.transformer import MultiScaleTransformer, TokenChoice

ALGORITHM = "mage"


class Policy:
    """A trained MAGE policy for a batch of environments.

    Attributes:
        target_return: the return-to-go it is asked for unless told otherwise, in the environment's own (discounted)
        units.
    """

    algorithm = ALGORITHM

    def __init__(
        self,
        config: Config,
        task: Task,
        statistics: Statistics,
        autoencoder: TrajectoryAutoencoder,
        transformer: MultiScaleTransformer,
        target_return: float,
        training_seed: int,
    ) -> None:
        self.config, self.task, self.statistics = config, task, statistics
        self.autoencoder, self.transformer = autoencoder.eval(), transformer.eval()
        self.target_return, self.training_seed = target_return, training_seed

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.transformer.head.weight.device

    @property
    def observation_size(self) -> int:
        """S, the length of a flat observation."""
        return len(self.statistics.observation_mean)

    @torch.no_grad()
    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray | float | None = None,
        generators: Sequence[torch.Generator] | None = None,
    ) -> np.ndarray:
        """Actions (B, A) for flat observations (B, S), one per environment.

        Args:
            observations: (B, S), as `mage.data.observations` flattens them.
            return_to_go: target R_0 per environment or for all; by default `self.target_return`.
            generators: one per environment; needed when the configuration samples tokens.
        """
        if return_to_go is None:
            return_to_go = self.target_return
        returns_B = np.broadcast_to(np.asarray(return_to_go, np.float32), len(observations))
        observations = np.asarray(observations, np.float32)
        condition_BX = torch.from_numpy(self.statistics.normalise(returns_B, observations)).to(self.device)
        choose = self._token_choice(generators)
        _, latent_BLC = self.transformer.generate(condition_BX, self.autoencoder.quantizer, choose)
        actions_BA = self.autoencoder.inverse_dynamics(latent_BLC, condition_BX[:, 1:]).cpu().numpy()
        return np.clip(actions_BA, self.task.action_low, self.task.action_high).astype(np.float32)

    def _token_choice(self, generators: Sequence[torch.Generator] | None) -> TokenChoice:
        policy = self.config.policy
        if policy.sampling == "greedy":
            return TokenChoice()
        if generators is None:
            raise MageError("this policy samples tokens (policy.sampling=sample): pass one generator per environment")
        return TokenChoice(policy.temperature, policy.top_k, generators)

    def to(self, device: torch.device | str) -> Policy:
        """Moves the weights; returns self."""
        self.autoencoder.to(device)
        self.transformer.to(device)
        return self

    def save(self, folder: Path) -> None:
        """Writes `policy.safetensors` and `policy.json` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {f"autoencoder.{name}": tensor for name, tensor in self.autoencoder.state_dict().items()}
        weights |= {f"transformer.{name}": tensor for name, tensor in self.transformer.state_dict().items()}
        with replacing(folder / "policy.safetensors") as path:
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
        described = {
            "format_version": FORMAT_VERSION,
            "algorithm": self.algorithm,
            "training_seed": self.training_seed,
            "target_return": self.target_return,
            "schedule": list(self.config.autoencoder.schedule),
            "task": self.task.model_dump(mode="json"),
            "statistics": self.statistics.to_dict(),
            "config": self.config.model_dump(mode="json"),
        }
        write_text(folder / "policy.json", json.dumps(described, indent=1))

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> Policy:
        """Reads what `save` wrote.

        Raises:
            MageError: no policy there, of another version, or damaged.
        """
        described = read_description(folder)
        config = make_config(described["config"])
        try:
            task, statistics = Task.model_validate(described["task"]), Statistics.from_dict(described["statistics"])
        except (ValueError, TypeError):
            raise MageError(f"{folder / 'policy.json'} is damaged: train again or restore it from a copy") from None
        dims = len(statistics.observation_mean), len(task.action_low)
        autoencoder = TrajectoryAutoencoder(config.autoencoder, config.inverse_dynamics, *dims)
        transformer = MultiScaleTransformer(config.transformer, config.autoencoder, dims[0])
        try:
            weights = load_file(folder / "policy.safetensors")
            autoencoder.load_state_dict(_part(weights, "autoencoder."))
            transformer.load_state_dict(_part(weights, "transformer."))
        except Exception as error:
            message = str(error).splitlines()[0]
            raise MageError(f"the weights in {folder / 'policy.safetensors'} cannot be read: {message}") from None
        seed, target = described["training_seed"], described["target_return"]
        return cls(config, task, statistics, autoencoder, transformer, target, seed).to(device)


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
    missing = {"config", "task", "statistics", "training_seed", "target_return"} - set(described)
    if missing:
        raise MageError(
            f"{path} is damaged: it lacks {', '.join(sorted(missing))}; train again or restore it from a copy"
        )
    return described


def _part(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
