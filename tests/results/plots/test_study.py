"""Optuna's pictures of studies that are made here, by Optuna itself."""

from collections.abc import Callable

import optuna
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from mage.errors import MageError
from mage.results.plots.study import draw_importance, draw_parallel

FIELDS: dict[str, BaseDistribution] = {
    "transformer.depth": CategoricalDistribution([1, 2, 3]),
    "training.rate": FloatDistribution(1e-4, 1e-1, log=True),
    "policy.fixed": CategoricalDistribution(["only"]),
}


def study_of(scores: list[float | None], rates: list[float]) -> optuna.Study:
    """A trial a score; one without a score has failed."""
    study = optuna.create_study(direction="maximize", study_name="maze2d-umaze")
    for number, (score, rate) in enumerate(zip(scores, rates, strict=True)):
        params = {"transformer.depth": 1 + number % 3, "training.rate": rate, "policy.fixed": "only"}
        state = TrialState.FAIL if score is None else TrialState.COMPLETE
        study.add_trial(create_trial(params=params, distributions=FIELDS, value=score, state=state))
    return study


GOOD = study_of([1.0, 2.0, None, 4.0, 8.0, 9.0], [1e-3, 2e-3, 3e-3, 4e-3, 8e-3, 1e-2])


def test_a_line_a_trial_goes_through_its_score_and_the_fields_that_vary() -> None:
    figure = draw_parallel(GOOD, "maze")
    axes, *_ = figure.axes
    (lines,) = axes.collections
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "score",
        "training\nrate",
        "transformer\ndepth",
    ]
    assert sorted(segment[0, 1] for segment in lines.get_segments()) == [1.0, 2.0, 4.0, 8.0, 9.0]  # type: ignore[attr-defined]
    depths = next(panel for panel in figure.axes if [t.get_text() for t in panel.get_yticklabels()] == ["1", "2", "3"])
    assert depths.spines["right"].get_position() == ("axes", 1.0)
    rates = next(panel for panel in figure.axes if panel.get_yscale() == "log")
    assert rates.get_ylim() == pytest.approx((1e-3, 1e-2))
    assert axes.get_title() == "maze: 5 trials"


def test_importances_are_shares_of_the_fields_that_vary() -> None:
    (axes,) = draw_importance(GOOD, "maze").axes
    assert {label.get_text() for label in axes.get_yticklabels()} == {"training.rate", "transformer.depth"}
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(1.0)  # type: ignore[attr-defined]
    assert (axes.get_title(), axes.get_title(loc="left")) == ("maze: 5 trials", "")


@pytest.mark.parametrize("draw", [draw_parallel, draw_importance])
def test_what_says_nothing_is_refused_in_words_and_pyplot_keeps_nothing(
    draw: Callable[[optuna.Study, str], Figure],
) -> None:
    with pytest.raises(MageError, match=r"1 trial.*have ended, and 2 at least"):
        draw(study_of([1.0, None], [1e-3, 1e-2]), "maze")
    same = optuna.create_study(study_name="same")
    for score in (1.0, 2.0):
        only = {"policy.fixed": "only"}
        same.add_trial(create_trial(params=only, distributions={"policy.fixed": FIELDS["policy.fixed"]}, value=score))
    with pytest.raises(MageError, match="no field of same has two values in its 2 trials"):
        draw(same, "maze")
    style = dict(pyplot.rcParams)
    draw(GOOD, "maze")
    assert pyplot.get_fignums() == []
    assert dict(pyplot.rcParams) == style


def test_where_all_scores_are_one_no_field_matters() -> None:
    with pytest.raises(MageError, match="all 3 trials of maze have one score"):
        draw_importance(study_of([2.0, 2.0, 2.0], [1e-3, 2e-3, 3e-3]), "maze")
