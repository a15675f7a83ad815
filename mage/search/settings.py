"""What defines a sweep, as validated data, and the run directory that it claims by its `sweep.json`."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mage import scenarios
from mage.config import AlgorithmConfig, algorithm_of, concerning, load_config
from mage.errors import MageError
from mage.run_directory import SWEEP, Differences, differences
from mage.search.space import read_space

SWEEP_VERSION = 3  # of sweep.json
FEWEST_TRIALS_TO_STOP = 6
GPU_UNITS = 10_000  # Ray counts a GPU in these
SMALLEST_SHARE = 0.01  # of a GPU


class PlacementSettings(BaseModel):
    """What each part of a trial takes of the cluster; None is found from the cluster (`mage.search.placement.fit`).

    It decides where and when something runs, not what comes out, so a sweep may be resumed with another placement.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus_per_worker: int | None = Field(None, ge=1)
    gpus_per_worker: float | None = Field(None, ge=0, le=1, description="a fraction shares a GPU; 0 trains on CPUs")
    trials_at_once: int | None = Field(None, ge=1, description="trials in flight, evaluated ones included")
    evaluation_actors: int | None = Field(None, ge=1, description="a trial; each takes one CPU")
    backend: Literal["nccl", "gloo"] | None = Field(
        None, description="between the workers of a trial; by default nccl on GPUs, gloo on CPUs"
    )

    @field_validator("gpus_per_worker")
    @classmethod
    def _as_ray_counts(cls, share: float | None) -> float | None:
        if share and share < SMALLEST_SHARE:
            raise ValueError(f"a worker takes 0 or at least {SMALLEST_SHARE:g} of a GPU")
        return None if share is None else int(share * GPU_UNITS + 1e-6) / GPU_UNITS


class SweepSettings(BaseModel):
    """Everything that defines a sweep; saved as `sweep.json` and compared when a sweep is resumed.

    What is tried is either a `space`, from which Optuna proposes, or `variants`, all of which are trained to their end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenarios: tuple[str, ...] = Field(min_length=1)
    space: dict[str, Any] | None = Field(None, description="dotted config field -> values it may take")
    variants: dict[str, tuple[str, ...]] | None = Field(
        None, min_length=1, description="name -> overrides of the preset, applied after `overrides`"
    )
    variants_of: dict[str, tuple[str, ...]] | None = Field(
        None, description="scenario -> the variants that are tried on it; by default all on each"
    )
    algorithm: str | None = Field(None, description="a name, or module:Class; by default what the overrides say")
    preset: str = "cpu"
    overrides: tuple[str, ...] = ()
    trials: int = Field(4, ge=1, description="configurations that Optuna tries per scenario")
    seeds: int = Field(1, ge=1, description="training seeds a configuration")
    first_seed: int = Field(0, ge=0, description="of these; others have chosen what a sweep of fresh seeds reports")
    episodes: int | None = Field(
        None, ge=1, description="evaluation episodes a training seed; by default the scenario's"
    )
    dataset_namespace: str | None = None
    search_seed: int = Field(0, ge=0, lt=2**32)
    intermediate_evaluations: int | None = Field(
        None,
        ge=0,
        description="during training; 0 switches early stopping off; by default 1, with few trials 0",
    )
    workers: int = Field(1, ge=1, description="Ray Train workers a trial")
    placement: PlacementSettings = PlacementSettings()

    @property
    def evaluations(self) -> int:
        """Intermediate evaluations a trial. Among few trials, early stopping would be decided by the first two."""
        default = 1 if self.variants is None and self.trials >= FEWEST_TRIALS_TO_STOP else 0
        return default if self.intermediate_evaluations is None else self.intermediate_evaluations

    @property
    def training_seeds(self) -> tuple[int, ...]:
        """Those of every configuration."""
        return tuple(range(self.first_seed, self.first_seed + self.seeds))

    def config(self, scenario: str) -> AlgorithmConfig:
        """The configuration that the search starts from."""
        return self._load(scenario, ())

    def variant_configs(self, scenario: str) -> dict[str, AlgorithmConfig]:
        """Variant -> its configuration on the scenario, for the variants that are tried on it.

        Raises:
            MageError: one that cannot be; names it.
        """
        variants = self.variants or {}
        tried = (self.variants_of or {}).get(scenario, tuple(variants))
        configs = {}
        for name in tried:
            try:
                configs[name] = self._load(scenario, variants[name])
            except MageError as error:
                raise MageError(f"variant '{name}' on {scenario}: {error}") from None
        return configs

    @model_validator(mode="after")
    def _read_space(self) -> Self:
        if self.space is not None:
            self.__dict__["space"] = read_space(self.space, algorithm_of(self.overrides, self.algorithm))
        return self

    def check_configs(self) -> None:
        """MageError where a configuration that all else starts from cannot be."""
        for scenario in self.scenarios:
            if self.variants is None:
                self.config(scenario)
            else:
                self.variant_configs(scenario)

    def _load(self, scenario: str, own: tuple[str, ...]) -> AlgorithmConfig:
        algorithm = algorithm_of(self.overrides + own, self.algorithm)
        variants = (self.variants or {}).values()
        others = {algorithm_of(self.overrides + each, self.algorithm) for each in variants} - {algorithm}
        overrides = concerning(self.overrides, algorithm, others) + own
        return load_config(self.preset, overrides, scenarios.get(scenario).domain, algorithm, scenario)

    @model_validator(mode="after")
    def _check(self) -> Self:
        twice = sorted({name for name in self.scenarios if self.scenarios.count(name) > 1})
        if twice:
            raise ValueError(f"a sweep names each of its scenarios once, and {', '.join(twice)} is there twice")
        if (self.space is None) == (self.variants is None):
            raise ValueError("a sweep has either a space or variants")
        if self.variants is not None and self.intermediate_evaluations:
            raise ValueError("variants are all trained to their end: intermediate_evaluations must be 0")
        for scenario, names in (self.variants_of or {}).items():
            if scenario not in self.scenarios or not names or not set(names) <= set(self.variants or ()):
                raise ValueError(f"variants_of {scenario} must name variants of this sweep, on one of its scenarios")
        share = self.placement.gpus_per_worker
        if self.workers > 1 and share and share <= 0.5 and self.placement.backend != "gloo":
            raise ValueError(
                f"{self.workers} workers of {share:g} GPU may share one, which nccl refuses: "
                "give each more than 0.5, or use the gloo backend"
            )
        return self


def make_settings(**values: object) -> SweepSettings:
    """Validated sweep settings; MageError with one line where a value is out of range."""
    try:
        return SweepSettings.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        told = f"{field}: {problem['msg']} (got {problem['input']!r})" if field else problem["msg"]
        raise MageError(f"invalid sweep settings: {told.removeprefix('Value error, ')}") from None


def check_directory(out: Path, settings: SweepSettings, resume: bool) -> None:
    """MageError where the run directory is taken or, to resume, holds no sweep or another one."""
    SWEEP.check(out, resume, lambda: _differing(SWEEP.read(out, dict), settings))


def claim_directory(out: Path, settings: SweepSettings, resume: bool) -> None:
    """Writes `sweep.json`; MageError as `check_directory`."""
    check_directory(out, settings, resume)
    SWEEP.write(out, _as_json(settings))


def read_settings(out: Path) -> SweepSettings:
    """The settings of the sweep in a run directory; MageError where it holds none."""

    def understand(there: dict[str, Any]) -> SweepSettings:
        if there.pop("format_version", None) != SWEEP_VERSION:
            raise MageError("of another version")
        return SweepSettings.model_validate(there)

    return SWEEP.read(out, understand)


def _differing(there: dict[str, Any], settings: SweepSettings) -> Differences:
    if there.get("space"):
        with suppress(MageError):  # values that were written otherwise may be the same ones
            there["space"] = read_space(there["space"], algorithm_of(settings.overrides, settings.algorithm))
    wanted = {field: value for field, value in _as_json(settings).items() if field != "placement"}
    later = {"first_seed": 0}  # which the sweeps of our first versions do not name
    return differences({field: there.get(field, later.get(field)) for field in wanted}, wanted)


def _as_json(settings: SweepSettings) -> dict[str, Any]:
    return json.loads(settings.model_dump_json()) | {"format_version": SWEEP_VERSION}
