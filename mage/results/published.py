"""The paper's result tables, as data.

The paper reports a mean and, as it says, a standard error over 5 training seeds. Its baseline columns come from several
sources: most IQL, DT, BC and CQL cells equal CORL's, which are standard deviations over 4 seeds. So a number of the
paper always travels with its table, and is never put in one column with a measured one.
"""

from functools import cache
from importlib.resources import files

import pandas as pd
import yaml

SEEDS = 5
EPISODES_PER_SEED = {"adroit": 20, "kitchen": 20, "maze2d": 100, "antmaze": 100}
"""Section 4; the paper does not say for the other domains."""


def published(scenario: str | None = None, method: str | None = None) -> pd.DataFrame:
    """Published numbers, a row a cell: table, domain, scenario, method, metric, mean, error, seeds, episodes_per_seed.

    Args:
        scenario: only this one, by its name in the paper, such as pen-expert.
        method: only this one, such as MAGE, or "MAGE K=4" of an ablation.
    """
    with files("mage.results").joinpath("published_results.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file)
    table["seeds"] = SEEDS
    table["episodes_per_seed"] = table["domain"].map(EPISODES_PER_SEED)
    if scenario is not None:
        table = table[table["scenario"] == scenario]
    if method is not None:
        table = table[table["method"] == method]
    return table.reset_index(drop=True)


def algorithms_by_method() -> dict[str, str]:
    """What the paper calls a method -> what the algorithm is called here, or would be: not all are there."""
    return _declared()["methods"]


def reconstructions() -> dict[str, str]:
    """Algorithm -> what is to be said where its numbers stand beside those of the method that it reconstructs."""
    return _declared()["reconstructions"]


@cache
def _declared() -> dict[str, dict[str, str]]:
    return dict(yaml.safe_load(files("mage.results").joinpath("published_methods.yaml").read_text(encoding="utf-8")))
