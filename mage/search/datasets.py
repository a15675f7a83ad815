"""The data that a scenario is swept on."""

from __future__ import annotations

from mage import scenarios
from mage.data.minari_writer import dataset_is_local
from mage.data.sources import load_trajectories
from mage.data.trajectories import Trajectories


def trajectories_of(name: str, namespace: str | None = None) -> Trajectories:
    """The scenario's trajectories, from a local namespace where one is named.

    A maze that the namespace lacks is the built-in one, so that a sweep can be over mazes and a local copy of Adroit.
    """
    scenario = scenarios.get(name)
    if namespace and scenario.builtin_dataset_id:
        has_copy = all(map(dataset_is_local, scenarios.local_dataset_ids(scenario, namespace)))
        namespace = namespace if has_copy else None
    return load_trajectories(scenario, namespace=namespace)
