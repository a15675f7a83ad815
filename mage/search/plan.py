"""What a sweep tries on a scenario, worked out once, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mage.config import AlgorithmConfig
from mage.search.settings import SweepSettings
from mage.search.space import check_space
from mage.search.variants import distinct
from mage.training.engine import check_shares


@dataclass(frozen=True)
class Plan:
    """What a sweep tries on one scenario.

    Attributes:
        scenario: its name.
        trials: how many configurations.
        config: that a search starts from; of variants, the first.
        variants: the distinct ones in training order, under the names of all that are equal; None where a space is
            searched.
    """

    scenario: str
    trials: int
    config: AlgorithmConfig
    variants: Mapping[str, AlgorithmConfig] | None = None


def make_plan(scenario: str, settings: SweepSettings) -> Plan:
    """What the sweep tries there; MageError where the space or a variant fits neither scenario nor workers."""
    if settings.space is None:
        variants = distinct(settings.variant_configs(scenario))
        for variant in variants.values():
            check_shares(variant, settings.workers)
        return Plan(scenario, len(variants), next(iter(variants.values())), variants)
    config = settings.config(scenario)
    check_space(settings.space, config)
    check_shares(config, settings.workers, settings.space)
    return Plan(scenario, settings.trials, config)
