"""A sweep: Ray Tune runs the trials, Optuna proposes them unless they are named, and everything comes back as tables.

A run directory holds, per scenario: `results.parquet` (a row an episode), `trials.parquet` (a row a trial, failed
ones included), `scores.png`, `status.json` (how far it is), `episodes/` and `policies/` (a file or folder a trial),
`tensorboard/`, `optuna.journal` (for optuna-dashboard), and beside them `sweep.json`, the resolved settings. Tables of
all scenarios together lie at the top.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import ray
from ray import tune
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback

from mage.data.environments import check_evaluation
from mage.data.precision import notes_on
from mage.data.sources import trajectories_of
from mage.errors import MageError
from mage.files import Say, as_path, expand_variables, patiently
from mage.progress.ray_board import shown_board
from mage.progress.trackers import check_trackers, make_trackers
from mage.progress.trackers.tensorboard import FOLDER, TensorBoard
from mage.progress.watch import Watch, waiting
from mage.results import load, load_trials, plot_parameters, write_parquet
from mage.results.plots.variants import plot_variants
from mage.results.status import read_status, write_status
from mage.search.concurrency import CountedTrials, FollowsCluster, NamedTrials, ProposedTrials, Recount
from mage.search.journal import TUNE, can_go_on, mend_journal
from mage.search.placement import SweepPlacement, alive_nodes, fit_to_cluster, trials_at_once
from mage.search.plan import Plan, make_plan
from mage.search.progress import Progress, watched_by
from mage.search.proposals import make_scheduler, make_search
from mage.search.settings import SweepSettings, check_directory, claim_directory
from mage.search.side_by_side import run_side_by_side
from mage.search.space import starting_point, to_tune
from mage.search.study import JOURNAL
from mage.search.tables import ended_trials, gather_results, gather_trials
from mage.search.trial import METRIC, VARIANT, TrialSettings, drop_checkpoints, run_trial
from mage.training.disk import check_room
from mage.training.ray_death import ends_with_ray
from mage.training.ray_start import start_ray
from mage.words import sentence_of, short_name

__all__ = ["SweepSettings", "prepare_sweep", "run_sweep"]


def run_sweep(
    settings: SweepSettings,
    out: Path,
    resume: bool = False,
    address: str | None = None,
    track: Sequence[str] = (),
    goes_on: Path | None = None,
) -> pd.DataFrame:
    """Runs a sweep, or goes on with one, and returns its results: one row per episode.

    Args:
        out: run directory; must not exist unless `resume`.
        resume: go on with the sweep that `out` holds; finished trials are kept, failed ones tried again.
        address: of a Ray cluster; by default the one that RAY_ADDRESS names or that this user has started here by `ray
            start`, else a new local one.
        track: `wandb` and `mlflow`, beside TensorBoard.
        goes_on: the `--out` of the command that goes on with it, if that is another directory.

    Raises:
        MageError: bad settings, a tracker that is not installed, or a directory that exists (or, to resume, does not
        fit).
    """
    out = as_path(out).absolute()
    expand_variables()
    check_trackers(track)
    plans = prepare_sweep(settings, out, resume)
    for plan in plans:
        folder = out / plan.scenario
        if settings.space is not None and (folder / JOURNAL).exists():
            mend_journal(folder / JOURNAL, print)
        if read_status(folder) is None:
            write_status(waiting(plan.scenario, plan.trials, settings.seeds), folder)
    prepare_tune()
    print(f"the sweep runs on {start_ray(address)}", flush=True)
    go_on = f"nothing is lost: the same command with --resume --out {goes_on or out} goes on"
    with ends_with_ray(go_on):
        rooms = [_room(plan, settings) for plan in plans]
        left = [plan for plan in plans if not _is_done(out / plan.scenario)]
        for plan in plans:
            if plan not in left:
                print(f"{plan.scenario}: done before, kept")
        if len(left) > 1 and min(plan.trials for plan in left) < rooms[0]():
            run_side_by_side(left, out, rooms[0], ray.get_runtime_context().gcs_address, go_on, track)
        else:
            for plan in left:
                sweep_scenario(plan, settings, out, track)
    results, trials = (
        pd.concat([read(str(out / name / f"{table}.parquet")) for name in settings.scenarios], ignore_index=True)
        for table, read in (("results", load), ("trials", load_trials))
    )
    with _keeps_what_was_trained(out):
        patiently(partial(_write, results, trials, out, print), print)
    return results


def prepare_tune() -> None:
    """Says to Tune what it reads of the environment."""
    # Ctrl-C ends the sweep at once, as any other death of the driver; Tune would go on as if all trials had ended
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    # a failure is told in a line, with its log; Tune would print its whole trace amid the others
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
    # Tune's own event files would show every score a second time, and nothing else
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")


def prepare_sweep(settings: SweepSettings, out: Path, resume: bool = False) -> Sequence[Plan]:
    """Everything that can fail before a sweep runs: its settings, its directory, which is then claimed, and its data.

    Returns what it tries on each scenario.

    Raises:
        MageError: one of them is not as it must be; nothing is written then.
    """
    plans = [make_plan(name, settings) for name in settings.scenarios]
    for name in settings.scenarios:
        status = read_status(out / name)
        if resume and status and status.has_driver_here():
            raise MageError(
                f"the sweep in {out} is running: process {status.pid} works on {name}; `mage results status {out}` "
                "shows it, and --resume is for when it has ended"
            )
    check_directory(out, settings, resume)
    for plan in plans:
        trajectories = trajectories_of(plan.scenario, settings.dataset_namespace)
        try:
            check_evaluation(trajectories)
        except MageError as error:
            raise MageError(f"a sweep evaluates its trials: {error} `mage train` trains without") from error
        if not resume:
            check_room(out, trajectories, plan.config, plan.trials, settings.seeds)
    claim_directory(out, settings, resume)
    return plans


def sweep_scenario(
    plan: Plan, settings: SweepSettings, out: Path, track: Sequence[str], share: Callable[[], int] | None = None
) -> None:
    """All trials of one scenario.

    Args:
        share: of the cluster, in trials in flight; by default what it has.
    """
    name, count, folder = plan.scenario, plan.trials, out / plan.scenario
    trajectories = trajectories_of(name, settings.dataset_namespace)
    placement = _place(plan, settings)
    trackers = [TensorBoard(folder), *make_trackers(track, f"{out.name}/{name}")]
    watch = Watch(waiting(name, count, settings.seeds), folder, settings.evaluations + 1, trackers)
    FollowsCluster.limit = share or Recount(
        lambda: trials_at_once(alive_nodes(), placement.trial, count, settings.placement), watch.say
    )
    data = f"{trajectories.task.dataset_id} ({trajectories.episodes} episodes, {trajectories.steps} steps)"
    with watched_by(watch), shown_board(watch.heard) as board:
        watch.say(f"{count} trials x {settings.seeds} training seed(s) on {data}")
        for note in notes_on(trajectories):
            watch.say(note)
        watch.say(str(placement))
        if placement.crew.actors < (settings.placement.evaluation_actors or 0):
            watch.say(f"{settings.placement.evaluation_actors} actors are asked for, and there are not so many CPUs")
        watch.say(f"curves: tensorboard --logdir {shlex.quote(str(folder / FOLDER))}")
        if settings.space is not None:
            watch.say(f"search: optuna-dashboard {shlex.quote(str(folder / JOURNAL))}")
        shared = TrialSettings(
            trajectories=ray.put(trajectories),
            config=plan.config,
            variants=plan.variants,
            seeds=settings.training_seeds,
            episodes=settings.episodes,
            evaluations=settings.evaluations,
            placement=placement.trial,
            crew=placement.crew,
            folder=folder,
            board=board,
        )
        grid = _tuner(name, settings, shared, watch.say).fit()
        with _keeps_what_was_trained(folder):
            results, trials = gather_results(folder, watch.say), gather_trials(grid, name, settings, shared.configure)
            if len(trials) < count or "unfinished" in set(trials["status"]):
                raise MageError(f"the sweep of {name} was interrupted; nothing is lost: repeat it with --resume")
            watch.settle(ended_trials(trials))
            for trial in trials.loc[trials["status"] == "stopped", "trial_id"]:
                drop_checkpoints(folder, trial)
            patiently(partial(_write, results, trials, folder, watch.say), watch.say)


@contextmanager
def _keeps_what_was_trained(folder: Path) -> Iterator[None]:
    """Inside, tables are made; whatever goes wrong there, the user hears where the episodes are, and what to do."""
    try:
        yield
    except MageError:
        raise
    except Exception as error:
        raise MageError(
            f"the tables of {folder} cannot be made: {type(error).__name__}: {sentence_of(error)}; all episodes are in "
            f"{folder / 'episodes'}: `mage results show {folder}` shows them, and --resume makes the tables again"
        ) from error


def _write(results: pd.DataFrame, trials: pd.DataFrame, folder: Path, say: Say) -> None:
    """The tables and the plot; the results last, for they say that all is done."""
    write_parquet(trials, folder / "trials.parquet")
    try:
        _plot(trials, folder / "scores.png")
    except (MageError, OSError):
        raise
    except Exception as error:  # of whatever class, from matplotlib: the tables do not need it
        say(f"{folder / 'scores.png'} cannot be drawn: {sentence_of(error)}; the tables are made without it")
    write_parquet(results, folder / "results.parquet")


def _is_done(folder: Path) -> bool:
    """Whether nothing is left to do for a scenario; trials that failed, for want of space, say, are tried again."""
    if not (folder / "results.parquet").exists():
        return False
    try:
        load(folder / "results.parquet")
        return "failed" not in set(load_trials(folder / "trials.parquet")["status"])
    except MageError:  # damaged: they are made again
        return False


def _room(plan: Plan, settings: SweepSettings) -> Callable[[], int]:
    """Counts how many trials such as this plan's the cluster takes now, however many there are of them.

    Raises:
        MageError: not even one.
    """
    trial = _place(plan, settings).trial
    return lambda: trials_at_once(alive_nodes(), trial, sys.maxsize, settings.placement)


def _place(plan: Plan, settings: SweepSettings) -> SweepPlacement:
    """What runs where of a scenario's trials; MageError where the cluster has no room for one."""
    return fit_to_cluster(plan.trials, settings.workers, settings.placement, plan.config.training.device)


def _tuner(name: str, settings: SweepSettings, shared: TrialSettings, say: Say) -> tune.Tuner:
    """A new Tuner, or the one that was at work in this folder when its driver died."""
    # the driver of a trial takes no CPU: its training workers and evaluation actors do
    trainable = tune.with_resources(tune.with_parameters(run_trial, settings=shared), {"node:__internal_head__": 0.001})
    if can_go_on(shared.folder, settings.space is not None, say):
        return tune.Tuner.restore(str(shared.folder / TUNE), trainable=trainable, resume_errored=True)
    shared.folder.mkdir(parents=True, exist_ok=True)
    callbacks = [Progress(), JsonLoggerCallback(), CSVLoggerCallback()]
    run_config = tune.RunConfig(name=TUNE, storage_path=str(shared.folder), callbacks=callbacks, verbose=0)
    # a process that has ended a trial has all that the next one imports: 7 s of a core
    tune_config = partial(tune.TuneConfig, metric=METRIC, mode="max", reuse_actors=True)
    if settings.space is None:
        tried: dict[str, Any] = {VARIANT: tune.grid_search(list(shared.variants or ()))}
        every_one = tune_config(search_alg=NamedTrials())
        return tune.Tuner(trainable, param_space=tried, tune_config=every_one, run_config=run_config)
    search = make_search(name, starting_point(settings.space, shared.config), settings.search_seed)
    proposed = tune_config(
        num_samples=settings.trials,
        search_alg=CountedTrials(ProposedTrials(search, FollowsCluster.limit())),
        scheduler=make_scheduler(settings.evaluations),
    )
    return tune.Tuner(trainable, param_space=to_tune(settings.space), tune_config=proposed, run_config=run_config)


def _plot(trials: pd.DataFrame, path: Path) -> None:
    """Score against what was varied: fields, or variants by name."""
    if VARIANT in trials.columns:
        plot_variants(trials.assign(**{VARIANT: trials[VARIANT].map(short_name)}), path)
    else:
        plot_parameters(trials, path)
