"""The paper's tables of methods, filled with what the `cpu` presets have got here so far; prints them in Markdown.

    python -m benchmarks.paper_cpu                  # Tables 1-4 and 16-18
    python -m benchmarks.paper_cpu --table 4 17

It measures nothing: its numbers are those of the pages `rivals_cpu.md`, `references_cpu.md`, `planners.md` and
`routes.md`, of a cell those of the page that has played the most episodes for it, as far as they are of the preset as
it is today. Whoever is asked for a return is asked for the scenario's, throughout.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from mage import registry, scenarios
from mage.config import load_config
from mage.paper.formats import to_markdown
from mage.paper.layouts import Layout, get_layouts
from mage.paper.measurements import REPLICATE_COLUMNS
from mage.paper.printed import Printed, fill
from mage.results.published import algorithms_by_method, published, reconstructions

HERE = Path(__file__).parent
TABLES = ("1", "2", "3", "4", "16", "17", "18")
CONFIGURED = ["scenario", "algorithm", "config_hash"]
COLUMNS = [*CONFIGURED, "value", "success", "episodes"]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", nargs="+", default=TABLES, metavar="N")
    measured = replicates()
    layouts = get_layouts(parser.parse_args().table)
    print(to_markdown([filled(layout, measured) for layout in layouts]), end="")


def replicates() -> pd.DataFrame:
    """A row a training seed: scenario, variant (the method, as the paper calls it), value, success and episodes."""
    numbers = [seed_by_seed("rivals_cpu.csv"), seed_by_seed("planners.csv"), references(), routes()]
    pages = pd.concat(numbers, keys=range(len(numbers)), names=["page"]).reset_index("page")
    pages = pages.merge(todays(pages))
    played = pages.groupby(["scenario", "algorithm", "page"])["episodes"].sum()
    longest = played.groupby(["scenario", "algorithm"]).transform("max")
    kept = played[played == longest].reset_index().drop_duplicates(["scenario", "algorithm"])
    pages = pages.merge(kept[["scenario", "algorithm", "page"]])
    methods = {algorithm: method for method, algorithm in algorithms_by_method().items()}
    return pages.assign(variant=pages["algorithm"].map(methods).fillna(pages["algorithm"]))[REPLICATE_COLUMNS]


def todays(measured: pd.DataFrame) -> pd.DataFrame:
    """The configurations among those measured that are their scenario's `cpu` preset of today."""
    known = measured[measured["algorithm"].isin(registry.names())][CONFIGURED].drop_duplicates()
    is_todays = [
        load_config("cpu", domain=scenarios.get(scenario).domain, algorithm=algorithm, scenario=scenario).hash() == own
        for scenario, algorithm, own in known.itertuples(index=False, name=None)
    ]
    return known[is_todays]


def seed_by_seed(file: str) -> pd.DataFrame:
    """A row a training seed of a page's own, as far as it was trained and played."""
    rows = pd.read_csv(HERE / file).rename(columns={"mean": "value", "success_rate": "success"})
    return rows.dropna(subset="value")[COLUMNS]


def references() -> pd.DataFrame:
    """The same of `references_cpu.md`, whose means and errors are of two seeds each: so far from the mean is each."""
    means = pd.read_csv(HERE / "references_cpu.csv").rename(columns={"success_rate": "success"})
    both = [means.assign(value=means["mean"] + side * means["standard_error"]) for side in (-1, 1)]
    return pd.concat(both)[COLUMNS]


def routes() -> pd.DataFrame:
    """The same of `routes.md`: what asks for nothing, or for the scenario's return throughout."""
    episodes = pd.read_parquet(HERE / "routes.parquet")
    is_own = (episodes["method"] == episodes["algorithm"]) & episodes["target"].isin(["own", "constant"])
    seeds = episodes[is_own].groupby([*CONFIGURED, "training_seed"])["normalized_score"]
    return seeds.agg(value="mean", episodes="size").assign(success=float("nan")).reset_index()[COLUMNS]


def filled(layout: Layout, measured: pd.DataFrame) -> Printed:
    """A table with what of it is measured, and under it what both numbers are."""
    methods = set(layout.columns.values())
    own = measured[measured["scenario"].isin(layout.scenarios) & measured["variant"].isin(methods)]
    cells = own.groupby(["scenario", "variant"]).size()
    whole = len(layout.scenarios) * len(methods)
    seeds = "one training seed" if cells.max() == 1 else f"{cells.min()} to {cells.max()} training seeds"
    notes = [f"Measured: {len(cells)} of {whole} cells, {seeds} of 50 or 100 episodes."]
    notes += [
        f"{name} is measured with {algorithm}: {reconstructions()[algorithm]}." for name, algorithm in remade(own)
    ]
    return fill(layout, own, published(), notes)


def remade(measured: pd.DataFrame) -> list[tuple[str, str]]:
    """The methods of which there is only a reconstruction, and its name."""
    names = {name: algorithms_by_method().get(name, "") for name in measured["variant"].unique()}
    return [(name, algorithm) for name, algorithm in names.items() if algorithm in reconstructions()]


if __name__ == "__main__":
    main()
