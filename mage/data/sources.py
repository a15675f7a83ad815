"""Where a scenario's trajectories come from: published data, a local or an imported copy, built-in data, one's own.

Every source is a Minari dataset; some scenarios mix several.
"""

from collections.abc import Sequence
from contextlib import suppress

import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.storage import get_dataset_path

from mage import scenarios
from mage.data import maze2d
from mage.data.environments import registered_spec
from mage.data.minari_source import Recording, read_dataset
from mage.data.minari_writer import dataset_is_local
from mage.data.trajectories import Task, Trajectories, fingerprint
from mage.errors import MageError
from mage.scenarios import MIXED, Scenario

# For a dataset that no scenario describes.
DEFAULT_DISCOUNT = 0.99
DEFAULT_TARGET_RETURN_QUANTILE = 0.9
# The Farama server's namespaces with continuous control; anything else is looked for on this machine only.
PUBLISHED_NAMESPACES = ("D4RL", "mujoco")


def load_trajectories(
    scenario: Scenario | None, dataset_id: str | None = None, namespace: str | None = None, download: bool = True
) -> Trajectories:
    """Every episode of the data that the arguments resolve to; what is missing is recorded or downloaded first.

    With download=False it is not. Data that is missing, unreadable or of an unsupported kind raises MageError.
    """
    resolved = resolve_dataset_ids(scenario, dataset_id, namespace)
    for name in resolved:
        if not dataset_is_local(name):
            _obtain(name, scenario, download)
    return combine([read_dataset(name) for name in resolved], scenario)


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


def combine(recordings: Sequence[Recording], scenario: Scenario | None) -> Trajectories:
    """The recordings laid end to end as the data of one task; those of different environments raise MageError."""
    first = recordings[0]
    for other in recordings[1:]:
        _check_same_kind(first, other)
    arrays = {name: np.concatenate([one.arrays[name] for one in recordings]) for name in first.arrays}
    lengths = [np.diff(one.arrays["episode_starts"]) for one in recordings]
    arrays["episode_starts"] = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    if len(recordings) == 1:  # the very arrays, which may be mapped from disk
        arrays = first.arrays
    references = first.reference_scores or (scenario.reference_scores if scenario else None)
    dataset_id = MIXED.join(one.dataset_id for one in recordings)
    task = Task(
        scenario=scenario.name if scenario else dataset_id,
        dataset_id=dataset_id,
        fingerprint=first.fingerprint if len(recordings) == 1 else fingerprint(*arrays.values()),
        environment_spec=_environment_spec(first, scenario),
        reference_scores=references,
        score=scenario.score if scenario else "return",
        discount=scenario.discount if scenario else DEFAULT_DISCOUNT,
        target_return_quantile=scenario.target_return_quantile if scenario else DEFAULT_TARGET_RETURN_QUANTILE,
        observation_keys=first.observation_keys,
        action_low=first.action_low,
        action_high=first.action_high,
    )
    return Trajectories(**arrays, task=task)


def _environment_spec(recording: Recording, scenario: Scenario | None) -> str:
    if scenario is None or scenario.evaluation_environment_from == "dataset":
        return recording.environment_spec
    return registered_spec(scenario).to_json()


def _check_same_kind(first: Recording, other: Recording) -> None:
    """Mixing is for data of one environment."""
    sizes = [(one.arrays["observations"].shape[1], one.action_low, one.action_high) for one in (first, other)]
    names = [EnvSpec.from_json(one.environment_spec).id if one.environment_spec else "none" for one in (first, other)]
    if sizes[0] != sizes[1] or names[0] != names[1] or first.observation_keys != other.observation_keys:
        raise MageError(
            f"The datasets {first.dataset_id} (environment {names[0]}, {sizes[0][0]} observation values) and "
            f"{other.dataset_id} ({names[1]}, {sizes[1][0]}) cannot be mixed; they have to be of one environment."
        )


def _obtain(dataset_id: str, scenario: Scenario | None, download: bool) -> None:
    """Records or downloads the dataset; raises MageError with the command that would, if it may not or cannot."""
    builtin = maze2d.scenario_of(dataset_id)
    if builtin:
        if not download:
            raise MageError(f"The dataset {dataset_id} is not here yet; get it with `mage data collect {builtin}`.")
        maze2d.collect(builtin)
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
        raise MageError(f"The dataset {dataset_id} is not here yet; get it with `minari download {dataset_id}`.")
    else:
        _download(dataset_id)


def _download(dataset_id: str) -> None:
    with suppress(ImportError):  # its retries would bury the one line that we have to say
        from huggingface_hub.utils import logging

        logging.set_verbosity_error()
    try:
        minari.download_dataset(dataset_id)
    except Exception as error:  # the hosting back ends share no base class: ImportError, ValueError, HTTP errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MageError(
            f"The dataset {dataset_id} is not here and could not be downloaded ({reason}); "
            f"get it with `minari download {dataset_id}` where there is a network."
        ) from error
