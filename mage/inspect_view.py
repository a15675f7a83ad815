"""How an inspection looks on a terminal: findings first, then the tables that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mage.console import print_table
from mage.evaluation.findings import best_gap, own_row

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


def print_inspection(inspection: Mapping[str, Any]) -> None:
    """Everything that is known of one policy."""
    _print_head(inspection)
    _title("Findings (hints: what stands out, with the number behind it)")
    for finding in inspection["findings"]:
        print(f"- {finding['text']}")
    if not inspection["findings"]:
        print("- nothing stands out")
    if inspection["rollouts"]:
        _print_scan(inspection)
    if inspection["data"]:
        _print_actions(inspection["data"])
        _print_condition(inspection)
        _print_scales(inspection["data"])
    _print_stages(inspection["stages"])


def print_sweep(sweep: Mapping[str, Any]) -> None:
    """One table over the policies of a sweep, best first, and how often each finding was made."""
    policies = sorted(sweep["policies"], key=lambda policy: (policy["scenario"], -_score(policy)))
    swept = list(dict.fromkeys(field for policy in policies for field in policy["swept"]))
    measured = ("score", "success", "scan", "rises", "decoded", "action true", "generated", "Z shuffled")
    columns = ("scenario", "config", "seed", *(field.rsplit(".", 1)[-1] for field in swept), *measured)
    columns += ("s_0 error on data", "visited", "codes")
    rows = []
    for policy in policies:
        head = (policy["scenario"], policy["config_hash"], str(policy["training_seed"]))
        values = (str(policy["swept"].get(field, "-")) for field in swept)
        rows.append((*head, *values, *_key_numbers(policy)))
    print_table(columns, rows)
    print(
        "\nscan: lowest and highest score over the targets; rises: their rank correlation; decoded: reconstruction "
        "error; action true, generated, Z shuffled:\naction error on true Z, generated Z and true Z of other windows, "
        "as shares of the actions' variance; s_0 error: of generated Z, decoded by D'; codes: % used."
    )
    counts: dict[str, int] = {}
    for policy in policies:
        for name in {finding["name"] for finding in policy["findings"]}:
            counts[name] = counts.get(name, 0) + 1
    _title(f"Findings in {len(policies)} policies")
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{count:>3}  {name.replace('_', ' ')}")
    print(f"\nmage inspect {sweep['sweep']}/{policies[0]['run']} shows one of them in full")


def _print_head(inspection: Mapping[str, Any]) -> None:
    data, evaluation, target = inspection["dataset"], inspection["evaluation"], inspection["target_return"]
    print(
        f"{inspection['algorithm']} on {inspection['dataset_id']} ({data['episodes']} episodes, {data['steps']} "
        f"steps), training seed {inspection['training_seed']}, configuration {inspection['config_hash']}"
    )
    mean = f"score {data['score_mean']:.1f}" if data["score_mean"] is not None else f"return {data['return_mean']:.4g}"
    print(f"mean of the data: {mean}; target return {target:.4g}, {inspection['target_return_rule']}")
    if evaluation is None:
        print("not evaluated yet: mage evaluate RUN")
        return
    success = "" if evaluation["success_rate"] is None else f", success rate {evaluation['success_rate']:.0f} %"
    print(
        f"evaluated: {evaluation['measure']} {_estimate(evaluation['mean'], evaluation['standard_error'])} over "
        f"{evaluation['episodes']} episodes{success}"
    )


def _print_scan(inspection: Mapping[str, Any]) -> None:
    rollouts = inspection["rollouts"]
    correlation = rollouts["spearman"]
    rises = "" if correlation is None else f", rank correlation {correlation:+.2f}"
    _title(f"Score against target return ({rollouts['episodes']} episodes each, the same seeds{rises})")
    columns = ["quantile", "target", "score", "success %", "return", "length"]
    if inspection["data"]:
        columns += ["visited: s_0 error", "R_0 error"]
    rows = []
    for row in rollouts["scan"]:
        quantiles = ", ".join(f"{quantile:g}" for quantile in row["quantiles"])
        values = [
            (quantiles or "-") + (" *" if row["own"] else ""),
            _number(row["target"]),
            _estimate(row["score"], row["score_standard_error"]),
            _number(row["success_rate"], 0),
            _estimate(row["return"], row["return_standard_error"]),
            _number(row["length"], 0),
        ]
        if row["visited"]:
            gap = best_gap(row["visited"]["generated"])
            values += [_number(gap["state"]), _number(gap["return"])]
        rows.append(values)
    print_table(columns, rows)
    print("* the target it is evaluated with")


def _print_actions(data: Mapping[str, Any]) -> None:
    actions = data["actions"]
    _title(f"Action error, mean square ({data['windows']} windows of the data)")
    variance = actions["variance"]
    rows = [
        (words, _number(actions[name]), f"{100 * actions[name] / variance:.0f} %" if variance else "-")
        for name, words in ACTIONS.items()
    ]
    print_table(("action read off", "error", "of the variance"), rows)


def _print_condition(inspection: Mapping[str, Any]) -> None:
    _title("Decoded first step against the condition (R_0, s_0), mean square a dimension, normalised units")
    gaps = {words: inspection["data"]["condition"][name] for name, words in CONDITIONS.items()}
    own = own_row(inspection)
    if own and own["visited"]:
        gaps["visited states, generated Z"] = own["visited"]["generated"]
        gaps["visited states, generated Z shuffled"] = own["visited"]["generated_shuffled"]
    rows = []
    other = [_number(inspection["data"]["other_condition"][part]) for part in ("state", "return")]
    for words, gap in gaps.items():
        adapted, plain = gap["adapted"] or {}, gap["plain"]
        parts = [decoded.get(part) for decoded in (adapted, plain) for part in ("state", "return")]
        rows.append((words, *map(_number, parts)))
    rows.append(("(the condition of another window)", *other, *other))
    print_table(("", "D' (adapters): s_0", "R_0", "D: s_0", "R_0"), rows)


def _print_scales(data: Mapping[str, Any]) -> None:
    codebook = data["codebook"]
    used = f"{codebook['codes_used']:.0f} % of {codebook['codes']} codes used, perplexity {codebook['perplexity']:.0f}"
    _title(f"Scales ({used}; guessing the mean: error {data['mean_as_guess']:.3g})")
    names = [name for name in data["scales"][0] if name.endswith("_error")]
    rows = [
        (
            f"1..{k}" if k > 1 else "1",
            str(scale["tokens"]),
            *(_number(scale[name]) for name in names),
            f"{scale['codes_used']:.0f} %",
            _number(scale["perplexity"]),
        )
        for k, scale in enumerate(data["scales"], 1)
    ]
    errors = [name.replace("_", " ") for name in names]
    print_table(("decoded from", "tokens of the last", *errors, "codes it uses", "perplexity"), rows)


def _print_stages(stages: Sequence[Mapping[str, Any]]) -> None:
    _title("Training (last metrics of each stage)")
    for stage in stages:
        fall = stage["fall_at_end"]
        fell = "" if fall is None else f" (fell by {100 * fall:.0f} % in the last quarter)"
        metrics = {name: stage["metrics"][name] for name in STAGE_METRICS if name in stage["metrics"]}
        shown = "".join(f", {name.replace('_', ' ')} {_number(value)}" for name, value in metrics.items())
        print(f"{stage['stage']}, {stage['steps']} steps: loss {_number(stage['metrics']['loss'])}{fell}{shown}")


def _key_numbers(policy: Mapping[str, Any]) -> tuple[str, ...]:
    evaluation, rollouts, data = policy["evaluation"], policy["rollouts"], policy["data"]
    score = _estimate(evaluation["mean"], evaluation["standard_error"]) if evaluation else "-"
    success = _number(evaluation["success_rate"], 0) if evaluation else "-"
    scan, rises, visited = "-", "-", "-"
    if rollouts:
        values = [row[rollouts["measure"]] for row in rollouts["scan"]]
        scan, rises = f"{min(values):.0f}..{max(values):.0f}", _number(rollouts["spearman"], 2)
        own = own_row(policy)
        visited = _number(best_gap(own["visited"]["generated"])["state"]) if own and own["visited"] else "-"
    if not data:
        return (score, success, scan, rises, "-", "-", "-", "-", "-", visited, "-")
    actions, variance = data["actions"], data["actions"]["variance"]
    shares = (f"{actions[name] / variance:.2f}" if variance else "-" for name in ("true", "generated", "true_shuffled"))
    decoded = _number(data["scales"][-1]["reconstruction_error"])
    here = _number(best_gap(data["condition"]["generated"])["state"])
    return (score, success, scan, rises, decoded, *shares, here, visited, f"{data['codebook']['codes_used']:.0f}")


def _score(policy: Mapping[str, Any]) -> float:
    return policy["evaluation"]["mean"] if policy["evaluation"] else float("-inf")


def _title(text: str) -> None:
    print(f"\n{text}")


def _number(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if digits is None else f"{value:.{digits}f}"


def _estimate(mean: float | None, error: float | None) -> str:
    if mean is None:
        return "-"
    return f"{mean:.1f}" if error is None else f"{mean:.1f} ± {error:.1f}"
