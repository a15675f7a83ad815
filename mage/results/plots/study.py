"""Optuna's own pictures of a study: parallel coordinates, and how much each swept field matters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from mage.errors import MageError
from mage.results.plots.style import finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna import Study

FEWEST_TRIALS = 2
"""That a line or an importance can be told from."""


def draw_parallel(study: Study, title: str) -> Figure:
    """A line a trial through the values of its fields, the darker the better (`plot_parallel_coordinate`).

    Args:
        study: of a sweep; its values are scores.
        title: names the scenario.

    Raises:
        MageError: fewer than two trials have ended.
    """
    fields = _varied(study)

    def draw() -> Axes:
        from optuna.visualization import matplotlib as pictures

        return pictures.plot_parallel_coordinate(study, params=fields, target_name="score")

    with _drawn_by(draw) as axes:
        figure = cast("Figure", axes.figure)
        figure.set_size_inches(max(5.5, 2.6 * len(fields) + 1.8), 4.0)
        labels = ["score", *map(_below_each_other, sorted(fields))]
        axes.set_xticks(range(len(labels)), labels, rotation=0, fontsize="small")
        axes.set_title(f"{title}: {len(_ended(study))} trials", fontsize="medium", pad=12)
        (lines,) = axes.collections
        lowest, highest = lines.get_clim()
        lines.set_clim(lowest - 0.4 * (highest - lowest), highest)  # the worst trial would be white on white
        lines.set_clip_on(False)
        for panel in figure.axes:
            panel.tick_params(axis="y", which="both", labelsize="small")
        return figure


def draw_importance(study: Study, title: str) -> Figure:
    """A bar a swept field: its share in what makes scores differ (`plot_param_importances`, PED-ANOVA in Optuna 5).

    Args:
        study: of a sweep; its values are scores.
        title: names the scenario.

    Raises:
        MageError: fewer than two trials have ended, no field has two values, or all scores are one number.
    """
    fields, trials = _varied(study), _ended(study)
    if len({trial.value for trial in trials}) == 1:
        raise MageError(f"all {len(trials)} trials of {title} have one score: no field matters more than another")

    def draw() -> Axes:
        from optuna.visualization import matplotlib as pictures

        return pictures.plot_param_importances(study, params=fields)

    with _drawn_by(draw) as axes:
        figure = cast("Figure", axes.figure)
        figure.set_size_inches(6.4, 1.2 + 0.4 * len(fields))
        axes.set_title("", loc="left")
        axes.set_facecolor("white")
        finish(axes, f"{title}: {len(trials)} trials")
        axes.set_xlabel("importance for the score (all sum to 1)", fontsize="small")
        axes.set_ylabel("")
        if legend := axes.get_legend():
            legend.remove()
        return figure


def _ended(study: Study) -> list[Any]:
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE,))


def _varied(study: Study) -> list[str]:
    """The fields that all trials have and that took two values at least; MageError where a picture would say nothing.

    Optuna draws what has one value as a line that hides the others.
    """
    trials = _ended(study)
    if len(trials) < FEWEST_TRIALS:
        raise MageError(
            f"{len(trials)} trial(s) of {study.study_name} have ended, and {FEWEST_TRIALS} at least are wanted; "
            "`mage results status` shows how far the sweep is"
        )
    common = set.intersection(*(set(trial.params) for trial in trials))
    fields = sorted(field for field in common if len({str(trial.params[field]) for trial in trials}) > 1)
    if not fields:
        raise MageError(
            f"no field of {study.study_name} has two values in its {len(trials)} trials that have ended: there is "
            "nothing to compare"
        )
    return fields


@contextmanager
def _drawn_by(draw: Callable[[], Axes]) -> Iterator[Axes]:
    """What Optuna draws through pyplot: with its style undone afterwards, and nothing left in pyplot's list."""
    import optuna
    from matplotlib import pyplot

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # that these functions are experimental
            pyplot.rc_context({"figure.constrained_layout.use": True, "figure.dpi": 150}),
        ):
            axes = draw()
            figure = cast("Figure", axes.figure)
            figure.set_dpi(150)
            pyplot.close(figure)
            yield axes
    finally:
        optuna.logging.set_verbosity(before)


def _below_each_other(field: str) -> str:
    return field.replace(".", "\n")
