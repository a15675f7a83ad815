"""How an inspection looks on a terminal: findings first, then the tables that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mage.console import print_table
from mage.inspection.findings import asked_for, explanation_of
from mage.interface.explanation import Explanation
from mage.words import estimate, number


def print_inspection(inspection: Mapping[str, Any]) -> None:
    """Everything that is known of one policy."""
    _print_head(inspection)
    _title("Findings (hints: what stands out, with the number behind it)")
    for finding in inspection["findings"]:
        print(f"- {finding['text']}")
    if not inspection["findings"]:
        print("- nothing stands out")
    explanation = explanation_of(inspection)
    if inspection["rollouts"]:
        _print_scan(inspection, explanation)
    for table in explanation.tables:
        _title(table.title)
        print_table(table.columns, table.rows)
    _print_stages(inspection["stages"], explanation)


def print_sweep(sweep: Mapping[str, Any]) -> None:
    """One table over the policies of a sweep, best first, and how often each finding was made."""
    policies = sorted(sweep["policies"], key=lambda policy: (policy["scenario"], -_score(policy)))
    swept = list(dict.fromkeys(field for policy in policies for field in policy["swept"]))
    explanations = [explanation_of(policy) for policy in policies]
    own = list(dict.fromkeys(column for explanation in explanations for column in explanation.key_numbers))
    columns = ("scenario", "config", "seed", *(field.rsplit(".", 1)[-1] for field in swept))
    columns += ("score", "success", "scan", "rises", *own)
    rows = []
    for policy, explanation in zip(policies, explanations, strict=True):
        head = (policy["scenario"], policy["config_hash"], str(policy["training_seed"]))
        values = (str(policy["swept"].get(field, "-")) for field in swept)
        numbers = (explanation.key_numbers.get(column, "-") for column in own)
        rows.append((*head, *values, *_key_numbers(policy), *numbers))
    print_table(columns, rows)
    print("\nscan: lowest and highest score over the targets; rises: their rank correlation.")
    for legend in dict.fromkeys(explanation.legend for explanation in explanations if explanation.legend):
        print(legend)
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
    print(f"mean of the data: {mean}; target {asked_for(inspection)} {target:.4g}, {inspection['target_return_rule']}")
    if evaluation is None:
        print("not evaluated yet: mage evaluate RUN")
        return
    success = "" if evaluation["success_rate"] is None else f", success rate {evaluation['success_rate']:.0f} %"
    print(
        f"evaluated: {evaluation['measure']} {estimate(evaluation['mean'], evaluation['standard_error'])} over "
        f"{evaluation['episodes']} episodes{success}"
    )


def _print_scan(inspection: Mapping[str, Any], explanation: Explanation) -> None:
    rollouts = inspection["rollouts"]
    correlation = rollouts["spearman"]
    rises = "" if correlation is None else f", rank correlation {correlation:+.2f}"
    _title(
        f"Score against target {asked_for(inspection)} ({rollouts['episodes']} episodes each, the same seeds{rises})"
    )
    columns = ["quantile", "target", "score", "success %", "feasible %", "return", "length", *explanation.visited]
    rows = []
    for index, row in enumerate(rollouts["scan"]):
        quantiles = ", ".join(f"{quantile:g}" for quantile in row["quantiles"])
        values = [
            (quantiles or "-") + (" *" if row["own"] else ""),
            number(row["target"]),
            estimate(row["score"], row["score_standard_error"]),
            number(row["success_rate"], 0),
            number(row.get("feasible"), 0),
            estimate(row["return"], row["return_standard_error"]),
            number(row["length"], 0),
        ]
        rows.append([*values, *(column[index] for column in explanation.visited.values())])
    print_table(columns, rows)
    print(
        "* the target it is evaluated with\nfeasible: visited states at which the target is no higher than the 95 % "
        "quantile of what followed there in the data"
    )


def _print_stages(stages: Sequence[Mapping[str, Any]], explanation: Explanation) -> None:
    _title("Training (last metrics of each stage)")
    for stage in stages:
        fall = stage["fall_at_end"]
        fell = "" if fall is None else f" (fell by {100 * fall:.0f} % in the last quarter)"
        wanted = stage["metrics"] if explanation.stage_metrics is None else explanation.stage_metrics
        metrics = {name: stage["metrics"][name] for name in wanted if name in stage["metrics"] and name != "loss"}
        shown = "".join(f", {name.replace('_', ' ')} {number(value)}" for name, value in metrics.items())
        print(f"{stage['stage']}, {stage['steps']} steps: loss {number(stage['metrics']['loss'])}{fell}{shown}")


def _key_numbers(policy: Mapping[str, Any]) -> tuple[str, str, str, str]:
    evaluation, rollouts = policy["evaluation"], policy["rollouts"]
    score = estimate(evaluation["mean"], evaluation["standard_error"]) if evaluation else "-"
    success = number(evaluation["success_rate"], 0) if evaluation else "-"
    if not rollouts:
        return score, success, "-", "-"
    values = [row[rollouts["measure"]] for row in rollouts["scan"]]
    return score, success, f"{min(values):.0f}..{max(values):.0f}", number(rollouts["spearman"], 2)


def _score(policy: Mapping[str, Any]) -> float:
    return policy["evaluation"]["mean"] if policy["evaluation"] else float("-inf")


def _title(text: str) -> None:
    print(f"\n{text}")
