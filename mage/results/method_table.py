"""Methods by scenarios, for papers and programs: Markdown, LaTeX and CSV.

A cell is the mean over runs (training seeds) with the bounds of its bootstrap interval. It is bold where the whole
interval lies above the intervals of all other methods on that scenario, and never for its mean alone: with one run
there is no interval, and nothing is bold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from mage.errors import MageError
from mage.results.statistics import RESAMPLES, interval, mean, runs

NOTE = (
    "Normalised score: mean over training seeds [95 % bootstrap interval]; bold where the interval lies above those of "
    "all other methods. A seed that failed counts as a random policy, 0."
)
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def method_table(
    results: pd.DataFrame,
    by: str | None = None,
    failures: pd.DataFrame | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """One row a cell: method, scenario, mean, low, high, runs, failed, of (configurations chosen from), is_best.

    Args:
        results: as from `mage.results.load`.
        by: the column that names the methods; by default `variant` where there is one, else `algorithm`.
        failures: as from `mage.results.load_failures`.
        resamples: of the bootstrap.
        seed: of the resampling.

    Raises:
        MageError: there is no such column, or no normalised score.
    """
    rows = []
    for (method, scenario), own in runs(results, by, failures).groupby(["method", "scenario"]):
        scores = [own["score"].to_numpy()]
        low, high = interval(scores, mean, resamples, seed)
        cell = {"method": str(method), "scenario": scenario, "mean": float(mean(*scores)), "low": low, "high": high}
        rows.append(cell | {"runs": len(own), "failed": int(own["failed"].sum()), "of": int(own["of"].max())})
    table = pd.DataFrame(rows)
    table["is_best"] = [_is_best(row, table) for row in table.to_dict("records")]
    return table


def _is_best(cell: Mapping[Any, Any], table: pd.DataFrame) -> bool:
    others = table[(table["scenario"] == cell["scenario"]) & (table["method"] != cell["method"])]
    return bool(len(others) and (others["high"] < cell["low"]).all())  # False of NaN


def as_csv(table: pd.DataFrame) -> str:
    """A row a method; of each scenario the columns NAME, NAME_low, NAME_high, NAME_runs and NAME_failed."""
    names = {"mean": "", "low": "_low", "high": "_high", "runs": "_runs", "failed": "_failed"}
    wide = pd.DataFrame(index=pd.Index(_methods(table), name="method"))
    for scenario, own in table.groupby("scenario"):
        cells = own.set_index("method").reindex(wide.index)
        for column, suffix in names.items():
            values = cells[column]
            wide[f"{scenario}{suffix}"] = values.astype("Int64") if column in ("runs", "failed") else values
    return wide.to_csv(lineterminator="\n")


def as_markdown(table: pd.DataFrame) -> str:
    """A row a method, a column a scenario, and below it what the cells mean."""
    scenarios = sorted(table["scenario"].unique())
    lines = [["method", *scenarios], ["---", *["---:"] * len(scenarios)]]
    for method in _methods(table):
        lines.append([method.replace("|", "\\|"), *(_markdown_cell(table, method, name) for name in scenarios)])
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", NOTE, ""])


def as_latex(table: pd.DataFrame) -> str:
    """A tabular for the packages booktabs, siunitx and etoolbox; means stand below each other by their points.

    Of each scenario there are two columns: the mean, which siunitx aligns, and the interval.
    """
    scenarios = sorted(table["scenario"].unique())
    columns = pd.MultiIndex.from_product([map(_escaped, scenarios), ["mean", "interval"]])
    wide = pd.DataFrame(index=[_escaped(name) for name in _methods(table)], columns=columns, dtype=object)
    bold = pd.DataFrame("", index=wide.index, columns=columns)
    for cell in table.to_dict("records"):
        row, column = _escaped(cell["method"]), _escaped(cell["scenario"])
        wide.loc[row, (column, "mean")] = f"{cell['mean']:.1f}"
        failed = f" ({cell['failed']} of {cell['runs']} failed)" if cell["failed"] else ""
        wide.loc[row, (column, "interval")] = (f"${own}$" if (own := _interval(cell)) else "") + failed
        if cell["is_best"]:
            bold.loc[row, (column, "mean")] = "bfseries: ;"
    wide.columns = pd.MultiIndex.from_tuples([(name, "" if kind == "mean" else " ") for name, kind in columns])
    bold.columns = wide.columns
    digits = max(len(f"{abs(value):.0f}") for value in table["mean"])
    form = "l" + f"S[table-format=-{digits}.1,detect-weight]@{{\\,}}l" * len(scenarios)
    styled = wide.fillna("{--}").style.apply(lambda _: bold, axis=None)
    lines = styled.to_latex(column_format=form, hrules=True, siunitx=True, multicol_align="c").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("{} & {}")) + "\n"  # the two columns have no names
    needed = "% \\usepackage{booktabs,siunitx,etoolbox} \\robustify\\bfseries\n"
    return f"{needed}% {_escaped(NOTE)}\n{text}"


FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {"md": as_markdown, "latex": as_latex, "csv": as_csv}


def format_table(table: pd.DataFrame, form: str) -> str:
    """The table as `md`, `latex` or `csv`; MageError for anything else."""
    if form not in FORMATS:
        raise MageError(f"a table is written as one of {', '.join(FORMATS)}, not as {form!r}")
    return FORMATS[form](table)


def _methods(table: pd.DataFrame) -> list[str]:
    """Best first, by the mean over its scenarios."""
    means = table.groupby("method")["mean"].mean().reset_index()
    return list(means.sort_values(["mean", "method"], ascending=[False, True])["method"])


def _markdown_cell(table: pd.DataFrame, method: str, scenario: str) -> str:
    found = table[(table["method"] == method) & (table["scenario"] == scenario)].to_dict("records")
    if not found:
        return "-"
    (cell,) = found
    value = f"{cell['mean']:.1f}"
    failed = f" ({cell['failed']} of {cell['runs']} failed)" if cell["failed"] else ""
    return " ".join(filter(None, [f"**{value}**" if cell["is_best"] else value, _interval(cell)])) + failed


def _interval(cell: Mapping[Any, Any]) -> str:
    low, high = cell["low"], cell["high"]
    return f"[{low:.1f}, {high:.1f}]" if low == low else ""


def _escaped(text: str) -> str:
    """As LaTeX prints it."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)
