"""What the probes of MAGE say, in words and as tables: does I read Z, does Z hold the condition, are codes used?

Hints, not verdicts: the thresholds are judgement, and a policy may score well in spite of any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from mage.algorithms.mage.explanation_of_plans import PLANS, of_plans, plan_tables
from mage.interface.explanation import CodeUse, Explanation, Finding, Table, finding, own_row
from mage.words import number

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
CONDITIONS = {
    "true": "data, true Z (floor)",
    "true_shuffled": "data, true Z shuffled",
    "generated": "data, generated Z",
    "generated_shuffled": "data, generated Z shuffled",
}
ACTIONS = {
    "variance": "variance of the actions (error of a constant)",
    "true": "true Z",
    "true_shuffled": "true Z shuffled over windows",
    "generated": "generated Z, as the policy acts",
    "generated_shuffled": "generated Z shuffled over windows",
    "low_to_high_target": "change from the 2 % target to the highest",
}
STAGE_METRICS = (
    "reconstruction_error",
    "inverse_dynamics_error",
    "cross_entropy",
    "token_accuracy",
    "condition_error",
    "action_error_generated_tokens",
)


LEGEND = (
    "decoded: reconstruction error; action true, generated, Z shuffled: action error on true Z, on generated Z and on "
    "true\nZ of others, as shares of the actions' variance; moved, follows, nats saved: does the action follow its "
    "plan, and the\nplan the target (wanted above 0.3, 0.5, 0.2); s_0 error: of generated Z, by D'; codes: % used."
)


def explain(inspection: Mapping[str, Any]) -> Explanation:
    """All that can be said of an inspection of MAGE; little where its probes are missing."""
    data = inspection["data"]
    if not data:
        return Explanation(stage_metrics=STAGE_METRICS)
    return Explanation(
        findings=list(_findings(inspection, data)),
        tables=[*plan_tables(data.get("plans")), _actions(data), _condition(inspection), _scales(data)],
        visited=_visited(inspection),
        stage_metrics=STAGE_METRICS,
        key_numbers=key_columns(inspection, data),
        legend=LEGEND,
        code_use=list(_code_use(data)),
    )


def best_gap(condition: Mapping[str, Any]) -> Mapping[str, Any]:
    """What L_cond looks at: the gap by D' where there are adapters, else by D."""
    gap: Mapping[str, Any] = condition["adapted"] or condition["plain"]
    return gap


def _findings(inspection: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[Finding]:
    own = own_row(inspection)
    if own is not None:
        yield from _of_visits(inspection, own)
    yield from of_plans(data.get("plans") or {})
    yield from _of_actions(inspection, data["actions"])
    yield from _of_condition(data)
    yield from _of_scales(data)


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
    yield finding("visited_states_are_off_the_data", there["state"], text)


def _of_actions(inspection: Mapping[str, Any], actions: Mapping[str, float]) -> Iterator[Finding]:
    variance, true, generated = actions["variance"], actions["true"], actions["generated"]
    change = actions["true_shuffled"] / true - 1 if true else float("inf")
    if change < Z_MATTERS:
        text = f"I ignores Z: shuffling true Z changes the action error by {100 * change:.0f} % ({true:.3g} to "
        yield finding("i_ignores_z", change, text + f"{actions['true_shuffled']:.3g})")
    else:
        left = actions["true_shuffled"] / variance if variance else 1.0
        if left < LEANS_ON_STATE:
            text = (
                f"I reads much of the action off s_0: with the Z of other windows it still explains "
                f"{100 * (1 - left):.0f} % of the actions' variance, with its own {100 * (1 - true / variance):.0f} %"
            )
            yield finding("i_leans_on_the_state", left, text)
        change = actions["generated_shuffled"] / generated - 1 if generated else float("inf")
        if change < Z_MATTERS:
            text = f"generated Z tells I little: shuffling it changes the action error by {100 * change:.0f} %"
            yield finding("generated_z_says_little", change, text)
    if variance and generated >= USELESS_ACTION_ERROR * variance:
        text = f"actions from generated Z are hardly better than a constant: error {generated:.3g}, variance "
        yield finding("generated_actions_are_useless", generated / variance, text + f"{variance:.3g}")
    elif generated > NOISE_RATIO * true and generated > NOISE_SHARE * variance:
        text = (
            f"I does much better on true Z than on generated: action error {true:.3g} and {generated:.3g} (variance "
            f"{variance:.3g}). True Z holds the noise of the data's actions, which nobody can foretell; where that is "
            "not it, stage 2 is too weak"
        )
        yield finding("generated_much_worse_than_true", generated / true if true else None, text)
    if inspection["sees_return"] and variance and actions["low_to_high_target"] < TARGET_MOVES_ACTIONS * variance:
        share = actions["low_to_high_target"] / variance
        text = (
            f"the target {inspection.get('asks') or 'return'} hardly moves the action: from the 2 % quantile to the "
            f"maximum, on the same states of the data, by {100 * share:.1f} % of the actions' variance"
        )
        yield finding("target_hardly_moves_actions", share, text)


def _of_condition(data: Mapping[str, Any]) -> Iterator[Finding]:
    gaps = {name: best_gap(gap) for name, gap in data["condition"].items()}
    for part, meaning in (("state", "s_0"), ("return", "R_0")):
        own, shuffled, other = gaps["true"][part], gaps["true_shuffled"][part], data["other_condition"][part]
        if own is not None and shuffled < SHUFFLE_NOTICED * other:
            text = (
                f"the decoder does not read {meaning} off Z, so L_cond teaches nothing of it: error {own:.2g}, with "
                f"the Z of other windows {shuffled:.2g} (their {meaning} differs by {other:.2g})"
            )
            yield finding(f"condition_loss_is_blind_to_{part}", shuffled, text)
    floor, reached = gaps["true"]["state"], gaps["generated"]["state"]
    if floor is not None and floor > COARSE_STATE:
        text = f"even true Z holds s_0 coarsely: decoded s_0 error {floor:.2g}, so L_cond asks for what it cannot get"
        yield finding("state_in_z_is_coarse", floor, text)
    if reached is not None and reached >= max(OFF_DATA_ERROR, OFF_DATA_RATIO * floor):
        text = f"generated Z does not begin in the state it was given: decoded s_0 error {reached:.2g} on data, with "
        yield finding("generated_z_misses_the_state", reached, text + f"true Z {floor:.2g}")


def _of_scales(data: Mapping[str, Any]) -> Iterator[Finding]:
    scales, guess, codebook = data["scales"], data["mean_as_guess"], data["codebook"]
    left = scales[-1]["reconstruction_error"]
    if guess and left > POOR_RECONSTRUCTION * guess:
        text = f"the autoencoder keeps little: reconstruction error {left:.2g}, guessing the mean {guess:.2g}"
        yield finding("poor_reconstruction", left / guess, text)
    for k, (coarser, finer) in enumerate(pairwise(scales), 2):
        gain = 1 - finer["reconstruction_error"] / coarser["reconstruction_error"]
        if gain < SCALE_MATTERS:
            text = (
                f"scale {k} ({finer['tokens']} tokens) adds little to the reconstruction: {100 * gain:.0f} % less error"
            )
            yield finding("scale_adds_little", gain, text)
    for k, scale in enumerate(scales, 1):
        if scale["perplexity"] < FEW_CODES_IN_A_SCALE:
            text = f"scale {k} says almost the same of every window: perplexity {scale['perplexity']:.2f} codes"
            yield finding("scale_says_nothing", scale["perplexity"], text)
    if codebook["codes_used"] < FEW_CODES:
        text = f"{codebook['codes_used']:.0f} % of {codebook['codes']} codes are used, perplexity "
        yield finding("few_codes_used", codebook["codes_used"], text + f"{codebook['perplexity']:.0f}")


def _visited(inspection: Mapping[str, Any]) -> dict[str, list[str]]:
    rows = inspection["rollouts"]["scan"] if inspection["rollouts"] else []
    gaps = [best_gap(row["visited"]["generated"]) if row["visited"] else {} for row in rows]
    return {
        "visited: s_0 error": [number(gap.get("state")) for gap in gaps],
        "R_0 error": [number(gap.get("return")) for gap in gaps],
    }


def _code_use(data: Mapping[str, Any]) -> Iterator[CodeUse]:
    codebook, scales = data["codebook"], data["scales"]
    codes = codebook["codes"]
    for k, scale in enumerate(scales, 1):
        yield CodeUse(str(k), scale["tokens"], scale["codes_used"], scale["perplexity"], codes)
    tokens = sum(scale["tokens"] for scale in scales)
    yield CodeUse("all", tokens, codebook["codes_used"], codebook["perplexity"], codes)


def _actions(data: Mapping[str, Any]) -> Table:
    actions = data["actions"]
    title = f"Action error, mean square ({data['windows']} windows of the data)"
    variance = actions["variance"]
    rows = [
        (words, number(actions[name]), f"{100 * actions[name] / variance:.0f} %" if variance else "-")
        for name, words in ACTIONS.items()
    ]
    return Table(title, ("action read off", "error", "of the variance"), rows)


def _condition(inspection: Mapping[str, Any]) -> Table:
    title = "Decoded first step against the condition (R_0, s_0), mean square a dimension, normalised units"
    gaps = {words: inspection["data"]["condition"][name] for name, words in CONDITIONS.items()}
    own = own_row(inspection)
    if own and own["visited"]:
        gaps["visited states, generated Z"] = own["visited"]["generated"]
        gaps["visited states, generated Z shuffled"] = own["visited"]["generated_shuffled"]
    rows = []
    other = [number(inspection["data"]["other_condition"][part]) for part in ("state", "return")]
    for words, gap in gaps.items():
        adapted, plain = gap["adapted"] or {}, gap["plain"]
        parts = [decoded.get(part) for decoded in (adapted, plain) for part in ("state", "return")]
        rows.append((words, *map(number, parts)))
    rows.append(("(the condition of another window)", *other, *other))
    return Table(title, ("", "D' (adapters): s_0", "R_0", "D: s_0", "R_0"), rows)


def _scales(data: Mapping[str, Any]) -> Table:
    codebook = data["codebook"]
    used = f"{codebook['codes_used']:.0f} % of {codebook['codes']} codes used, perplexity {codebook['perplexity']:.0f}"
    title = f"Scales ({used}; guessing the mean: error {data['mean_as_guess']:.3g})"
    names = [name for name in data["scales"][0] if name.endswith("_error")]
    rows = [
        (
            f"1..{k}" if k > 1 else "1",
            str(scale["tokens"]),
            *(number(scale[name]) for name in names),
            f"{scale['codes_used']:.0f} %",
            number(scale["perplexity"]),
        )
        for k, scale in enumerate(data["scales"], 1)
    ]
    errors = [name.replace("_", " ") for name in names]
    return Table(title, ("decoded from", "tokens of the last", *errors, "codes it uses", "perplexity"), rows)


def key_columns(inspection: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, str]:
    """One line of a sweep: how good Z is, what of the action it explains, how well the state is held."""
    actions, variance = data["actions"], data["actions"]["variance"]
    shares = {"action true": "true", "generated": "generated", "Z shuffled": "true_shuffled"}
    own = own_row(inspection)
    return {
        "decoded": number(data["scales"][-1]["reconstruction_error"]),
        **{words: f"{actions[name] / variance:.2f}" if variance else "-" for words, name in shares.items()},
        **{name.replace("_", " "): number((data.get("plans") or {}).get(name)) for name in PLANS},
        "s_0 error on data": number(best_gap(data["condition"]["generated"])["state"]),
        "visited": number(best_gap(own["visited"]["generated"])["state"]) if own and own["visited"] else "-",
        "codes": f"{data['codebook']['codes_used']:.0f}",
    }
