"""The functions that scripts and notebooks call: `mage.train`, `mage.evaluate`, `mage.load_policy`."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import torch

from mage.errors import MageError
from mage.evaluation.episodes import evaluate_policies
from mage.evaluation.recording import Recording, write_episodes
from mage.files import as_path, kept_or_told
from mage.inspection.read import inspect_run, inspect_sweep, is_sweep
from mage.interface.policy import Policy
from mage.interface.policy import load_policy as read_policy
from mage.run_training import Data, train_runs
from mage.sharing.hub import fetch, is_on_hub
from mage.training.artefacts import Log
from mage.training.trainer import choose_device

if TYPE_CHECKING:
    import pandas as pd

    from mage.evaluation.ray_actors import EvaluationActors


def train(
    scenario: str | None = None,
    *,
    dataset: str | None = None,
    dataset_namespace: str | None = None,
    preset: str = "cpu",
    overrides: Iterable[str] | Mapping[str, Any] = (),
    seed: SupportsIndex = 0,
    out: str | Path | None = None,
    resume: bool = False,
    workers: SupportsIndex = 0,
    log: Log = print,
    algorithm: str | None = None,
) -> Policy:
    """Trains an algorithm, all its stages, on one dataset and returns the policy.

    Args:
        scenario: a name from `mage.scenarios.names()`; may be left out with `dataset`.
        dataset: ID of any Minari dataset, known to a scenario or not.
        dataset_namespace: take the scenario's dataset from this local namespace, such as `local`.
        preset: `cpu`, `paper` or `default`; `mage algorithms NAME` says which there are.
        overrides: `field=value` changes to the preset, or a mapping from fields to values.
        seed: training seed.
        out: run directory to write (config, policy, metrics, checkpoint); without it nothing is written.
        resume: go on from the checkpoint in `out`.
        workers: Ray Train workers (Ray is started if it is not running); 0 trains in this process, with the same
            result.
        log: is told a line of progress now and then.
        algorithm: a name of `mage algorithms`, or `module:Class`; by default MAGE, or what the overrides say.

    Raises:
        MageError: unknown scenario, missing or broken dataset, an evaluation environment that does not fit it, bad
            configuration, or a run directory that exists.
    """
    runs, crew = {whole_number("seed", seed, 0): out}, whole_number("workers", workers, 0)
    data = Data(scenario, dataset, dataset_namespace)
    return train_runs(runs, data, preset, overrides, algorithm, resume, crew, log)[0]


def train_seeds(
    scenario: str | None = None,
    *,
    seeds: Iterable[SupportsIndex],
    dataset: str | None = None,
    dataset_namespace: str | None = None,
    preset: str = "cpu",
    overrides: Iterable[str] | Mapping[str, Any] = (),
    out: str | Path | None = None,
    resume: bool = False,
    log: Log = print,
    algorithm: str | None = None,
) -> list[Policy]:
    """Trains several seeds of one configuration in this process, as `train` does one; returns a policy a seed.

    One after another; with `training.stacked=true` at once, each step being one on the weights of all side by side.

    Args:
        seeds: training seeds.
        out: folder of the run directories, `seed-<n>`; each is that of an ordinary training.

    The other arguments are those of `train`.

    Raises:
        MageError: as `train`, of any seed; or no stage of the algorithm can be trained at once.
    """
    wanted = [whole_number("seed", seed, 0) for seed in seeds]
    if not wanted or len(set(wanted)) < len(wanted):
        raise MageError(f"seeds must be different numbers, at least one, and are {wanted}")
    runs = {seed: as_path(out) / f"seed-{seed}" if out else None for seed in wanted}
    data = Data(scenario, dataset, dataset_namespace)
    return train_runs(runs, data, preset, overrides, algorithm, resume, 0, log)


def evaluate(
    run: str | Path | Policy,
    episodes: SupportsIndex | None = None,
    actors: SupportsIndex = 0,
    device: str | torch.device = "auto",
    log: Log = print,
    recording: bool = True,
) -> pd.DataFrame:
    """Plays a policy in its dataset's evaluation environment; one row per episode.

    Args:
        run: a run directory (the rows are also written there, as `episodes.parquet`, and its inspection gets the scan
        of score against target return if it has none) or a policy.
        episodes: how many; by default the scenario's protocol (100).
        actors: Ray actors to share the work; 0 plays in this process. The rows are the same.
        device: of a policy that is read and played in this process; `auto` is the GPU where there is one.
        log: is told where the rows cannot be written, in a folder of somebody else's, say.
        recording: of a run directory, also writes what was played, as `episodes.npz`, which `mage results verify` plays
        again; not where its configuration says `evaluation.recording=false`.

    Raises:
        MageError: no policy there, its environment cannot be played, or a count that is none.
    """
    wanted = None if episodes is None else whole_number("episodes", episodes, 1)
    count = whole_number("actors", actors, 0)
    if isinstance(run, Policy):
        with _crew_of(count) as crew:
            return evaluate_policies([run], wanted, crew, say=log)
    folder = as_path(run)
    policy = load_policy(folder, device)
    recorded: list[Recording] = []
    keep = recorded.append if recording and policy.config.evaluation.recording else None
    with _crew_of(count) as crew:
        results = evaluate_policies([policy], wanted, crew, say=log, keep=keep)
        write = partial(write_episodes, folder / "episodes.parquet", results, recorded[0] if recorded else None)
        if kept_or_told(log, write) and (folder / "inspection.json").is_file():
            scanned = min(policy.config.evaluation.inspection_episodes, len(results))
            inspect_run(folder, lambda: policy, scanned, crew, log)
    return results


def inspect(
    run: str | Path,
    episodes: SupportsIndex | None = None,
    actors: SupportsIndex = 0,
    device: str | torch.device = "auto",
    log: Log = print,
) -> dict[str, Any]:
    """Why a policy scores what it scores: what `inspection.json` holds, with findings in plain words.

    Rollouts (score against target return, visited states) are played and kept where there are too few.

    Args:
        run: a run directory, or a policy of a sweep; of a sweep, `policies` holds what each policy has.
        episodes: a target return; by default `evaluation.inspection_episodes`; 0 plays nothing.
        actors: Ray actors to share the targets; 0 plays in this process.
        device: of a policy that is played in this process.
        log: is told where what was played cannot be kept.

    Raises:
        MageError: no policy there, or one that an older mage wrote.
    """
    wanted = None if episodes is None else whole_number("episodes", episodes, 0)
    count, folder = whole_number("actors", actors, 0), as_path(run)
    if is_sweep(folder):
        return inspect_sweep(folder)
    with _crew_of(count) as crew:
        return inspect_run(folder, lambda: load_policy(folder, device), wanted, crew, log)


def whole_number(name: str, value: Any, least: int) -> int:
    """A count or seed as Python's integer, whoever's it is.

    Raises:
        MageError: it is none, below `least` or beyond 64 bits.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if isinstance(value, bool) or not least <= number < 2**63:
        raise MageError(f"{name} must be a whole number of at least {least}, and is {value!r}")
    return number


def device_of(device: str | torch.device) -> torch.device:
    """The device of that name; `auto` is the GPU where there is one.

    Raises:
        MageError: there is no such device, or not here.
    """
    try:
        known = choose_device("auto") if device == "auto" else torch.device(device)
    except (RuntimeError, TypeError):
        raise MageError(f"there is no device {device!r}; give auto, cpu, cuda or cuda:<number>") from None
    if known.type == "cuda" and (known.index or 0) >= torch.cuda.device_count():
        raise MageError(f"device {device!r}: torch finds {torch.cuda.device_count()} GPUs here; give auto or cpu")
    return known


@contextmanager
def _crew_of(actors: int) -> Iterator[EvaluationActors | None]:
    """So many evaluation actors, none of them for 0, on a Ray whose end ends the block in a MageError."""
    if not actors:
        yield None
        return
    from mage.evaluation.ray_actors import EvaluationActors
    from mage.search.placement import alive_nodes
    from mage.training.ray_death import ends_with_ray
    from mage.training.ray_start import start_ray

    joined = start_ray()
    if not any(node.cpus for node in alive_nodes()):
        raise MageError(f"no actor finds a CPU: {joined} has none; wait for its workers, or play without actors")
    with (
        ends_with_ray("evaluate again; without actors, this process plays itself and needs no Ray"),
        EvaluationActors(actors) as crew,
    ):
        yield crew


def load_policy(run: str | Path, device: str | torch.device = "cpu", scenario: str | None = None) -> Policy:
    """Reads the policy of a run directory, of a folder that `mage export` made, or from the Hugging Face Hub.

    Args:
        run: a folder; or, as a string that is no path here, `org/name` or `org/name@revision` on the Hub.
        device: `cpu`, `cuda`, `cuda:1`, .. or `auto`, which is the GPU where there is one.
        scenario: refuses a policy of any other.

    Raises:
        MageError: there is none, it is damaged or of another version, or it was trained on another scenario than
        `scenario`.
    """
    known = device_of(device)
    policy = read_policy(fetch(run) if isinstance(run, str) and is_on_hub(run) else as_path(run), known)
    if scenario and policy.task.scenario != scenario:
        raise MageError(
            f"the policy in {run} was trained on {policy.task.scenario}, not on {scenario}; give its own run"
        )
    return policy
