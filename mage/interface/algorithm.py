"""The interface of an algorithm: one file (or folder) of `mage.algorithms`, or a class of a plug-in.

    class BehaviourCloning(Algorithm[BehaviourCloningConfig]):
        config_class = BehaviourCloningConfig
        presets = {"cpu": {"*": {"training": {"reference": {"steps": 6000}}}}}

        def __init__(self, config, sizes, statistics):
            super().__init__(config, sizes, statistics)
            self.actor = MLP(sizes.observation, 256, 2, sizes.action)

        def stages(self, data): ...
        def act(self, state, seen): return self.actor(self.see(seen.observation_BS)), state

Shape suffixes: B environments (or a batch), S observation size, A action size, Y = 1 + S values of a condition (R, s).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, NamedTuple, SupportsIndex, TypeVar

import torch
from torch import Tensor, nn

from mage import registry
from mage.config.base import AlgorithmConfig
from mage.data.steps import Steps
from mage.data.trajectories import Statistics
from mage.errors import MageError
from mage.interface.explanation import Explanation
from mage.interface.stage import Info, Stage

__all__ = ["Algorithm", "Info", "Presets", "Report", "Seen", "Sizes", "Space", "State"]

Presets = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Preset (cpu, paper, ..) -> `*` for all, a family of scenarios, or a scenario -> fields that differ from the model's
defaults. What is said of a scenario goes over what is said of its family, and that over `*`."""

Space = Mapping[str, Sequence[Any] | Mapping[str, float]]
"""Dotted config field -> a list of values, or {"low": a, "high": b} (floats; add "log": true for a log scale)."""

Report = dict[str, Any]
State = Any
"""What an algorithm remembers of the episodes under way: nothing, a context, a plan."""

C = TypeVar("C", bound=AlgorithmConfig)


class Sizes(NamedTuple):
    """How long a flat observation and an action are."""

    observation: int
    action: int


@dataclass(frozen=True)
class Seen:
    """What B environments show at a step.

    Attributes:
        observation_BS: as the environment gives it, flattened.
        asked_B: the target return R_t now, in the environment's units; or what else the policy asks for.
        reward_B: for the action before; 0 at the first step.
        action_BA: the action before, within the bounds; 0 at the first step.
        step: since the episodes began.
        generators: one an environment; None where the caller has none.
    """

    observation_BS: Tensor
    asked_B: Tensor
    reward_B: Tensor
    action_BA: Tensor
    step: int
    generators: Sequence[torch.Generator] | None = None

    @classmethod
    def at_start(cls, observation_BS: Tensor, asked_B: Tensor, actions: int) -> Seen:
        """The first step of episodes with actions of that size, and with random numbers that are always the same."""
        action_BA = observation_BS.new_zeros(len(observation_BS), actions)
        generators = [torch.Generator().manual_seed(number) for number in range(len(observation_BS))]
        return cls(observation_BS, asked_B, torch.zeros_like(asked_B), action_BA, 0, generators)

    def own_generators(self) -> Sequence[torch.Generator]:
        """A generator an environment, so that an episode does not depend on its neighbours; MageError without."""
        if self.generators is None:
            raise MageError("this policy acts at random: pass one generator per environment")
        return self.generators


class Algorithm(nn.Module, ABC, Generic[C]):
    """The networks of one training seed, how they learn, act and are explained. Its state_dict is all there is to save.

    Attributes:
        config: of the run.
        sizes: of observations and actions.
        statistics: mean and deviation of the training data.
    """

    config_class: ClassVar[type[AlgorithmConfig]]
    presets: ClassVar[Presets]
    space: ClassVar[Space] = {}
    """What `mage sweep` varies where nothing is said."""

    mean_Y: Tensor
    deviation_Y: Tensor

    @classmethod
    def check_class(cls, name: str) -> None:
        """MageError where a class lacks what is read of an algorithm; `name` is how it was asked for."""
        config = getattr(cls, "config_class", None)
        if not (isinstance(config, type) and issubclass(config, AlgorithmConfig)):
            raise MageError(f"the algorithm {name} lacks config_class, a subclass of mage.config.AlgorithmConfig")
        if not config.model_fields["training"].annotation.stage_names():  # type: ignore[union-attr]
            raise MageError(f"the training of {config.__name__} has no stage: give it a field that is a StageConfig")
        if not getattr(cls, "presets", None):
            raise MageError(f"the algorithm {name} lacks presets: give at least {{'cpu': {{'*': {{}}}}}}")
        missing = sorted(cls.__abstractmethods__)
        if missing:
            raise MageError(f"the algorithm {name} lacks {', '.join(missing)}")

    def __init__(self, config: C, sizes: Sizes, statistics: Statistics) -> None:
        """Makes the untrained networks, from torch's global generator, which the trainer has seeded."""
        super().__init__()
        self.config, self.sizes, self.statistics = config, sizes, statistics
        for name, returns, observations in (
            ("mean_Y", statistics.return_to_go_mean, statistics.observation_mean),
            ("deviation_Y", statistics.return_to_go_std, statistics.observation_std),
        ):
            both = torch.cat([torch.from_numpy(returns), torch.from_numpy(observations)])
            self.register_buffer(name, both, persistent=False)

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        return registry.told_where(super().__reduce_ex__(protocol), self.config.algorithm)

    @property
    def asks(self) -> Literal["return", "advantage"] | None:
        """What can be asked of it and changes what it does; None: nothing."""
        return "return"

    def target_advantage(self, quantile: float | None = None) -> float:
        """Of one that asks for no return but an advantage, once it is trained: that quantile of the data's."""
        raise NotImplementedError

    @property
    def context(self) -> int:
        """Steps of an episode after which acting takes no longer than before."""
        return 1

    @abstractmethod
    def stages(self, data: Steps) -> Sequence[Stage]:
        """What is trained, in the order of `config.stages`. Cheap: what costs is made by a stage's first step."""

    def begin(self, environments: int) -> State:
        """What is remembered of so many episodes at their start; kept by the caller."""
        return None

    @abstractmethod
    def act(self, state: State, seen: Seen) -> tuple[Tensor, State]:
        """Actions (B, A), which the caller clips, and what is remembered for the next step."""

    def plans(self, observation_BS: Tensor, asked_B: Tensor) -> Mapping[str, Tensor]:
        """The states (B, H, S) that it means to reach, in the environment's units, from a coarse view to the whole.

        By the name of each view; nothing of an algorithm that acts without a plan of states.
        """
        return {}

    def probe(self, data: Steps) -> Report | None:
        """Numbers of its own for an inspection, from the training data alone."""
        return None

    def probe_visited(self, observation_BS: Tensor, asked_B: Tensor) -> Report | None:
        """Numbers of its own about states that it has visited, and what was asked for there."""
        return None

    @classmethod
    def explain(cls, inspection: Mapping[str, Any]) -> Explanation:
        """What `probe` and `probe_visited` have found, in words and as tables; `inspection` is read from its file."""
        return Explanation()

    def see(self, observation_BS: Tensor) -> Tensor:
        """Observations in units of the training data's mean and deviation."""
        return (observation_BS - self.mean_Y[1:]) / self.deviation_Y[1:]

    def condition(self, observation_BS: Tensor, asked_B: Tensor) -> Tensor:
        """(R_t, s_t), normalised, (B, 1 + S)."""
        return (torch.cat([asked_B.unsqueeze(1), observation_BS], 1) - self.mean_Y) / self.deviation_Y

    def conditions_of(self, data: Steps) -> Callable[[Tensor], Tensor]:
        """Rows of the data -> what `condition` gives where it is asked for what they brought, (B, 1 + S)."""
        return data.conditions

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Its parts by name."""
        return dict(self.named_children())

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.mean_Y.device
