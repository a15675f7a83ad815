"""The ablation tables of ablation_cpu.md, from runs of `tune/ablation.py` made a scenario, or machine, at a time.

python benchmarks/ablation.py --add runs/ablation   # takes what a run has measured into ablation_cpu.csv, a row a seed
python benchmarks/ablation.py                       # prints the tables, measured beside published
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from scipy.stats import f_oneway

from mage.errors import MageError
from mage.paper.compare import compare_ablation, to_markdown
from mage.paper.measurements import scores
from mage.paper.tables import AblationTable, get_tables

SEEDS = Path(__file__).with_name("ablation_cpu.csv")
ROW = ["table", "scenario", "variant"]
TABLES = ("20", "21", "5")


def main() -> None:
    """Adds a run where one is named, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", type=Path, metavar="RUN", help="the run directory of an ablation")
    parser.add_argument("--table", nargs="+", default=TABLES, metavar="N")
    options = parser.parse_args()
    tables = get_tables(options.table)
    seeds = pd.read_csv(SEEDS) if SEEDS.exists() else pd.DataFrame(columns=ROW)
    if options.add:
        try:
            seeds = with_run(seeds, tables, options.add)
        except MageError as error:
            parser.error(str(error))
        seeds.round(4).to_csv(SEEDS, index=False)
    for table in tables:
        if len(own := seeds[seeds["table"] == table.number]):
            print(markdown(table, own))
            print("\n".join([*variance_lines(own), ""]))


def with_run(seeds: pd.DataFrame, tables: Sequence[AblationTable], run: Path) -> pd.DataFrame:
    """The seeds with those of a run, which replace what there was of the same rows."""
    found = pd.concat([scores(table, run).replicates.assign(table=table.number) for table in tables])
    kept = seeds[~seeds.set_index(ROW).index.isin(found.set_index(ROW).index)]
    together = pd.concat([kept, found]) if len(kept) else found
    return together[[*ROW, *together.columns.difference(ROW)]].sort_values(ROW, kind="stable")


def markdown(table: AblationTable, seeds: pd.DataFrame) -> str:
    """Measured beside published, for the scenarios of which there is something."""
    measured = list(dict.fromkeys(seeds["scenario"]))
    compared = compare_ablation(seeds, table.number, list(table.variants), table.reference, measured)
    return to_markdown(compared, table.title, table.reference, table.notes)


def variance_lines(seeds: pd.DataFrame) -> list[str]:
    """Whether the rows of a table differ at all by more than their seeds do: a line a scenario."""
    lines = []
    for scenario, own in seeds.groupby("scenario"):
        rows = own.groupby("variant")["value"]
        if rows.ngroups < 2 or len(own) == rows.ngroups:  # one row, or one seed of each: nothing to judge by
            continue
        found = f_oneway(*(values for _, values in rows))
        within, told = rows.var().mean() ** 0.5, f"F = {found.statistic:.2f}, p = {found.pvalue:.2f}"
        lines.append(f"- {scenario}, one-way analysis of variance: {told}; seeds of a row deviate by {within:.1f}.")
    return lines


if __name__ == "__main__":
    main()
