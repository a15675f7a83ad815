"""One results table, a row an episode, and its views: summary, comparison with the paper, plots."""

from mage.results.costs import costs
from mage.results.failures import load_failures
from mage.results.method_table import format_table, method_table
from mage.results.plots.parameters import plot_parameters
from mage.results.plots.profiles import plot_profiles
from mage.results.published import algorithms_by_method, published
from mage.results.pull import pull
from mage.results.statistics import aggregate, budget, improvement, profile, runs
from mage.results.status import load_statuses
from mage.results.store import RESULT_COLUMNS, TRIAL_COLUMNS, load, load_trials, write_parquet
from mage.results.summary import compare, summary, warnings

__all__ = [
    "RESULT_COLUMNS",
    "TRIAL_COLUMNS",
    "aggregate",
    "algorithms_by_method",
    "budget",
    "compare",
    "costs",
    "format_table",
    "improvement",
    "load",
    "load_failures",
    "load_statuses",
    "load_trials",
    "method_table",
    "plot_parameters",
    "plot_profiles",
    "profile",
    "published",
    "pull",
    "runs",
    "summary",
    "warnings",
    "write_parquet",
]
