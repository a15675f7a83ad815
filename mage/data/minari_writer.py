"""Writes a Minari dataset so that it is there as a whole or not at all."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import minari
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.namespace import NAMESPACE_METADATA_FILENAME
from minari.storage import get_dataset_path


def dataset_is_local(dataset_id: str) -> bool:
    """Whether the dataset is in MINARI_DATASETS_PATH (or Minari's default folder)."""
    return (get_dataset_path(dataset_id) / "data" / "metadata.json").is_file()


def write_dataset(
    dataset_id: str,
    episodes: Iterable[dict],
    environment: EnvSpec,
    reference_scores: tuple[float, float],
    description: str,
) -> None:
    """Writes episodes (keyword arguments of minari's EpisodeBuffer) under a hidden folder, then moves them into place.

    If another process has written the same dataset meanwhile, that one stays.
    """
    root = get_dataset_path()
    with tempfile.TemporaryDirectory(prefix=".recording-", dir=root) as staging:
        with _datasets_path(staging), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`(code_permalink|author|author_email)` is set to None")
            minari.create_dataset_from_buffers(
                dataset_id,
                [EpisodeBuffer(**episode) for episode in episodes],
                env=environment,
                eval_env=environment,
                algorithm_name="mage.data.maze2d",
                ref_min_score=reference_scores[0],
                ref_max_score=reference_scores[1],
                description=description,
            )
        _move_into_place(Path(staging), root, dataset_id)


def _move_into_place(staging: Path, root: Path, dataset_id: str) -> None:
    final = root / dataset_id
    final.parent.mkdir(parents=True, exist_ok=True)
    for namespace in [final.parent, *final.parent.parents]:
        if namespace == root:
            break
        source = staging / namespace.relative_to(root) / NAMESPACE_METADATA_FILENAME
        if source.exists() and not (namespace / NAMESPACE_METADATA_FILENAME).exists():
            shutil.copy(source, namespace / NAMESPACE_METADATA_FILENAME)
    try:
        os.rename(staging / dataset_id, final)
    except OSError:
        if not dataset_is_local(dataset_id):
            raise


@contextmanager
def _datasets_path(path: str) -> Iterator[None]:
    """Minari takes the folder it writes to from the environment only."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = path
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before
