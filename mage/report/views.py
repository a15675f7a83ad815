"""The pictures that there are of runs, by name: what each needs is read, and drawn by `mage.results.plots`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mage.errors import MageError
from mage.evaluation.latency import cpu_name
from mage.files import Say, as_path
from mage.inspection.findings import asked_for, explanation_of
from mage.report.policy_views import draw_walks, time_steps
from mage.report.run_files import RunFiles, read_files
from mage.results import budget, load, load_failures, load_trials, method_table, profile
from mage.results.plots.curves import draw_curves
from mage.results.plots.inspections import Asked, draw_code_use, draw_targets
from mage.results.plots.latency import draw_latency
from mage.results.plots.parameters import draw_parameters
from mage.results.plots.profiles import draw_profiles
from mage.results.plots.scores import draw_budget, draw_intervals
from mage.results.plots.study import draw_importance, draw_parallel
from mage.results.plots.style import FORMS, check_form, save
from mage.results.plots.variants import draw_variants
from mage.results.store import TRIAL_COLUMNS
from mage.search.study import load_studies
from mage.words import short_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_DRAWN = 60
"""Trainings whose loss curves, or inspections, are in one picture."""


@dataclass(frozen=True)
class Runs:
    """What lies at a location; each part is read when it is first asked for.

    Attributes:
        location: as for `mage.results.load`.
        by: the column that names the methods, as for `mage.results.runs`.
        seed: of the resampling.
        episodes: that are played where a picture wants some.
    """

    location: str | Path
    by: str | None = None
    seed: int = 0
    episodes: int = 10

    @cached_property
    def results(self) -> pd.DataFrame:
        """A row an episode."""
        return load(self.location)

    @cached_property
    def failures(self) -> pd.DataFrame:
        """A row a training that failed."""
        return load_failures(self.location, self.results)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row a trial of a sweep; MageError outside of sweeps."""
        return load_trials(self.location)

    @property
    def trials_if_any(self) -> pd.DataFrame:
        """The same, without a row outside of sweeps."""
        with suppress(MageError):
            return self.trials
        return pd.DataFrame(columns=list(TRIAL_COLUMNS))

    @property
    def is_scored(self) -> bool:
        """Whether something normalises the return of an episode."""
        return bool(self.results["normalized_score"].notna().any())

    @cached_property
    def files(self) -> RunFiles:
        """What lies beside the tables."""
        return read_files(self.location)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row a method and scenario."""
        return method_table(self.results, self.by, self.failures, seed=self.seed)

    @property
    def folder(self) -> Path:
        """The location, for what is read on this machine only; MageError where it is no folder here."""
        if "://" in str(self.location) or not (folder := as_path(self.location)).is_dir():
            raise MageError(f"{self.location} is no folder on this machine, which this picture is drawn from")
        return folder

    @property
    def policies(self) -> list[str]:
        """Folders of the policies, relative to the location; MageError where there is none."""
        if not self.files.policies:
            raise MageError(f"there is no policy at or below {self.location}; training writes policy.json at its end")
        return [folder for folder in self.files.policies if "checkpoint_" not in folder]

    def name_of(self, folder: str) -> str:
        """Of a run, in legends: its place below the location, or the location itself."""
        return Path(self.location).name if folder == "." else folder

    @property
    def curves(self) -> Mapping[str, list[dict[str, object]]]:
        """The losses of at most `MOST_DRAWN` trainings."""
        return dict(list(self.files.curves.items())[:MOST_DRAWN])

    @property
    def inspections(self) -> Mapping[str, dict[str, Any]]:
        """Those of at most `MOST_DRAWN` policies."""
        return dict(list(self.files.inspections.items())[:MOST_DRAWN])


def curves(runs: Runs) -> Figure:
    """Learning curves of all stages: a panel a stage, a line a training."""
    return draw_curves(runs.curves)


def intervals(runs: Runs) -> Figure:
    """Scores with their 95 % bootstrap intervals: a panel a scenario, a point a method."""
    return draw_intervals(runs.cells)


def profiles(runs: Runs) -> Figure:
    """Performance profiles: the share of each method's runs above every score."""
    return draw_profiles(profile(runs.results, by=runs.by, seed=runs.seed, failures=runs.failures))


def fields(runs: Runs) -> Figure:
    """Score against each swept field: a panel a field and scenario, a point a trial."""
    return draw_parameters(runs.trials.drop(columns="variant", errors="ignore"))


def variants(runs: Runs) -> Figure:
    """Scores of named variants: a panel a scenario, a line a variant."""
    if "variant" not in runs.trials.columns:
        raise MageError(f"there is nothing to plot: no sweep at {runs.location} has variants; --kind fields draws it")
    named = runs.trials.dropna(subset=["variant"])
    return draw_variants(named.assign(variant=named["variant"].map(short_name)))


def tuning(runs: Runs) -> Figure:
    """What tuning buys: the expected best score of so many configurations."""
    return draw_budget(budget(runs.trials))


def targets(runs: Runs) -> Figure:
    """Measured return over the target: a panel a scenario, a line a policy, of what `mage inspect` has played."""
    scans: dict[Asked, dict[str, Any]] = {}
    for folder, inspection in runs.inspections.items():
        if inspection["rollouts"]:
            task = runs.files.policies.get(folder, {}).get("task") or {}
            asked = Asked(inspection["scenario"], float(task.get("discount", 1.0)), asked_for(inspection))
            own = scans.setdefault(asked, {})
            own[runs.name_of(folder)] = inspection["rollouts"]["scan"]
    return draw_targets(dict(sorted(scans.items())))


def codes(runs: Runs) -> Figure:
    """How much of its codebook each scale uses, and the perplexity of its tokens: a colour a policy."""
    return draw_code_use(
        {runs.name_of(folder): explanation_of(own).code_use for folder, own in runs.inspections.items()}
    )


def latency(runs: Runs) -> Figure:
    """Milliseconds a step over score: a panel a scenario, a point an algorithm; steps are timed on this machine."""
    table = time_steps(runs.results, runs.failures, runs.folder, runs.policies)
    return draw_latency(table, cpu_name())


VIEWS: Mapping[str, Callable[[Runs], Figure]] = {
    "curves": curves,
    "fields": fields,
    "variants": variants,
    "budget": tuning,
    "intervals": intervals,
    "profiles": profiles,
    "targets": targets,
    "codes": codes,
    "latency": latency,
}
"""Kind -> what draws it; the docstring of each says what it shows."""

Drawn = Iterator[tuple[str, Callable[[], "Figure"]]]
"""Names, and what draws the picture of each."""


def parallel(runs: Runs) -> Drawn:
    """Parallel coordinates of a sweep, by Optuna: a line a trial."""
    for name, study in load_studies(runs.folder).items():
        yield name, partial(draw_parallel, study, name)


def importance(runs: Runs) -> Drawn:
    """How much each swept field matters for the score, by Optuna."""
    for name, study in load_studies(runs.folder).items():
        yield name, partial(draw_importance, study, name)


def mazes(runs: Runs) -> Drawn:
    """Trajectories in a maze, and what is planned along the way, decoded coarse to fine; policies are played for it."""
    for folder in runs.policies:
        yield runs.name_of(folder), partial(draw_walks, runs.folder / folder, runs.episodes)


SERIES: Mapping[str, Callable[[Runs], Drawn]] = {"parallel": parallel, "importance": importance, "mazes": mazes}
"""Kind -> what draws a picture for each scenario or run."""

KINDS = (*VIEWS, *SERIES)


def plot(runs: Runs, kind: str, to: str | Path | None = None, say: Say = print) -> list[Path]:
    """Draws runs and writes the picture, or the pictures, of that kind. Nothing is written before all are drawn.

    Args:
        kind: of `KINDS`.
        to: a file that ends in .png, .svg or .pdf, or a folder; by default `KIND.png` here. Of several pictures each
            has its name before the ending.
        say: is told of those that cannot be drawn, where others can.

    Returns:
        The files.

    Raises:
        MageError: there is no such kind, there is nothing to draw, or a file cannot be written.
    """
    if kind not in KINDS:
        raise MageError(f"no picture is called {kind!r}; there are {', '.join(KINDS)}")
    path = file_of(kind, to)
    if kind in VIEWS:
        save(VIEWS[kind](runs), path)
        return [path]
    figures, failures = {}, []
    for name, draw in SERIES[kind](runs):
        try:
            figures[name] = draw()
        except MageError as error:
            failures.append(error)
    if failures and not figures:
        raise failures[0]
    for failure in failures:
        say(f"not drawn: {failure}")
    files = {path if len(figures) == 1 else _beside(path, name): figure for name, figure in figures.items()}
    for file, figure in files.items():
        save(figure, file)
    return list(files)


def file_of(kind: str, to: str | Path | None) -> Path:
    """Where a picture goes; MageError where no picture can be written there."""
    path = as_path(to) if to else Path(f"{kind}.png")
    if path.is_dir() or not path.suffix:
        path = path / f"{kind}{FORMS[0]}"
    check_form(path)
    return path


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.stem}-{name.replace('/', '-')}{path.suffix}")


def swept_fields(trials: pd.DataFrame) -> list[str]:
    """What a sweep has varied."""
    return [str(name) for name in trials.columns if name not in TRIAL_COLUMNS]
