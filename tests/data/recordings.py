"""A small recording, a stand-in for the dataset that it is read from, and a look into the cache."""

import dataclasses
from pathlib import Path

import numpy as np

from mage.data.cache import cached
from mage.data.minari_source import Dataset
from mage.data.trajectories import fingerprint

ID = "me/mine-v0"


def make_recording(seed: int = 0, steps: int = 6, size: int = 3, **changes: object) -> Dataset:
    rng = np.random.default_rng(seed)
    arrays = {
        "observations": rng.normal(size=(steps, size)).astype(np.float32),
        "actions": rng.normal(size=(steps, 2)).astype(np.float32),
        "rewards": rng.normal(size=steps).astype(np.float32),
        "terminations": rng.random(1) < 0.5,
        "episode_starts": np.array([0, steps], dtype=np.int64),
    }
    recording = Dataset(
        dataset_id=ID,
        arrays=arrays,
        fingerprint=fingerprint(*arrays.values()),
        environment_spec="",
        reference_scores=None,
        observation_keys=(),
        action_low=(-np.inf, -1.0),
        action_high=(np.inf, 1.0),
    )
    return dataclasses.replace(recording, **changes)  # type: ignore[arg-type]


class Source:
    """A folder that stands for a dataset, and a reader that counts how often it reads."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.reads, self.seed = folder, 0, 0
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "main_data.hdf5").write_bytes(b"episodes")

    def read(self) -> Dataset:
        self.reads += 1
        return make_recording(self.seed)

    def load(self, reader_version: int = 1) -> Dataset:
        return cached(ID, self.folder, reader_version, self.read)


def entries(cache: Path) -> list[Path]:
    """What lies in the folders of datasets beside their locks, hidden things too."""
    return [path for path in cache.glob("datasets/*/*") if path.name != "lock"]


def same(one: Dataset, other: Dataset) -> bool:
    names = [field.name for field in dataclasses.fields(Dataset) if field.name != "arrays"]
    return (
        list(one.arrays) == list(other.arrays)
        and all(one.arrays[name].tobytes() == other.arrays[name].tobytes() for name in one.arrays)
        and all(one.arrays[name].dtype == other.arrays[name].dtype for name in one.arrays)
        and all(one.arrays[name].shape == other.arrays[name].shape for name in one.arrays)
        and all(getattr(one, name) == getattr(other, name) for name in names)
    )


def the_entry(cache: Path) -> Path:
    (entry,) = entries(cache)
    return entry
