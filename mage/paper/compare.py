"""A paper's ablation table, measured beside published: scores, effects against a reference row, and their signs.

An effect is the difference to the reference row, its standard error the root of the sum of both squared. Its sign is 0
where it is smaller than two standard errors. That is a reading aid and no test: with three training seeds a difference
that is none passes it in one case of nine, with five in one of twelve (Student's t with 4 and 8 degrees of freedom).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mage.files import write_text
from mage.results.published import published as published_results
from mage.results.store import write_parquet
from mage.scenarios import name_in_paper
from mage.words import estimate

STANDARD_ERRORS = 2.0
SIGN_RULE = (
    "An effect is the difference to the reference row; its sign is 0 where it is smaller than two standard errors "
    "(over training seeds, or repeats of a timing), ? where there is but one seed. The measured and the published sign "
    "are the same, opposite, or the case is unclear because one of them is 0 or ?."
)
PUBLISHED_ONLY, NOT_RUN, MEASURED = "published only", "not run", "measured"


def compare_ablation(
    measured: pd.DataFrame,
    number: int,
    variants: Sequence[str],
    reference: str,
    scenarios: Sequence[str],
    published_as: str | None = None,
    failures: Mapping[tuple[str, str], str] | None = None,
) -> pd.DataFrame:
    """One row a scenario and row of the published table; what has not been measured says so in `status`.

    Columns: table, scenario, variant, status, measured_mean, measured_standard_error, seeds, episodes, success_rate,
    measured_effect, measured_effect_error, measured_sign, published_mean, published_error, published_effect,
    published_effect_error, published_sign, agreement.

    Args:
        measured: a row a training seed: scenario, variant, value, success (in percent) and episodes.
        number: of the table.
        variants: the rows that can be measured; others that the paper reports are published only.
        reference: the row that effects are taken against.
        scenarios: where it is measured.
        published_as: the published scenario, where that is not the measured one.
        failures: (scenario, variant) -> why it could not be measured.
    """
    cells = published_results()
    cells = cells[cells["table"] == number]
    frames = []
    for scenario in scenarios:
        in_paper = published_as or name_in_paper(scenario) or scenario
        paper = cells[cells["scenario"] == in_paper].set_index("method")[["mean", "error"]]
        rows = [*variants, *(method for method in cells["method"].unique() if method not in variants)]
        frame = pd.DataFrame({"table": number, "scenario": scenario, "variant": rows})
        frame = frame.join(_measured_columns(measured[measured["scenario"] == scenario]), on="variant")
        frame = frame.join(paper.add_prefix("published_"), on="variant")
        known = {variant: why for (where, variant), why in (failures or {}).items() if where == scenario}
        frame.insert(3, "status", [_status(row, variants, known) for _, row in frame.iterrows()])
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True)
    table[["seeds", "episodes"]] = table[["seeds", "episodes"]].fillna(0).astype(int)
    for kind, error in (("measured", "measured_standard_error"), ("published", "published_error")):
        table = _with_effects(table, kind, error, reference)
    table["agreement"] = [
        agreement(*signs) for signs in zip(table["measured_sign"], table["published_sign"], strict=True)
    ]
    return table[_COLUMNS]


_COLUMNS = [
    "table", "scenario", "variant", "status",
    "measured_mean", "measured_standard_error", "seeds", "episodes", "success_rate",
    "measured_effect", "measured_effect_error", "measured_sign",
    "published_mean", "published_error", "published_effect", "published_effect_error", "published_sign", "agreement",
]  # fmt: skip


def sign(effect: float, error: float) -> str:
    """`+`, `-`, or `0` for an effect below two standard errors; `?` where the error, `` where the effect is unknown."""
    if np.isnan(effect):
        return ""
    if np.isnan(error):
        return "?"
    if effect == 0 or abs(effect) < STANDARD_ERRORS * error:
        return "0"
    return "+" if effect > 0 else "-"


def agreement(measured: str, published: str) -> str:
    """What two signs say of each other: same, opposite, unclear; nothing where there are no two."""
    if not (measured and published):
        return ""
    if measured in "+-" and published in "+-":
        return "same" if measured == published else "opposite"
    return "unclear"


def _measured_columns(measured: pd.DataFrame) -> pd.DataFrame:
    """By variant: mean over seeds, its standard error, and how much lies behind them."""
    seeds = measured.groupby("variant")
    return pd.DataFrame(
        {
            "measured_mean": seeds["value"].mean(),
            "measured_standard_error": seeds["value"].sem(),
            "seeds": seeds.size(),
            "episodes": seeds["episodes"].sum(),
            "success_rate": seeds["success"].mean(),
        }
    ).astype(float)


def _status(row: pd.Series, variants: Sequence[str], failures: Mapping[str, str]) -> str:
    if row["variant"] not in variants:
        return PUBLISHED_ONLY
    if row["seeds"] > 0:
        return MEASURED
    return f"failed: {failures[row['variant']]}" if row["variant"] in failures else NOT_RUN


def _with_effects(table: pd.DataFrame, kind: str, error: str, reference: str) -> pd.DataFrame:
    """Adds the effect against the reference row of the same scenario, its error and sign; none to that row itself."""
    at = table[table["variant"] == reference].set_index("scenario")
    other = table["variant"] != reference
    effect = (table[f"{kind}_mean"] - table["scenario"].map(at[f"{kind}_mean"])).where(other)
    effect_error = (table[error] ** 2 + table["scenario"].map(at[error]) ** 2).pow(0.5).where(other)
    table[f"{kind}_effect"], table[f"{kind}_effect_error"] = effect, effect_error
    table[f"{kind}_sign"] = [sign(*pair) for pair in zip(effect, effect_error, strict=True)]
    return table


def save_ablation(
    table: pd.DataFrame,
    folder: Path,
    title: str,
    reference: str,
    notes: Sequence[str] = (),
    counts: str = "seeds x episodes",
) -> str:
    """Writes table-<n>.parquet and table-<n>.md; returns the Markdown."""
    number = table["table"].iloc[0]
    text = to_markdown(table, title, reference, notes, counts)
    write_parquet(table, folder / f"table-{number}.parquet")
    write_text(folder / f"table-{number}.md", text)
    return text


def to_markdown(
    table: pd.DataFrame, title: str, reference: str, notes: Sequence[str] = (), counts: str = "seeds x episodes"
) -> str:
    """The table for documents, padded so that it reads as well on a terminal; `counts` heads the column of counts."""
    head = [
        "scenario",
        "row",
        "measured",
        counts,
        "success",
        "effect",
        "",
        "published",
        "effect",
        "",
        "agreement",
    ]
    cells = [head, *(_cells(row, reference) for _, row in table.iterrows())]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    told = "".join(f"- {note}\n" for note in [*notes, SIGN_RULE])
    return f"### Table {table['table'].iloc[0]}: {title}\n\n" + "\n".join(lines) + f"\n\n{told}"


def _cells(row: pd.Series, reference: str) -> list[str]:
    is_measured = row["status"] == MEASURED
    is_reference = row["variant"] == reference
    per_seed = int(row["episodes"]) // max(1, int(row["seeds"]))
    return [
        row["scenario"],
        row["variant"],
        estimate(row["measured_mean"], row["measured_standard_error"], "") if is_measured else row["status"],
        f"{row['seeds']} x {per_seed}" if is_measured else "",
        "" if np.isnan(row["success_rate"]) else f"{row['success_rate']:.0f} %",
        "reference" if is_reference else estimate(row["measured_effect"], row["measured_effect_error"], "", "+"),
        row["measured_sign"],
        estimate(row["published_mean"], row["published_error"], ""),
        "reference" if is_reference else estimate(row["published_effect"], row["published_effect_error"], "", "+"),
        row["published_sign"],
        row["agreement"],
    ]
