"""The benchmark registry: which dataset, environment and protocol a scenario of the paper stands for.

The entries live in scenarios.yaml; a scenario's name is the one used in the paper's result tables.
"""

from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mage.errors import MageError

UnitInterval = Annotated[float, Field(ge=0.0, le=1.0)]


class Scenario(BaseModel):
    """One benchmark: the data to train on and the protocol to evaluate with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    domain: str
    environment: str = Field(description="Gymnasium id, for display; evaluation uses the dataset's own environment")
    dataset_id: str = Field(description="published Minari dataset")
    builtin_dataset_id: str | None = Field(default=None, description="dataset that `mage data collect` records")
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


def local_dataset_id(scenario: Scenario, namespace: str) -> str:
    """Where a locally built copy of the scenario's data lives: local_dataset_id(door-expert, "local") is
    local/door/expert-v0."""
    task, _, variant = scenario.name.partition("-")
    return f"{namespace.strip('/')}/{task}/{variant}-v0"
