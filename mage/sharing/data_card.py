"""What is told of the data that a policy was trained on: source, fingerprint, sizes, and what it says of itself."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from minari.storage import get_dataset_path

from mage.data.collect import scenario_of
from mage.data.sources import PUBLISHED_NAMESPACES, load_trajectories
from mage.data.trajectories import Task
from mage.errors import MageError
from mage.inspection.document import Inspection
from mage.scenarios import IMPORTED, MIXED


class DataCard(NamedTuple):
    """The data of one policy.

    `sizes` are episodes, steps and returns as training measured them, empty for a policy of before it did; `sources`
    says of each dataset where it comes from, `descriptions` what its own metadata says, where it is on this machine
    exactly as it was trained on.
    """

    dataset_id: str
    fingerprint: str
    sizes: dict[str, Any]
    sources: dict[str, str]
    descriptions: dict[str, str]


def data_card(task: Task, inspection: Inspection | None) -> DataCard:
    """Describes the data of a task.

    Args:
        task: of the policy.
        inspection: what training measured of the data.
    """
    names = task.dataset_id.split(MIXED)
    described = {name: _description(name) for name in names} if _is_here(task) else {}
    return DataCard(
        dataset_id=task.dataset_id,
        fingerprint=task.fingerprint,
        sizes=dict(inspection["dataset"]) if inspection else {},
        sources={name: source_of(name) for name in names},
        descriptions={name: text for name, text in described.items() if text},
    )


def source_of(dataset_id: str) -> str:
    """Where a dataset comes from, and the command that gets it."""
    namespace = dataset_id.partition("/")[0]
    recorded = scenario_of(dataset_id)
    if recorded:
        return f"built-in: recorded in the real environment by `mage data collect {recorded}`"
    if namespace == IMPORTED:
        return "imported from a file of D4RL by `mage data import-d4rl`"
    if namespace in PUBLISHED_NAMESPACES:
        return f"published: `mage data download --dataset {dataset_id}`"
    return f"not published: a dataset of the exporter's own, in the Minari namespace `{namespace}`"


def _is_here(task: Task) -> bool:
    """Whether the data is on this machine as it was trained on."""
    try:
        return load_trajectories(None, task.dataset_id, download=False).task.fingerprint == task.fingerprint
    except MageError:
        return False


def _description(dataset_id: str) -> str:
    """What the dataset's metadata says of it, and of the policy that recorded it."""
    metadata = json.loads((get_dataset_path(dataset_id) / "data" / "metadata.json").read_text())
    told = [
        metadata.get("description"),
        metadata.get("algorithm_name") and f"Recorded by: {metadata['algorithm_name']}.",
    ]
    return " ".join(" ".join(str(part).split()) for part in told if part)
