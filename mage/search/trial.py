"""One trial of a sweep: one configuration x N training seeds, trained on Ray Train workers, evaluated by actors.

The score of a trial is the mean over training seeds of the mean normalised score of their episodes (the mean return
where no reference scores are known).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import ray
from ray import tune
from ray.train import Checkpoint
from ray.train.v2.api.callback import UserCallback

from mage.config import AlgorithmConfig, make_config, with_field
from mage.data.trajectories import Trajectories
from mage.errors import MageError
from mage.evaluation.episodes import evaluate_policies, play_batch
from mage.evaluation.inspection import add_rollouts
from mage.evaluation.ray_actors import EvaluationActors
from mage.evaluation.recording import Recording, write_episodes
from mage.evaluation.rollout import without_failures
from mage.evaluation.work import do_all
from mage.files import patiently
from mage.interface import Policy
from mage.progress.ray_board import Message, Teller
from mage.results import load
from mage.search.placement import Crew
from mage.training.artefacts import artefacts_folder
from mage.training.ray_train import Placement, train_with_ray
from mage.training.trainer import save_run

METRIC, TIME, VARIANT = "score", "eval_step", "variant"
TRAINING = "training"


@dataclass(frozen=True)
class TrialSettings:
    """What all trials of a scenario share; `variants` are the configurations by name, where the trials are named."""

    trajectories: ray.ObjectRef[Trajectories]
    config: AlgorithmConfig
    variants: Mapping[str, AlgorithmConfig] | None
    seeds: tuple[int, ...]
    episodes: int | None
    evaluations: int
    placement: Placement
    crew: Crew
    folder: Path
    board: Any

    @property
    def teller(self) -> Teller:
        """Tells of the trial that runs here."""
        return Teller(self.board, tune.get_context().get_trial_id())

    def configure(self, point: Mapping[str, Any]) -> AlgorithmConfig:
        """The configuration of a trial: the variant of that name, or the common one with the point's fields set."""
        if self.variants is not None:
            return self.variants[point[VARIANT]]
        return with_point(self.config, point)


class ForwardEvaluations(UserCallback):
    """Passes the reports that carry a score on to Tune; a report without one would end the whole experiment.

    Ray's own TuneReportCallback starts a process for a queue, for controllers that run elsewhere.
    """

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None) -> None:
        """Called in the trial's process when all workers have reported."""
        if METRIC in metrics[0]:
            tune.report(metrics[0])


def run_trial(point: Mapping[str, Any], settings: TrialSettings) -> None:
    """Trains, evaluates and reports one configuration.

    Episodes and policies are named by the configuration, so one that Optuna proposes twice is not trained twice;
    training is named by the trial, so a trial that was interrupted goes on where it was.
    """
    config = settings.configure(point)
    episodes = settings.folder / "episodes" / f"{config.hash()}.parquet"
    results = played_before(episodes, settings.teller.complain)
    if results is None:
        results, recording = _train_and_evaluate(config, point, settings)
        keep(partial(write_episodes, episodes, results, recording), settings)
    drop_checkpoints(settings.folder, tune.get_context().get_trial_id())
    tune.report(measure(results) | {TIME: settings.evaluations + 1, "config_hash": config.hash()})


def played_before(episodes: Path, say: Callable[[str], None]) -> pd.DataFrame | None:
    """What an equal configuration has played; None where there is nothing, or nothing that can be read."""
    if not episodes.exists():
        return None
    try:
        return load(episodes)
    except MageError as error:
        say(f"{error}; this configuration is trained again")
        return None


def _train_and_evaluate(
    config: AlgorithmConfig, point: Mapping[str, Any], settings: TrialSettings
) -> tuple[pd.DataFrame, Recording | None]:
    trial, teller = tune.get_context().get_trial_id(), settings.teller
    trained = train_with_ray(
        settings.trajectories,
        config,
        settings.seeds,
        name=trial,
        storage=settings.folder / TRAINING,
        placement=settings.placement,
        artefacts=artefacts_folder(settings.folder),
        board=settings.board,
        trial=trial,
        evaluations=settings.evaluations,
        score=intermediate_score,
        callbacks=[ForwardEvaluations()],
    )
    actors, gpus = settings.crew.actors, settings.crew.gpus
    teller.tell(Message(f"trained; {actors} actor(s) evaluate it", doing="evaluating"))
    policies = [run.policy for run in trained]
    folders = [settings.folder / "policies" / config.hash() / f"seed-{seed}" for seed in settings.seeds]
    for folder, run in zip(folders, trained, strict=True):
        keep(partial(save_run, folder, run), settings)
    recordings: list[Recording] = []
    with EvaluationActors(actors, gpus) as crew:
        results = evaluate_policies(
            policies,
            settings.episodes,
            crew,
            extra=point,
            tell=partial(tell_of_evaluation, teller),
            say=teller.complain,
            keep=recordings.append if config.evaluation.recording else None,
        )
        teller.tell(Message(doing="playing other target returns"))
        scanned = config.evaluation.inspection_episodes
        writes: list[Callable[[], None]] = []
        add_rollouts(folders, policies, scanned, crew, writes.append)
    for write in writes:  # a disk may be waited for, and the actors hold CPUs
        patiently(write, teller.complain)
    return results, recordings[0] if recordings else None


def drop_checkpoints(folder: Path, trial: str) -> None:
    """Removes what a trial that has ended would have gone on from: gigabytes, with the networks of the paper."""
    shutil.rmtree(folder / TRAINING / trial, ignore_errors=True)


def keep(write: Callable[[], None], settings: TrialSettings) -> None:
    """Writes what a trial leaves; a disk that is full or away for a while is told of and waited for."""

    def write_there() -> None:
        # where a disk is not mounted, its folder is there all the same, and all that is written into it is lost
        if not (settings.folder.parent / "sweep.json").exists():
            raise OSError(f"the run directory is not there: {settings.folder.parent}")
        write()

    patiently(write_there, settings.teller.complain)


def tell_of_evaluation(teller: Teller, done: int, batches: int, an_actor_died: bool) -> None:
    """Tells how far the evaluation of a trial is."""
    teller.tell(Message(doing=f"evaluating {done}/{batches}"))
    if an_actor_died:
        teller.complain("an evaluation actor died and was started again; its episodes were played again")


def intermediate_score(policies: list[Policy]) -> float:
    """Mean over seeds of a short evaluation, for the scheduler; played in the training worker itself."""
    settings = policies[0].config.evaluation
    play = partial(play_batch, episodes=range(settings.intermediate_episodes))
    together = min(settings.batch_size, settings.intermediate_episodes)
    played = do_all(policies, [(number, play) for number in range(len(policies))], together)
    rows = without_failures([row for some in played for row in some])
    column = "normalized_score" if policies[0].task.has_scores else "return"
    return float(np.mean([row[column] for row in rows]))


def with_point(config: AlgorithmConfig, point: Mapping[str, Any]) -> AlgorithmConfig:
    """The configuration with the point's fields set."""
    data: Mapping[str, Any] = config.model_dump(mode="json")
    for field, value in point.items():
        data = with_field(data, field, value)
    return make_config(data)


def measure(results: pd.DataFrame) -> dict[str, float]:
    """Score, its standard error over training seeds, and success rate (%) of one configuration's episodes."""
    column = "return" if results["normalized_score"].isna().all() else "normalized_score"
    per_seed = results.groupby("training_seed")[column].mean().to_numpy()
    success = results["success"].astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    many = len(per_seed) > 1
    return {
        METRIC: float(per_seed.mean()),
        "score_standard_error": float(per_seed.std(ddof=1) / np.sqrt(len(per_seed))) if many else float("nan"),
        "success_rate": 100.0 * float(success.mean()),
    }
