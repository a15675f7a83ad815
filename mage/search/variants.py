"""The trials of a sweep of variants: which configurations are distinct, and in what order they are trained."""

from __future__ import annotations

from collections.abc import Mapping

from mage.config import AlgorithmConfig, digest
from mage.words import SEPARATOR


def distinct(configs: Mapping[str, AlgorithmConfig]) -> dict[str, AlgorithmConfig]:
    """One entry a configuration, under the names of all variants that are this configuration, in training order."""
    names: dict[str, list[str]] = {}
    for name, config in configs.items():
        names.setdefault(config.hash(), []).append(name)
    return in_training_order({SEPARATOR.join(same): configs[same[0]] for same in names.values()})


def in_training_order(configs: Mapping[str, AlgorithmConfig]) -> dict[str, AlgorithmConfig]:
    """The same, ordered so that a stage-1 artefact is there when most of those that share it begin.

    First one configuration for each artefact, then those without a stage 1, then the rest in the order of the first
    ones. Trials that run at once still train an artefact twice where fewer distinct ones are left than can run; that
    costs no time, since the second would have had to wait just as long for the first.
    """
    first: dict[str, str] = {}
    place = {}
    for number, (name, config) in enumerate(configs.items()):
        key = config.shared_key()
        if key is None:
            place[name] = (1, number, number)
            continue
        artefact = digest(key)
        leads = first.setdefault(artefact, name) == name
        place[name] = (0 if leads else 2, list(first).index(artefact), number)
    return {name: configs[name] for name in sorted(configs, key=place.__getitem__)}
