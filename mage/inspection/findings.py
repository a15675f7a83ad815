"""What the numbers of an inspection suggest, in plain words, each with the number that supports it.

Hints, not verdicts: the thresholds are judgement, and a policy may score well in spite of any of them. What an
algorithm says of its own numbers comes from its `explain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import stdev
from typing import Any

from mage import registry
from mage.errors import MageError
from mage.interface.explanation import Explanation, Finding, finding, own_row

IN_NOISE = 2.0
"""Standard errors of a difference of two means."""
STILL_LEARNING = 0.1
"""Fall of the loss over the last quarter of a stage."""
FEASIBLE = 50.0
"""Of the states (%), those at which the target is no higher than what the data has nearly at best done there."""
MANY_SUCCESSES, LOW_SCORE = 80.0, 60.0
"""Success rate (%) and score that do not go together."""


def findings(inspection: Mapping[str, Any]) -> list[Finding]:
    """Name, value and sentence of all that stands out; what bears on the score most directly comes first."""
    found = list(_of_rollouts(inspection, inspection["rollouts"])) if inspection["rollouts"] else []
    found += _of_feasibility(inspection)
    return [*found, *explanation_of(inspection).findings, *_of_stages(inspection["stages"])]


def asked_for(inspection: Mapping[str, Any]) -> str:
    """What is asked of it, in a word: return or advantage. Version 0.1 does not say, and knew returns only."""
    return inspection.get("asks") or "return"


def explanation_of(inspection: Mapping[str, Any]) -> Explanation:
    """What the algorithm says of its own numbers; nothing where it is not installed."""
    try:
        return registry.get(inspection["algorithm"], from_disk=True).explain(inspection)
    except MageError:
        return Explanation()


def _of_rollouts(inspection: Mapping[str, Any], rollouts: Mapping[str, Any]) -> Iterator[Finding]:
    own, measure = own_row(inspection), rollouts["measure"]
    if own is None:
        return
    reference = inspection["dataset"]["score_mean" if measure == "score" else "return_mean"]
    error = own[f"{measure}_standard_error"] or 0.0
    if reference is not None and own[measure] < reference - IN_NOISE * error:
        text = f"{measure} {own[measure]:.1f} is below the mean of the data, {reference:.1f}"
        yield finding("below_the_data", own[measure], text)
    success = own["success_rate"]
    if measure == "score" and success is not None and success >= MANY_SUCCESSES and own["score"] < LOW_SCORE:
        text = f"{success:.0f} % of episodes succeed but the score is {own['score']:.1f}: slow, or does not stay there"
        yield finding("succeeds_but_scores_low", success, text)
    yield from _of_scan(inspection, rollouts, own)


def _of_scan(inspection: Mapping[str, Any], rollouts: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Finding]:
    if own["target"] is None:
        yield finding(
            "no_target", None, f"{inspection['algorithm']} is not asked for a return: there is nothing to scan"
        )
        return
    measure, scan = rollouts["measure"], rollouts["scan"]
    if not inspection["sees_return"]:
        yield finding("return_is_no_input", None, "the return is no input of this configuration: the scan shows noise")
    asked = asked_for(inspection)
    if len(scan) < 2:
        text = f"all quantiles of the training {asked}s are one number ({own['target']:.4g}): nothing to condition on"
        yield finding("one_target", own["target"], text)
        return
    low, high, best = scan[0], scan[-1], max(scan, key=lambda row: row[measure])
    worst = min(scan, key=lambda row: row[measure])
    spread, noise = best[measure] - worst[measure], _error(best, worst, measure)
    told = f"targets {low['target']:.4g}..{high['target']:.4g}"
    if inspection["sees_return"] and spread <= IN_NOISE * noise:
        text = (
            f"the target {asked} hardly matters, or {rollouts['episodes']} episodes are too few to tell: {measure}s "
            f"{worst[measure]:.1f}..{best[measure]:.1f} over {told}, standard error of the difference {noise:.1f}"
        )
        yield finding("target_hardly_matters", spread, text)
    elif high[measure] < low[measure] - IN_NOISE * _error(low, high, measure):
        text = f"asking for more gives less: {measure} {low[measure]:.1f} at the lowest, {high[measure]:.1f} at the "
        yield finding("more_gives_less", high[measure] - low[measure], text + f"highest of the {told}")
    if best is not own and best[measure] > own[measure] + IN_NOISE * _error(best, own, measure):
        where = ", ".join(f"{quantile:g}" for quantile in best["quantiles"])
        text = (
            f"another target does better: {best[measure]:.1f} at {best['target']:.4g} (quantile {where}), "
            f"{own[measure]:.1f} at its own {own['target']:.4g}; try evaluation.target_return_quantile"
        )
        yield finding("another_target_is_better", best[measure] - own[measure], text)


def _of_feasibility(inspection: Mapping[str, Any]) -> Iterator[Finding]:
    ceiling, own = inspection.get("ceiling"), own_row(inspection)
    if not ceiling:
        return
    visited = own.get("feasible") if own is not None else None
    share = ceiling["feasible"] if visited is None else visited
    if share >= FEASIBLE:
        return
    there = "" if visited is None else f"{100 - visited:.0f} % of the states it visits and "
    text = (
        f"the target {asked_for(inspection)} {inspection['target_return']:.4g} is beyond the data at {there}"
        f"{100 - ceiling['feasible']:.0f} % of the data's states (above the 95 % quantile of what followed there): "
        "what it does then is extrapolation"
    )
    yield finding("target_is_infeasible", share, text)


def _of_stages(stages: list[Mapping[str, Any]]) -> Iterator[Finding]:
    for stage in stages:
        fall = stage["fall_at_end"]
        if fall is not None and fall > STILL_LEARNING:
            text = (
                f"{stage['stage']} was still learning when it ended: its loss fell by {100 * fall:.0f} % over the last "
                f"quarter of {stage['steps']} steps; try more"
            )
            yield finding("still_learning", fall, text)


def _error(one: Mapping[str, Any], other: Mapping[str, Any], measure: str) -> float:
    """Standard error of the difference of two rows of a scan: their episodes have the same seeds, pair by pair."""
    pairs = zip(one["episodes"][measure], other["episodes"][measure], strict=True)
    differences = [first - second for first, second in pairs]
    return stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("inf")
