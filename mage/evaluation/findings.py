"""What the numbers of an inspection suggest, in plain words, each with the number that supports it.

Hints, not verdicts: the thresholds are judgement, and a policy may score well in spite of any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from statistics import stdev
from typing import Any

Z_MATTERS = 0.1
"""Shuffling Z should raise the action error by at least this share of it."""
LEANS_ON_STATE = 0.6
"""Of the variance of the actions: an error below it with the Z of another window comes from s_0."""
USELESS_ACTION_ERROR = 0.9
"""Of the variance of the actions: at or above it, the action of a generated Z is hardly better than a constant."""
NOISE_RATIO, NOISE_SHARE = 3.0, 0.1
"""Generated Z is much worse than true Z where its error is so many times that, and this share of the variance."""
POOR_RECONSTRUCTION = 0.3
"""Of the error of guessing the mean."""
SCALE_MATTERS = 0.02
"""A scale should lower the reconstruction error by at least this share."""
FEW_CODES, FEW_CODES_IN_A_SCALE = 50.0, 2.0
"""Codes used of the whole codebook (%); perplexity of one scale."""
SHUFFLE_NOTICED = 0.2
"""Decoded with the Z of another window, the condition should be that window's: at least this share of its distance."""
COARSE_STATE = 0.2
"""Error of s_0 as decoded from true Z."""
OFF_DATA_RATIO, OFF_DATA_ERROR = 4.0, 0.1
"""Visited states are called off the data where they are so many times as badly decoded, and at least so badly."""
TARGET_MOVES_ACTIONS = 0.02
"""Of the variance of the actions: what going from a low to the highest target should change."""
IN_NOISE = 2.0
"""Standard errors of a difference of two means."""
STILL_LEARNING = 0.1
"""Fall of the loss over the last quarter of a stage."""
MANY_SUCCESSES, LOW_SCORE = 80.0, 60.0
"""Success rate (%) and score that do not go together."""

Finding = dict[str, Any]


def findings(inspection: Mapping[str, Any]) -> list[Finding]:
    """Name, value and sentence of all that stands out; what bears on the score most directly comes first."""
    found = list(_of_rollouts(inspection, inspection["rollouts"])) if inspection["rollouts"] else []
    if inspection["data"]:
        data = inspection["data"]
        found += [*_of_actions(inspection, data["actions"]), *_of_condition(data), *_of_scales(data)]
    return found + list(_of_stages(inspection["stages"]))


def own_row(inspection: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The row of the scan at the target that the policy is evaluated with."""
    rows = inspection["rollouts"]["scan"] if inspection.get("rollouts") else []
    return next((row for row in rows if row["own"]), None)


def best_gap(condition: Mapping[str, Any]) -> Mapping[str, Any]:
    """What L_cond looks at: the gap by D' where there are adapters, else by D."""
    gap: Mapping[str, Any] = condition["adapted"] or condition["plain"]
    return gap


def _of_rollouts(inspection: Mapping[str, Any], rollouts: Mapping[str, Any]) -> Iterator[Finding]:
    own, measure = own_row(inspection), rollouts["measure"]
    if own is None:
        return
    reference = inspection["dataset"]["score_mean" if measure == "score" else "return_mean"]
    error = own[f"{measure}_standard_error"] or 0.0
    if reference is not None and own[measure] < reference - IN_NOISE * error:
        text = f"{measure} {own[measure]:.1f} is below the mean of the data, {reference:.1f}"
        yield _finding("below_the_data", own[measure], text)
    success = own["success_rate"]
    if measure == "score" and success is not None and success >= MANY_SUCCESSES and own["score"] < LOW_SCORE:
        text = f"{success:.0f} % of episodes succeed but the score is {own['score']:.1f}: slow, or does not stay there"
        yield _finding("succeeds_but_scores_low", success, text)
    yield from _of_scan(inspection, rollouts, own)
    yield from _of_visits(inspection, own)


def _of_scan(inspection: Mapping[str, Any], rollouts: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Finding]:
    if own["target"] is None:
        yield _finding("no_target", None, "behaviour cloning has no target return: there is nothing to scan")
        return
    measure, scan = rollouts["measure"], rollouts["scan"]
    if not inspection["sees_return"]:
        yield _finding("return_is_no_input", None, "the return is no input of this configuration: the scan shows noise")
    if len(scan) < 2:
        text = f"all quantiles of the training returns are one number ({own['target']:.4g}): nothing to condition on"
        yield _finding("one_target", own["target"], text)
        return
    low, high, best = scan[0], scan[-1], max(scan, key=lambda row: row[measure])
    worst = min(scan, key=lambda row: row[measure])
    spread, noise = best[measure] - worst[measure], _error(best, worst, measure)
    told = f"targets {low['target']:.4g}..{high['target']:.4g}"
    if inspection["sees_return"] and spread <= IN_NOISE * noise:
        text = (
            f"the target return hardly matters, or {rollouts['episodes']} episodes are too few to tell: {measure}s "
            f"{worst[measure]:.1f}..{best[measure]:.1f} over {told}, standard error of the difference {noise:.1f}"
        )
        yield _finding("target_hardly_matters", spread, text)
    elif high[measure] < low[measure] - IN_NOISE * _error(low, high, measure):
        text = f"asking for more gives less: {measure} {low[measure]:.1f} at the lowest, {high[measure]:.1f} at the "
        yield _finding("more_gives_less", high[measure] - low[measure], text + f"highest of the {told}")
    if best is not own and best[measure] > own[measure] + IN_NOISE * _error(best, own, measure):
        where = ", ".join(f"{quantile:g}" for quantile in best["quantiles"])
        text = (
            f"another target does better: {best[measure]:.1f} at {best['target']:.4g} (quantile {where}), "
            f"{own[measure]:.1f} at its own {own['target']:.4g}; try evaluation.target_return_quantile"
        )
        yield _finding("another_target_is_better", best[measure] - own[measure], text)


def _of_visits(inspection: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Finding]:
    if not own["visited"] or not inspection["data"]:
        return
    there = best_gap(own["visited"]["generated"])
    here = best_gap(inspection["data"]["condition"]["generated"])
    if there["state"] is None or there["state"] < max(OFF_DATA_ERROR, OFF_DATA_RATIO * here["state"]):
        return
    by_dimension = there["state_dimensions"]
    worst = sorted(range(len(by_dimension)), key=lambda i: -by_dimension[i])[:3]
    text = (
        f"visited states are off the data, or the target is one the data never has there: decoded s_0 error "
        f"{there['state']:.2g} there, {here['state']:.2g} on data; worst in observation dimensions "
        + ", ".join(f"{i} ({by_dimension[i]:.2g})" for i in worst)
    )
    yield _finding("visited_states_are_off_the_data", there["state"], text)


def _of_actions(inspection: Mapping[str, Any], actions: Mapping[str, float]) -> Iterator[Finding]:
    variance, true, generated = actions["variance"], actions["true"], actions["generated"]
    change = actions["true_shuffled"] / true - 1 if true else float("inf")
    if change < Z_MATTERS:
        text = f"I ignores Z: shuffling true Z changes the action error by {100 * change:.0f} % ({true:.3g} to "
        yield _finding("i_ignores_z", change, text + f"{actions['true_shuffled']:.3g})")
    else:
        left = actions["true_shuffled"] / variance if variance else 1.0
        if left < LEANS_ON_STATE:
            text = (
                f"I reads much of the action off s_0: with the Z of other windows it still explains "
                f"{100 * (1 - left):.0f} % of the actions' variance, with its own {100 * (1 - true / variance):.0f} %"
            )
            yield _finding("i_leans_on_the_state", left, text)
        change = actions["generated_shuffled"] / generated - 1 if generated else float("inf")
        if change < Z_MATTERS:
            text = f"generated Z tells I little: shuffling it changes the action error by {100 * change:.0f} %"
            yield _finding("generated_z_says_little", change, text)
    if variance and generated >= USELESS_ACTION_ERROR * variance:
        text = f"actions from generated Z are hardly better than a constant: error {generated:.3g}, variance "
        yield _finding("generated_actions_are_useless", generated / variance, text + f"{variance:.3g}")
    elif generated > NOISE_RATIO * true and generated > NOISE_SHARE * variance:
        text = (
            f"I does much better on true Z than on generated: action error {true:.3g} and {generated:.3g} (variance "
            f"{variance:.3g}). True Z holds the noise of the data's actions, which nobody can foretell; where that is "
            "not it, stage 2 is too weak"
        )
        yield _finding("generated_much_worse_than_true", generated / true if true else None, text)
    if inspection["sees_return"] and variance and actions["low_to_high_target"] < TARGET_MOVES_ACTIONS * variance:
        share = actions["low_to_high_target"] / variance
        text = (
            "the target return hardly moves the action: from the 2 % quantile to the maximum, on the same states of "
            f"the data, by {100 * share:.1f} % of the actions' variance"
        )
        yield _finding("target_hardly_moves_actions", share, text)


def _of_condition(data: Mapping[str, Any]) -> Iterator[Finding]:
    gaps = {name: best_gap(gap) for name, gap in data["condition"].items()}
    for part, meaning in (("state", "s_0"), ("return", "R_0")):
        own, shuffled, other = gaps["true"][part], gaps["true_shuffled"][part], data["other_condition"][part]
        if own is not None and shuffled < SHUFFLE_NOTICED * other:
            text = (
                f"the decoder does not read {meaning} off Z, so L_cond teaches nothing of it: error {own:.2g}, with "
                f"the Z of other windows {shuffled:.2g} (their {meaning} differs by {other:.2g})"
            )
            yield _finding(f"condition_loss_is_blind_to_{part}", shuffled, text)
    floor, reached = gaps["true"]["state"], gaps["generated"]["state"]
    if floor is not None and floor > COARSE_STATE:
        text = f"even true Z holds s_0 coarsely: decoded s_0 error {floor:.2g}, so L_cond asks for what it cannot get"
        yield _finding("state_in_z_is_coarse", floor, text)
    if reached is not None and reached >= max(OFF_DATA_ERROR, OFF_DATA_RATIO * floor):
        text = f"generated Z does not begin in the state it was given: decoded s_0 error {reached:.2g} on data, with "
        yield _finding("generated_z_misses_the_state", reached, text + f"true Z {floor:.2g}")


def _of_scales(data: Mapping[str, Any]) -> Iterator[Finding]:
    scales, guess, codebook = data["scales"], data["mean_as_guess"], data["codebook"]
    left = scales[-1]["reconstruction_error"]
    if guess and left > POOR_RECONSTRUCTION * guess:
        text = f"the autoencoder keeps little: reconstruction error {left:.2g}, guessing the mean {guess:.2g}"
        yield _finding("poor_reconstruction", left / guess, text)
    for k, (coarser, finer) in enumerate(pairwise(scales), 2):
        gain = 1 - finer["reconstruction_error"] / coarser["reconstruction_error"]
        if gain < SCALE_MATTERS:
            text = (
                f"scale {k} ({finer['tokens']} tokens) adds little to the reconstruction: {100 * gain:.0f} % less error"
            )
            yield _finding("scale_adds_little", gain, text)
    for k, scale in enumerate(scales, 1):
        if scale["perplexity"] < FEW_CODES_IN_A_SCALE:
            text = f"scale {k} says almost the same of every window: perplexity {scale['perplexity']:.2f} codes"
            yield _finding("scale_says_nothing", scale["perplexity"], text)
    if codebook["codes_used"] < FEW_CODES:
        text = f"{codebook['codes_used']:.0f} % of {codebook['codes']} codes are used, perplexity "
        yield _finding("few_codes_used", codebook["codes_used"], text + f"{codebook['perplexity']:.0f}")


def _of_stages(stages: list[Mapping[str, Any]]) -> Iterator[Finding]:
    for stage in stages:
        fall = stage["fall_at_end"]
        if fall is not None and fall > STILL_LEARNING:
            text = (
                f"{stage['stage']} was still learning when it ended: its loss fell by {100 * fall:.0f} % over the last "
                f"quarter of {stage['steps']} steps; try more"
            )
            yield _finding("still_learning", fall, text)


def _error(one: Mapping[str, Any], other: Mapping[str, Any], measure: str) -> float:
    """Standard error of the difference of two rows of a scan: their episodes have the same seeds, pair by pair."""
    pairs = zip(one["episodes"][measure], other["episodes"][measure], strict=True)
    differences = [first - second for first, second in pairs]
    return stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("inf")


def _finding(name: str, value: float | None, text: str) -> Finding:
    return {"name": name, "value": value, "text": text}
