"""A sweep: Ray Tune runs the trials, Optuna proposes them, and everything comes back as tables.

A run directory holds, per scenario: `results.parquet` (a row an episode), `trials.parquet` (a row a trial, failed
ones included), `scores.png`, `episodes/` and `policies/` (a file or folder a trial), `optuna.journal` (for
optuna-dashboard), and beside them `sweep.json`, the resolved settings. Tables of all scenarios together lie at the top.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import ray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from pydantic import BaseModel, ConfigDict, Field
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.search.optuna import OptunaSearch

from mage import scenarios
from mage.config import FORMAT_VERSION, Config, load_config
from mage.data.minari_source import load_trajectories
from mage.errors import MageError
from mage.files import write_text
from mage.results import plot_parameters, write_parquet
from mage.search.placement import fit_to_cluster
from mage.search.progress import Progress
from mage.search.space import check_space, starting_point, to_tune
from mage.search.tables import gather_results, gather_trials
from mage.search.trial import METRIC, TIME, TrialSettings, run_trial
from mage.training.ray_board import shown_board
from mage.training.ray_start import start_ray

FEWEST_TRIALS_TO_STOP = 6


class SweepSettings(BaseModel):
    """Everything that defines a sweep; saved as `sweep.json` and compared when a sweep is resumed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scenarios: tuple[str, ...] = Field(min_length=1)
    space: dict[str, Any]
    preset: str = "cpu"
    overrides: tuple[str, ...] = ()
    trials: int = Field(4, ge=1, description="configurations tried per scenario")
    seeds: int = Field(1, ge=1, description="training seeds a configuration")
    episodes: int | None = Field(
        None, ge=1, description="evaluation episodes a training seed; by default the scenario's"
    )
    dataset_namespace: str | None = None
    search_seed: int = 0
    intermediate_evaluations: int | None = Field(
        None, ge=0, description="inside stage 2; 0 switches early stopping off; by default 1, with few trials 0"
    )
    workers: int = Field(1, ge=1, description="Ray Train workers a trial")

    @property
    def evaluations(self) -> int:
        """Intermediate evaluations a trial. Among few trials, early stopping would be decided by the first two."""
        default = 1 if self.trials >= FEWEST_TRIALS_TO_STOP else 0
        return default if self.intermediate_evaluations is None else self.intermediate_evaluations

    def config(self, scenario: str) -> Config:
        """The configuration that the search starts from."""
        return load_config(self.preset, self.overrides, scenarios.get(scenario).domain)


def run_sweep(settings: SweepSettings, out: Path, resume: bool = False, address: str | None = None) -> pd.DataFrame:
    """Runs a sweep, or goes on with one, and returns its results: one row per episode.

    Args:
        out: run directory; must not exist unless `resume`.
        resume: go on with the sweep that `out` holds; finished trials are kept.
        address: of a Ray cluster; by default the one that runs here, else a new local one.

    Raises:
        MageError: bad settings, or a directory that exists (or, to resume, does not fit).
    """
    out = out.absolute()
    for name in settings.scenarios:
        check_space(settings.space, settings.config(name))
    _check_directory(out, settings, resume)
    for name in settings.scenarios:
        load_trajectories(scenarios.get(name), namespace=settings.dataset_namespace)
    write_text(out / "sweep.json", json.dumps(_as_json(settings), indent=1))
    # Ctrl-C ends the sweep at once, as any other death of the driver; Tune would go on as if all trials had ended
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    start_ray(address)
    for name in settings.scenarios:
        _sweep_scenario(name, settings, out)
    results, trials = (
        pd.concat([pd.read_parquet(out / name / f"{table}.parquet") for name in settings.scenarios], ignore_index=True)
        for table in ("results", "trials")
    )
    write_parquet(results, out / "results.parquet")
    write_parquet(trials, out / "trials.parquet")
    plot_parameters(trials, out / "scores.png")
    return results


def _sweep_scenario(name: str, settings: SweepSettings, out: Path) -> None:
    """All trials of one scenario; does nothing where they are done."""
    folder, config = out / name, settings.config(name)
    if (folder / "results.parquet").exists():
        print(f"{name}: done before, kept")
        return
    trajectories = load_trajectories(scenarios.get(name), namespace=settings.dataset_namespace)
    placement = fit_to_cluster(settings.trials, settings.workers, config.training.device != "cpu")
    progress = Progress(name, settings.trials)
    data = f"{trajectories.task.dataset_id} ({trajectories.episodes} episodes, {trajectories.steps} steps)"
    progress.say(f"{settings.trials} trials x {settings.seeds} training seed(s) on {data}; {placement}")
    with shown_board(progress.say) as board:
        shared = TrialSettings(
            trajectories=ray.put(trajectories),
            config=config,
            seeds=tuple(range(settings.seeds)),
            episodes=settings.episodes,
            evaluations=settings.evaluations,
            placement=placement.trial,
            folder=folder,
            board=board,
        )
        grid = _tuner(name, settings, shared, placement.concurrent_trials, progress).fit()
    results, trials = gather_results(folder), gather_trials(grid, name, settings, config)
    if len(trials) < settings.trials or "unfinished" in set(trials["status"]):
        raise MageError(f"the sweep of {name} was interrupted; nothing is lost: repeat the command with --resume")
    write_parquet(trials, folder / "trials.parquet")
    plot_parameters(trials, folder / "scores.png")
    for _, row in trials[trials["status"] == "failed"].iterrows():
        progress.say(f"trial {row['trial_id']} failed: {row['error']} (log: {row['log']})")
    write_parquet(results, folder / "results.parquet")


def _tuner(
    name: str, settings: SweepSettings, shared: TrialSettings, concurrent: int, progress: Progress
) -> tune.Tuner:
    """A new Tuner, or the one that was at work in this folder when its driver died."""
    # the driver of a trial takes no CPU: its training workers and evaluation actors do
    trainable = tune.with_resources(tune.with_parameters(run_trial, settings=shared), {"node:__internal_head__": 0.001})
    path = shared.folder / "tune"
    if tune.Tuner.can_restore(str(path)):
        return tune.Tuner.restore(str(path), trainable=trainable, resume_errored=True)
    shared.folder.mkdir(parents=True, exist_ok=True)
    searcher = _searcher(name, settings, shared.config, shared.folder)
    return tune.Tuner(
        trainable,
        param_space=to_tune(settings.space),
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            num_samples=settings.trials,
            search_alg=ConcurrencyLimiter(searcher, concurrent),
            scheduler=_scheduler(settings.evaluations),
        ),
        run_config=tune.RunConfig(name="tune", storage_path=str(shared.folder), callbacks=[progress], verbose=0),
    )


def _searcher(name: str, settings: SweepSettings, config: Config, folder: Path) -> Searcher:
    """Optuna's TPE. The study is a journal file, which is safe on a shared disk and which optuna-dashboard opens."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    first = starting_point(settings.space, config)
    return OptunaSearch(
        metric=METRIC,
        mode="max",
        points_to_evaluate=[first] if first else None,
        seed=settings.search_seed,
        study_name=name,
        storage=JournalStorage(JournalFileBackend(str(folder / "optuna.journal"))),
    )


def _scheduler(evaluations: int) -> TrialScheduler:
    """ASHA over the intermediate evaluations; at each, the worst third of the trials so far ends."""
    if not evaluations:
        return FIFOScheduler()
    return ASHAScheduler(time_attr=TIME, max_t=evaluations + 1, grace_period=1, reduction_factor=1.5)


def _check_directory(out: Path, settings: SweepSettings, resume: bool) -> None:
    """MageError where the run directory is taken or, to resume, holds no sweep or another one."""
    path = out / "sweep.json"
    if not resume:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise MageError(f"the run directory {out} exists; choose another --out, or go on with it by --resume")
        return
    if not path.is_file():
        raise MageError(f"there is no sweep to resume in {out}: sweep.json is missing; give the --out of the first run")
    try:
        wanted, there = _as_json(settings), json.loads(path.read_text())
    except ValueError:
        raise MageError(f"{path} is damaged; start the sweep anew with another --out") from None
    differ = [field for field in wanted if wanted[field] != there.get(field)]
    if differ:
        told = ", ".join(f"{field} (then {there.get(field)}, now {wanted[field]})" for field in differ)
        raise MageError(
            f"the sweep in {out} was started with other settings: {told}; repeat the first command with --resume"
        )


def _as_json(settings: SweepSettings) -> dict[str, Any]:
    return json.loads(settings.model_dump_json()) | {"format_version": FORMAT_VERSION}
