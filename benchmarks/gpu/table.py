"""The measurements as Markdown: in `benchmarks/gpu.md` they stand below a reading of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

PEAKS = {"fp32": 66.9, "tf32": 494.7, "bf16": 989.4}
"""Dense TFLOP/s of an H100 or H200 (SXM) by its datasheet."""

LARGE = "a large square"
SHOWN_KERNELS, SHOWN_LINES = 5, 6
"""Of a step and of a command's output; the file has more."""

LEARNED = (
    "precision",
    "stage",
    "step",
    "seconds",
    "loss",
    "reconstruction_error",
    "inverse_dynamics_error",
    "codes_used_all",
    "perplexity_all",
    "cross_entropy",
    "token_accuracy",
    "condition_error",
    "action_error_generated_tokens",
)
HEADINGS = {
    "ceilings": "What the chip gives",
    "steps": "A training step at the paper's size, batch 512",
    "compiled": "The same with compiled transformer blocks",
    "acting": "Acting",
    "learning": "What rounding does to learning",
    "seeds": "Seeds of the `cpu` preset",
    "stacked": "Seeds of the `cpu` preset as one model",
    "ray": "Ray on the GPU",
    "training": "A training at the paper's size",
}

Rows = Sequence[Mapping[str, Any]]


def tables(measured: Mapping[str, Any], with_kernels: bool = True) -> str:
    """All parts that were measured, each with its rows, its time and what went wrong."""
    environment = measured["environment"]
    gpu = environment.get("GPU")
    lines = [f"# On a GPU, {environment['date']}", "", "```bash", environment["command"], "```", ""]
    if gpu:
        lines.append(f"- GPU: {gpu['name']}, {gpu['GiB']:.0f} GiB, CUDA {gpu['CUDA']}, driver {gpu['driver']}")
    threads = f"{environment['threads']} thread{'s' if environment['threads'] > 1 else ''}"
    lines.append(f"- machine: {environment['cores']} cores, {threads}, Python {environment['Python']}")
    lines.append(f"- versions: {', '.join(f'{name} {each}' for name, each in environment['versions'].items())}")
    for part, heading in HEADINGS.items():
        if part in measured:
            lines += ["", f"## {heading}", "", *section(part, measured)]
    if with_kernels and "steps" in measured:
        lines += ["", "## The longest kernels of a step", "", *kernel_table(measured["steps"]["rows"])]
    return re.sub(r"\s*\n\n+", "\n\n", "\n".join(line.rstrip() for line in lines))


def section(part: str, measured: Mapping[str, Any]) -> list[str]:
    """The tables of one part."""
    rows: Rows = measured[part]["rows"]
    lines = [f"{measured[part]['seconds']:.0f} s in all.", ""]
    if "error" in measured[part]:
        lines += [f"Failed: {measured[part]['error']}", ""]
    if part in ("steps", "compiled"):
        lines += step_tables(rows, measured.get("ceilings", {}).get("rows", []))
    elif part == "acting":
        compared = [row for row in rows if "same tokens" in row]
        lines += [*markdown([row for row in rows if "ms" in row]), "", *markdown(compared)]
    elif part == "learning":
        lines += markdown([{name: row.get(name) for name in LEARNED} for row in rows])
    elif part in ("ray", "training"):
        for row in rows:
            shown = {name: value for name, value in row.items() if name not in ("output", "curves", "score", "command")}
            lines += [*markdown([shown | row.get("score", {})]), "", "```text", f"$ {row['command']}"]
            lines += [*row["output"][-SHOWN_LINES:], "```", ""]
    else:
        lines += markdown(rows)
    return lines


def step_tables(rows: Rows, ceilings: Rows) -> list[str]:
    """A row a step with its utilisation."""
    best = {row["precision"]: row["TFLOP/s"] for row in ceilings if row["product"] == LARGE}
    shown = []
    for row in rows:
        precision = row["precision"]
        plain = {name: value for name, value in row.items() if name != "kernels"}
        if "TFLOP/s" in row:
            plain["% of peak"] = 100 * row["TFLOP/s"] / PEAKS[precision]
            plain["% of a large product"] = 100 * row["TFLOP/s"] / best[precision] if precision in best else None
        shown.append(plain)
    return markdown(shown)


def kernel_table(rows: Rows) -> list[str]:
    """The kernels of each step that take longest."""
    steps = [({"stage": row["stage"], "precision": row["precision"]}, row["kernels"]) for row in rows]
    return markdown([step | kernel for step, kernels in steps for kernel in kernels[:SHOWN_KERNELS]])


def markdown(rows: Rows) -> list[str]:
    """A table with the columns of all rows."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if not columns:
        return ["Nothing."]
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return lines + ["| " + " | ".join(cell(row.get(name)) for name in columns) + " |" for row in rows]


def cell(value: object) -> str:
    """Three or four digits of a number; `-` for what is unknown."""
    if value is None or value != value:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value).replace("|", "/")
