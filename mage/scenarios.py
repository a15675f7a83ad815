"""The benchmark registry: which dataset, environment and protocol a scenario of the paper stands for.

The entries live in scenarios.yaml; a scenario's name is the one used in the paper's result tables.
"""

from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mage.errors import MageError

MIXED = "+"
"""Joins the ids of datasets that are mixed: mujoco/ant/medium-v0+mujoco/ant/expert-v0."""

IMPORTED = "imported"
"""The Minari namespace of data that was imported from other formats."""

UnitInterval = Annotated[float, Field(ge=0.0, le=1.0)]


class Scenario(BaseModel):
    """One benchmark: the data to train on and the protocol to evaluate with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    domain: str
    dataset_ids: tuple[str, ...] = Field(description="published datasets, mixed in this order; of the Minari server")
    builtin_dataset_id: str | None = Field(default=None, description="dataset that `mage data collect` records")
    d4rl_name: str | None = Field(default=None, description="D4RL's name of the data, for `mage data import-d4rl`")
    d4rl_file: str | None = Field(default=None, description="D4RL's file of it, where it is not called by that name")
    d4rl_environment: str | None = Field(
        default=None, description="Gymnasium id of what observes as that file does; None where nothing does any more"
    )
    ogbench_file: str | None = Field(default=None, description="OGBench's file of the data, where it has another name")
    environment: str = Field(description="Gymnasium id of what the data is from")
    max_episode_steps: int = Field(gt=0, description="time limit of an evaluation episode")
    evaluation_environment_from: Literal["dataset", "registry"] = Field(
        default="dataset", description="who names the evaluation environment: the dataset, or this entry"
    )
    evaluation_arguments: dict[str, Any] = Field(
        default={}, description="of the environment, where this entry names it or an imported dataset cannot"
    )
    score: Literal["return", "success"] = Field(
        default="return", description="0-100: the return between the reference scores, or the success rate in percent"
    )
    discount: float = Field(gt=0.0, le=1.0)
    target_return_quantile: UnitInterval = Field(
        description="quantile of the training returns-to-go asked of the policy; 1 is their maximum"
    )
    evaluation_episodes: int = Field(default=100, gt=0)
    paper_episodes: int = Field(gt=0, description="evaluation episodes a training seed in the paper")
    reference_scores: tuple[float, float] | None = Field(
        default=None, description="returns that score 0 and 100, for datasets that store none of their own"
    )
    reference_source: str
    paper_tables: tuple[str, ...] = ()
    paper_name: str | None = Field(default=None, description="its name in the paper's tables, where that is another")

    @property
    def published_dataset_id(self) -> str | None:
        """The published data under one name: the ids of a mixture joined by `+`; None where nobody publishes it."""
        return MIXED.join(self.dataset_ids) or None

    @property
    def imported_dataset_id(self) -> str:
        """Where `mage data import-d4rl` puts the scenario's data: one file, also where Minari has two to mix."""
        copies = local_dataset_ids(self, IMPORTED)
        return copies[0] if len(copies) == 1 else own_dataset_id(self, IMPORTED)


@cache
def _registry() -> dict[str, Scenario]:
    text = Path(__file__).with_name("scenarios.yaml").read_text(encoding="utf-8")
    entries = [entry for group in yaml.safe_load(text) for entry in _expand(group)]
    try:
        return {entry["name"]: Scenario.model_validate(entry) for entry in entries}
    except ValidationError as error:
        raise MageError(
            f"scenarios.yaml is not valid: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}."
        ) from error


def _expand(group: dict) -> list[dict]:
    """One entry a member: what a group says holds for every member that does not say otherwise."""
    shared = {key: value for key, value in group.items() if key != "members"}
    return [shared | member for member in group["members"]]


def names() -> list[str]:
    """All scenario names, in the order of the paper's tables."""
    return list(_registry())


def get(name: str) -> Scenario:
    """The scenario of that name; an unknown one raises a MageError that names the nearest."""
    registry = _registry()
    if name in registry:
        return registry[name]
    near = get_close_matches(name, registry, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"known scenarios: {', '.join(registry)}."
    raise MageError(f"There is no scenario '{name}'; {hint}")


def local_dataset_ids(scenario: Scenario, namespace: str) -> tuple[str, ...]:
    """Where a locally built copy of the scenario's data lives: of door-expert and "local", local/door/expert-v0."""
    namespace = namespace.strip("/")
    sources = (scenario.builtin_dataset_id,) if scenario.builtin_dataset_id else scenario.dataset_ids
    if not sources:
        return (own_dataset_id(scenario, namespace),)
    return tuple(f"{namespace}/{source.split('/', 1)[1].rsplit('-v', 1)[0]}-v0" for source in sources)


def name_in_paper(name: str) -> str | None:
    """What the paper's tables call a scenario; None where they have no number of it, perhaps of another protocol."""
    scenario = _registry().get(name)
    return None if scenario is None or not scenario.paper_tables else scenario.paper_name or name


def own_dataset_id(scenario: Scenario, namespace: str) -> str:
    """Where a copy lives that holds all of the scenario's data under its own name, a mixture's too."""
    task, _, variant = scenario.name.partition("-")
    return f"{namespace.strip('/')}/{task}/{variant or 'all'}-v0"
