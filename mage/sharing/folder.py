"""Writes a policy as a folder for others, as the Hugging Face Hub has it.

README.md            model card
config.json          configuration, statistics, task, target return, checksum of the weights
model.safetensors    weights
episodes.parquet     a row an evaluated episode, where there are any
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from mage.errors import MageError
from mage.files import Say, as_path, check_no_address, write_text
from mage.inspection.read import episodes_of
from mage.interface import Policy
from mage.interface.policy import SHARED, load_policy, read_description_file
from mage.results import write_parquet
from mage.sharing.card import card_of
from mage.sharing.scores import scores_of

CARD, EPISODES = "README.md", "episodes.parquet"
FILES = (CARD, *SHARED, EPISODES)


def export(run: str | Path, to: str | Path, license: str | None = None, log: Say = print) -> Path:
    """Writes the policy of a run as a folder that `mage.load_policy` reads and the Hugging Face Hub takes.

    Args:
        run: a training run, or a policy of a sweep.
        to: a folder that is new, empty, or holds an earlier export, which is replaced; hidden files in it stay.
        license: of the weights, for the card: apache-2.0, cc-by-4.0, ..
        log: is told where the card has no scores.

    Returns:
        The folder.

    Raises:
        MageError: no policy there, or the folder holds something else or cannot be written.
    """
    source, target = as_path(run), as_path(to)
    _check_target(target)
    policy = load_policy(source)
    episodes = episodes_of(source, policy.config.hash(), policy.training_seed)
    with _staged(target) as staging:
        _write(source, policy, episodes, license, staging)
    if episodes is None:
        log(f"the card has no scores, for no episode of this policy has been evaluated: mage evaluate {source}")
    return target


def _write(run: Path, policy: Policy, episodes: pd.DataFrame | None, license: str | None, folder: Path) -> None:
    policy.save(folder, SHARED)
    if episodes is not None:
        write_parquet(episodes, folder / EPISODES)
    scores = None if episodes is None else scores_of(episodes)
    write_text(folder / CARD, card_of(run, policy, scores, license))


def _check_target(target: Path) -> None:
    """MageError unless a folder may be written: a new one, an empty one, or an earlier export."""
    check_no_address(target)
    if not target.exists():
        return
    if not target.is_dir():
        raise MageError(f"{target} is a file; give a folder with --to")
    there = {path.name for path in target.iterdir() if not path.name.startswith(".")}
    other = sorted(there - set(FILES))
    if not other and there:
        try:
            read_description_file(target / SHARED.described)
        except (OSError, MageError):
            other = sorted(there)
    if other:
        raise MageError(
            f"{target} exists and holds something else than an exported policy ({other[0]}); choose another --to"
        )


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder beside `target` whose files are moved there when the block ends well; else nothing is left of it."""
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        staging.mkdir(parents=True)
        yield staging
        target.mkdir(exist_ok=True)
        for name in FILES:
            if (staging / name).exists():
                (staging / name).replace(target / name)
            else:
                (target / name).unlink(missing_ok=True)
    except OSError as error:
        raise MageError(f"cannot write {target}: {error.strerror or error}; choose another --to") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
