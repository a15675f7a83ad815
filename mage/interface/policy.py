"""A trained policy: an algorithm, the task that it was trained for, and what it is asked for.

Saved as `policy.safetensors` (weights) and `policy.json` (configuration, statistics, task); never pickle. A policy that
is shared has the same two files under the names that the Hugging Face Hub knows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from mage import registry
from mage.config import AlgorithmConfig, make_config
from mage.data.trajectories import Statistics, Task
from mage.errors import DamagedError, MageError
from mage.files import checksum, replacing, write_text
from mage.interface.algorithm import Algorithm, Seen, Sizes
from mage.nn.ceiling import Ceiling

POLICY_VERSION = 4
"""Of policy.json. 4: a configuration holds what its algorithm has, and no other's."""

READABLE = (3, 4)


class Files(NamedTuple):
    """What the two files of a policy are called."""

    described: str
    weights: str


OF_A_RUN = Files("policy.json", "policy.safetensors")
SHARED = Files("config.json", "model.safetensors")
"""As the Hugging Face Hub calls the files of every model."""


class Policy:
    """A trained policy for batches of environments.

    Attributes:
        agent: its networks, and how they act.
        target_return: the return-to-go it is asked for unless told otherwise, in the environment's own units,
        discounted as its training data was; or what else its agent asks for.
        ceiling: of what it is asked for at a state; None for none.
    """

    def __init__(
        self,
        agent: Algorithm[Any],
        task: Task,
        target_return: float,
        training_seed: int,
        ceiling: Ceiling | None = None,
    ) -> None:
        self.agent = agent.eval()
        self.task, self.target_return, self.training_seed = task, target_return, training_seed
        self.ceiling = ceiling
        self._acting: Acting | None = None
        self._generators: list[torch.Generator] = []

    @property
    def config(self) -> AlgorithmConfig:
        """Of the run that trained it."""
        config: AlgorithmConfig = self.agent.config
        return config

    @property
    def algorithm(self) -> str:
        """Its name in results: mage, bc, .."""
        return self.config.algorithm

    @property
    def statistics(self) -> Statistics:
        """Of the training data."""
        return self.agent.statistics

    @property
    def networks(self) -> dict[str, nn.Module]:
        """All that was trained, by name."""
        return self.agent.networks

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.agent.device

    @property
    def observation_size(self) -> int:
        """S, the length of a flat observation."""
        return self.agent.sizes.observation

    @property
    def decrements_target(self) -> bool:
        """Whether the target return follows what has been received, R <- (R - r) / discount, or stays."""
        return self.config.target_return_rule == "decremented"

    def asked(self, observation_BS: Tensor, target_B: Tensor) -> Tensor:
        """What it is asked for (B,) at observations as they come: the targets, or the ceiling where they are above."""
        if self.ceiling is None:
            return target_B
        highest_B = self.ceiling.highest(self.agent.condition(observation_BS, target_B))
        return torch.minimum(target_B, highest_B * self.agent.deviation_Y[0] + self.agent.mean_Y[0])

    @torch.no_grad()
    def plans(self, observations: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
        """What it plans at observations (B, S) where targets (B,) are asked for: states (B, H, S) by view.

        From a coarse view to the whole; nothing of a policy without a plan of states.
        """
        observation_BS, target_B = (
            torch.from_numpy(part.astype(np.float32)).to(self.device) for part in (observations, targets)
        )
        planned = self.agent.plans(observation_BS, self.asked(observation_BS, target_B))
        return {name: states_BHS.cpu().numpy() for name, states_BHS in planned.items()}

    def begin(self, environments: int) -> Acting:
        """Begins so many episodes; several batches of episodes may be under way at once."""
        return Acting(self, environments)

    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray | float | None = None,
        generators: Sequence[torch.Generator] | None = None,
        rewards: np.ndarray | None = None,
    ) -> np.ndarray:
        """Actions (B, A) for flat observations (B, S), one per environment, of the episodes since the last `reset`.

        Args:
            observations: (B, S), as `mage.data.observations` flattens them.
            return_to_go: target R_t per environment or for all; by default `self.target_return`.
            generators: one per environment, for policies that draw; by default the same ones after every `reset`.
            rewards: (B,), what the last actions brought; for policies that look at it.
        """
        shape, size = np.shape(observations), self.observation_size
        if len(shape) != 2 or shape[1] != size:
            raise MageError(
                f"a policy acts on observations of shape (B, {size}), a row an environment, and these have {shape}; "
                f"for one environment: policy.act(observation[None])[0], with an observation of {size} values"
            )
        acting = self._acting
        if acting is None or acting.policy is not self or acting.environments != len(observations):
            acting = self._acting = self.begin(len(observations))
            self._generators = [torch.Generator().manual_seed(number) for number in range(len(observations))]
        return acting.act(observations, return_to_go, rewards, generators or self._generators)

    def reset(self) -> None:
        """Forgets the past: all environments of `act` begin a new episode."""
        self._acting = None

    def clip(self, actions_BA: Tensor) -> np.ndarray:
        """Actions within the bounds of the environment."""
        clipped = np.clip(actions_BA.cpu().numpy(), self.task.action_low, self.task.action_high)
        return clipped.astype(np.float32)

    def to(self, device: torch.device | str) -> Self:
        """Moves the weights; all environments of `act` begin a new episode there. Returns self."""
        self.agent.to(device)
        if self.ceiling is not None:
            self.ceiling.network.to(device)
        self.reset()
        return self

    def save(self, folder: Path, files: Files = OF_A_RUN) -> None:
        """Writes `policy.safetensors` and `policy.json`, or files of other names, into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / files.weights) as path:
            weights = {name: tensor.contiguous() for name, tensor in self.agent.state_dict().items()}
            path.write_bytes(to_bytes(weights))  # safetensors' own files nobody but their owner may read
        described = {
            "format_version": POLICY_VERSION,
            "algorithm": self.algorithm,
            "training_seed": self.training_seed,
            "target_return": self.target_return,
            "task": self.task.model_dump(mode="json"),
            "statistics": self.statistics.to_dict(),
            "config": self.config.model_dump(mode="json"),
            "weights_sha256": checksum(folder / files.weights),
        }
        if self.ceiling is not None:
            described["ceiling"] = self.ceiling.to_text()
        write_text(folder / files.described, json.dumps(described, indent=1))


class Acting:
    """Episodes under way, as many as there are environments, and what the algorithm remembers of them."""

    def __init__(self, policy: Policy, environments: int) -> None:
        self.policy, self.environments = policy, environments
        self.step = 0
        self._state = policy.agent.begin(environments)
        self._action_BA = np.zeros((environments, policy.agent.sizes.action), np.float32)

    def act(
        self,
        observations: np.ndarray,
        return_to_go: np.ndarray | float | None = None,
        rewards: np.ndarray | None = None,
        generators: Sequence[torch.Generator] | None = None,
    ) -> np.ndarray:
        """Actions (B, A) for the observations (B, S) of the next step; the arguments are those of `Policy.act`."""
        policy, size = self.policy, len(observations)
        asked = policy.target_return if return_to_go is None else return_to_go
        observation_BS = self._here(observations)
        seen = Seen(
            observation_BS=observation_BS,
            asked_B=policy.asked(observation_BS, self._here(np.broadcast_to(np.asarray(asked, np.float32), size))),
            reward_B=self._here(np.zeros(size) if rewards is None else rewards),
            action_BA=self._here(self._action_BA),
            step=self.step,
            generators=generators,
        )
        action_BA, self._state = policy.agent.act(self._state, seen)
        self._action_BA = policy.clip(action_BA.detach())
        self.step += 1
        return self._action_BA.copy()  # an environment may change what it is given

    def _here(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(values, np.float32)).to(self.policy.device)


def load_policy(folder: Path, device: torch.device | str = "cpu") -> Policy:
    """Reads the policy of a run directory, or a shared one, of whichever algorithm.

    Raises:
        MageError: none there, of another version, of an algorithm that is not installed, or damaged.
    """
    files, described = files_in(folder), read_description(folder)
    config = read_config(folder, described)
    try:
        task, statistics = Task.model_validate(described["task"]), Statistics.from_dict(described["statistics"])
    except (ValueError, TypeError):
        raise MageError(f"{folder / files.described} is damaged: train again or restore it from a copy") from None
    sizes = Sizes(len(statistics.observation_mean), len(task.action_low))
    agent = registry.get(config.algorithm, from_disk=True)(config, sizes, statistics)
    try:
        weights = load_file(folder / files.weights)
        if checksum(folder / files.weights) != described["weights_sha256"]:
            raise DamagedError(f"they are not those that {files.described} was written with")
        agent.load_state_dict(weights)
    except Exception as error:
        message = str(error).splitlines()[0]
        raise MageError(f"the weights in {folder / files.weights} cannot be read: {message}") from None
    ceiling = Ceiling.from_text(described["ceiling"], agent.device) if "ceiling" in described else None
    return Policy(agent, task, described["target_return"], described["training_seed"], ceiling).to(device)


def read_config(folder: Path, described: dict[str, Any] | None = None) -> AlgorithmConfig:
    """The configuration in `policy.json` of a folder; MageError where its algorithm is not there to read it."""
    described = described or read_description(folder)
    try:
        return make_config(described["config"], from_disk=True)
    except MageError as error:
        raise MageError(f"the policy in {folder} cannot be read: {error}") from None


def files_in(folder: Path) -> Files:
    """What the files of the policy in a folder are called; those of a run, where there is none."""
    is_shared = (folder / SHARED.weights).is_file() and not (folder / OF_A_RUN.described).is_file()
    return SHARED if is_shared else OF_A_RUN


def read_description(folder: Path) -> dict[str, Any]:
    """`policy.json` of a folder, or what it is called in a shared one, its version checked."""
    path = folder / files_in(folder).described
    if not path.is_file():
        if (folder / "config.json").is_file():
            raise MageError(f"no policy in {folder} yet: its training has not ended; go on with it by --resume")
        if (folder / "sweep.json").is_file():
            raise MageError(f"{folder} is a sweep: give one of its policies, such as SCENARIO/policies/HASH/seed-0")
        raise MageError(f"no policy in {folder}: {path.name} is missing; give the folder that `mage train --out` made")
    return read_description_file(path)


def read_description_file(path: Path) -> dict[str, Any]:
    """What describes a policy, its version checked."""
    try:
        described: dict[str, Any] = dict(json.loads(path.read_text()))
    except (TypeError, ValueError):
        raise MageError(f"{path} is damaged: it is not JSON; train again or restore it from a copy") from None
    if path.name == SHARED.described and "weights_sha256" not in described:
        raise MageError(f"{path} describes no policy of mage but another library's model")
    version = described.get("format_version")
    if version not in READABLE:
        raise MageError(
            f"{path} has format version {version}, this mage reads versions {READABLE[0]} to {READABLE[-1]}; use the "
            "mage that wrote it"
        )
    missing = {"config", "task", "statistics", "training_seed", "target_return", "weights_sha256"} - set(described)
    if missing:
        raise MageError(
            f"{path} is damaged: it lacks {', '.join(sorted(missing))}; train again or restore it from a copy"
        )
    return described
