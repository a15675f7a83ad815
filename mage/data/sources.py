"""Where a scenario's trajectories come from: published data, a local or an imported copy, built-in data, one's own.

Every source is a Minari dataset; some scenarios mix several.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from minari.storage import get_dataset_path

from mage import scenarios
from mage.data import ogbench_source
from mage.data.cache import cached
from mage.data.collect import collect, scenario_of
from mage.data.download import download as download_dataset
from mage.data.environments import environment_name, registered_spec
from mage.data.minari_source import READER_VERSION, Dataset, read_dataset
from mage.data.minari_writer import dataset_is_local
from mage.data.observations import less_offset
from mage.data.trajectories import Task, Trajectories, fingerprint
from mage.errors import MageError
from mage.scenarios import MIXED, Scenario

# For a dataset that no scenario describes.
DEFAULT_DISCOUNT = 0.99
DEFAULT_TARGET_RETURN_QUANTILE = 0.9
# The Farama server's namespaces with continuous control, and OGBench's; all else is looked for on this machine only.
PUBLISHED_NAMESPACES = ("D4RL", "mujoco", ogbench_source.NAMESPACE)


def load_trajectories(
    scenario: Scenario | None, dataset_id: str | None = None, namespace: str | None = None, download: bool = True
) -> Trajectories:
    """Every episode of the data that the arguments resolve to; what is missing is recorded or downloaded first.

    With download=False it is not. Data that is missing, unreadable or of an unsupported kind raises MageError.
    """
    resolved = obtain(scenario, dataset_id, namespace, download)
    return combine([_dataset(name) for name in resolved], scenario)


def trajectories_of(name: str, namespace: str | None = None) -> Trajectories:
    """What a sweep trains on for a scenario of that name: the local namespace's data, where one is named.

    A maze that the namespace lacks is the built-in one, so that a sweep can be over mazes and a local copy of Adroit.
    """
    scenario = scenarios.get(name)
    if namespace and scenario.builtin_dataset_id:
        has_copy = all(map(dataset_is_local, scenarios.local_dataset_ids(scenario, namespace)))
        namespace = namespace if has_copy else None
    return load_trajectories(scenario, namespace=namespace)


def obtain(
    scenario: Scenario | None, dataset_id: str | None = None, namespace: str | None = None, download: bool = True
) -> tuple[str, ...]:
    """The datasets that the arguments resolve to, all of them on this machine; load_trajectories says the rest."""
    resolved = resolve_dataset_ids(scenario, dataset_id, namespace)
    for name in resolved:
        if not dataset_is_local(name):
            _obtain(name, scenario, download)
    return resolved


def resolve_dataset_ids(
    scenario: Scenario | None, dataset_id: str | None = None, namespace: str | None = None
) -> tuple[str, ...]:
    """The datasets that load_trajectories reads and mixes; they need not be on this machine yet.

    An explicit dataset_id wins (`A+B` is a mixture); then the scenario's copy in a local namespace; then, if it is on
    this machine, the published data, else the imported; then the built-in data; last, the published.
    """
    if dataset_id:
        return tuple(dataset_id.split(MIXED))
    if scenario is None:
        raise MageError("Neither a scenario nor a dataset id is given; name one of them.")
    if namespace:
        own = (scenarios.own_dataset_id(scenario, namespace),)
        return own if dataset_is_local(own[0]) else scenarios.local_dataset_ids(scenario, namespace)
    if scenario.dataset_ids and all(map(dataset_is_local, scenario.dataset_ids)):
        return scenario.dataset_ids
    if dataset_is_local(scenario.imported_dataset_id):
        return (scenario.imported_dataset_id,)
    if scenario.builtin_dataset_id:
        return (scenario.builtin_dataset_id,)
    return scenario.dataset_ids or (scenario.imported_dataset_id,)


def _dataset(dataset_id: str) -> Dataset:
    return cached(dataset_id, get_dataset_path(dataset_id), READER_VERSION, partial(read_dataset, dataset_id))


def combine(datasets: Sequence[Dataset], scenario: Scenario | None) -> Trajectories:
    """The datasets laid end to end as the data of one task; those of different environments raise MageError."""
    first = datasets[0]
    for other in datasets[1:]:
        _check_same_kind(first, other)
    arrays = first.arrays if len(datasets) == 1 else _mixed([_as_far_off(one, first) for one in datasets])
    references = first.reference_scores or (scenario.reference_scores if scenario else None)
    dataset_id = MIXED.join(one.dataset_id for one in datasets)
    task = Task(
        scenario=scenario.name if scenario else dataset_id,
        dataset_id=dataset_id,
        fingerprint=first.fingerprint if len(datasets) == 1 else fingerprint(*arrays.values()),
        environment_spec=_environment_spec(first, scenario),
        reference_scores=references,
        score=scenario.score if scenario else "return",
        discount=scenario.discount if scenario else DEFAULT_DISCOUNT,
        target_return_quantile=scenario.target_return_quantile if scenario else DEFAULT_TARGET_RETURN_QUANTILE,
        observation_keys=first.observation_keys,
        action_low=first.action_low,
        action_high=first.action_high,
        observation_offset=first.observation_offset,
    )
    return Trajectories(**arrays, task=task, notes=tuple(note for one in datasets for note in one.notes))


def _as_far_off(dataset: Dataset, first: Dataset) -> dict[str, np.ndarray]:
    """The arrays, with observations less the offset of the first dataset instead of its own."""
    if dataset.observation_offset == first.observation_offset:
        return dataset.arrays
    observations = dataset.arrays["observations"]
    own, wanted = (np.asarray(one.observation_offset or 0.0) for one in (dataset, first))
    shift = np.broadcast_to(wanted - own, observations.shape[1:])
    return dataset.arrays | {"observations": less_offset(observations, shift)}


def _mixed(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    lengths = [np.diff(part["episode_starts"]) for part in parts]
    return arrays | {"episode_starts": np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)}


def _environment_spec(dataset: Dataset, scenario: Scenario | None) -> str:
    if scenario is None or scenario.evaluation_environment_from == "dataset":
        return dataset.environment_spec
    return registered_spec(scenario).to_json()


def _check_same_kind(first: Dataset, other: Dataset) -> None:
    """Mixing is for data of one environment."""
    sizes = [(one.arrays["observations"].shape[1], one.action_low, one.action_high) for one in (first, other)]
    names = [environment_name(one.environment_spec) for one in (first, other)]
    if sizes[0] != sizes[1] or names[0] != names[1] or first.observation_keys != other.observation_keys:
        raise MageError(
            f"The datasets {first.dataset_id} (environment {names[0]}, {sizes[0][0]} observation values) and "
            f"{other.dataset_id} ({names[1]}, {sizes[1][0]}) cannot be mixed; they have to be of one environment."
        )


def _obtain(dataset_id: str, scenario: Scenario | None, download: bool) -> None:
    """Records or downloads the dataset; raises MageError with the command that would, if it may not or cannot."""
    builtin = scenario_of(dataset_id)
    if builtin:
        if not download:
            raise MageError(f"The dataset {dataset_id} is not here yet; get it with `mage data collect {builtin}`.")
        collect(builtin)
    elif scenario and dataset_id == scenario.imported_dataset_id and scenario.d4rl_name:
        raise MageError(
            f"There is no published Minari dataset for {scenario.name}; import D4RL's file with "
            f"`mage data import-d4rl {scenario.d4rl_name}.hdf5 --scenario {scenario.name}`."
        )
    elif dataset_id.split("/")[0] not in PUBLISHED_NAMESPACES:
        raise MageError(
            f"The dataset {dataset_id} is not in {get_dataset_path()}; build it there, or point MINARI_DATASETS_PATH "
            "at the folder that has it."
        )
    elif not download:
        raise MageError(
            f"The dataset {dataset_id} is not here yet; get it with `mage data download --dataset {dataset_id}`."
        )
    else:
        download_published(dataset_id)


def download_published(dataset_id: str) -> None:
    """Downloads one dataset that OGBench or the Minari server publishes; raises MageError where it cannot."""
    if dataset_id.split("/")[0] == ogbench_source.NAMESPACE:
        ogbench_source.download(dataset_id)
    else:
        download_dataset(dataset_id)
