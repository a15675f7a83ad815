"""Statistics over runs and scenarios: intervals, comparisons and what tuning costs (Agarwal et al., NeurIPS 2021).

A run is a training seed; its score is the mean of its episodes. A method is an algorithm, or a variant of a sweep;
where it has several configurations on a scenario, its runs are those of the best one, and `of` says from how many that
was chosen. Methods are compared on the scenarios that all of them have. Intervals are percentiles of a bootstrap that
draws runs anew within each scenario (stratified); with a single run somewhere there are none. The seed decides it all.
A run that failed is one with the score of a random policy; a configuration of which all runs failed is chosen last.

Dodge et al. (EMNLP 2019) describe the score that a tuning budget buys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from mage.errors import MageError
from mage.results.failures import CONFIGURATION, RANDOM_SCORE
from mage.results.store import TRIAL_COLUMNS

RESAMPLES = 2000
CONFIDENCE = 0.95
Scores = list[np.ndarray]
"""The scores of a method's runs, an array a scenario."""


def runs(results: pd.DataFrame, by: str | None = None, failures: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a run: method, scenario, training_seed, score, failed, of (configurations from which it was chosen).

    Args:
        results: as from `mage.results.load`.
        by: the column that names the methods; by default `variant` where there is one, else `algorithm`.
        failures: as from `mage.results.load_failures`.

    Raises:
        MageError: there is no such column, or no normalised score.
    """
    by = by or ("variant" if "variant" in results.columns else "algorithm")
    if by not in results.columns:
        raise MageError(f"the results have no column '{by}'; they have: {', '.join(map(str, results.columns))}")
    known = results.dropna(subset=["normalized_score"])
    if known.empty:
        raise MageError("no episode has a normalised score, without which scenarios cannot be put together")
    per_run = (
        known.assign(method=known[by])
        .groupby(["method", *CONFIGURATION, "training_seed"], dropna=False)["normalized_score"]
        .mean()
        .rename("score")
        .reset_index()
    )
    per_run["failed"] = False
    if failures is not None and by in failures.columns:
        lost = failures.assign(method=failures[by], score=RANDOM_SCORE, failed=True).dropna(subset=["method"])
        per_run = pd.concat([per_run, lost[per_run.columns]], ignore_index=True) if len(lost) else per_run
    configurations = per_run.groupby(["method", *CONFIGURATION], dropna=False)
    mean = configurations.agg(mean=("score", "mean"), lost=("failed", "all")).reset_index()
    mean["of"] = mean.groupby(["method", "scenario"])["mean"].transform("size")
    best = mean.sort_values(["lost", "mean", "config_hash", "dataset_id"], ascending=[True, False, True, True])
    best = best.drop_duplicates(["method", "scenario"]).drop(columns=["mean", "lost"])
    chosen = per_run.merge(best, on=["method", *CONFIGURATION])
    order = ["method", "scenario", "training_seed"]
    return chosen[[*order, "score", "failed", "of"]].sort_values(order, ignore_index=True)


def aggregate(
    results: pd.DataFrame,
    by: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    failures: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row a method, best first: mean, median and iqm over scenarios, each with `_low` and `_high` of its interval.

    The mean and the median are of the scenarios' means; the interquartile mean (iqm) is of all runs x scenarios, which
    neither one lucky run nor one easy scenario moves. Further columns: method, scenarios, runs, failed
    (of these), of.
    """
    rows = []
    for method, own, scores in _compared(runs(results, by, failures)):
        row: dict[str, object] = {"method": method, "scenarios": len(scores), "runs": len(own), "of": own["of"].max()}
        row["failed"] = int(own["failed"].sum())
        for name, measure in MEASURES.items():
            low, high = interval(scores, measure, resamples, seed)
            row |= {name: float(measure(*scores)), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows).sort_values(["iqm", "method"], ascending=[False, True], ignore_index=True)


def improvement(
    results: pd.DataFrame,
    by: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    failures: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """How probable it is that a run of a method scores above a run of another one, on a scenario drawn at random.

    Columns: method, over, probability, low, high, scenarios. A tie counts half (Mann and Whitney's U).
    """
    compared = list(_compared(runs(results, by, failures)))
    rows = []
    for method, _, own in compared:
        for over, _, theirs in compared:
            if method != over:
                split = len(own)

                def probability(*scores: np.ndarray, axis: int = -1, split: int = split) -> np.ndarray:
                    pairs = zip(scores[:split], scores[split:], strict=True)
                    return np.mean([_above(one, other) for one, other in pairs], axis=0)

                low, high = interval([*own, *theirs], probability, resamples, seed)
                found = {"probability": float(probability(*own, *theirs)), "low": low, "high": high}
                rows.append({"method": method, "over": over} | found | {"scenarios": split})
    return pd.DataFrame(rows, columns=["method", "over", "probability", "low", "high", "scenarios"])


def profile(
    results: pd.DataFrame,
    thresholds: Sequence[float] | None = None,
    by: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    failures: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The share of runs that score above each threshold, scenarios weighed alike: method, threshold, share, low, high.

    Args:
        thresholds: normalised scores; by default 101 of them, from the worst run to the best.
    """
    table = runs(results, by, failures)
    ladder = np.linspace(table["score"].min(), table["score"].max(), 101) if thresholds is None else thresholds
    rows = []
    for method, _, scores in _compared(table):
        for threshold in map(float, ladder):

            def share(*scores: np.ndarray, axis: int = -1, threshold: float = threshold) -> np.ndarray:
                return np.mean([(each > threshold).mean(axis) for each in scores], axis=0)

            low, high = interval(scores, share, resamples, seed)
            found = {"share": float(share(*scores)), "low": low, "high": high}
            rows.append({"method": method, "threshold": threshold} | found)
    return pd.DataFrame(rows)


def budget(trials: pd.DataFrame) -> pd.DataFrame:
    """The score that n configurations buy: the expected best of n of a scenario's trials, drawn without replacement.

    Columns: scenario, configurations (n), score, failed (how many of the trials did: each counts as a random policy).

    Args:
        trials: as from `mage.results.load_trials`.
    """
    missing = {"scenario", "status", "score"} - set(trials.columns)
    if missing:
        raise MageError(f"this is no table of trials ({', '.join(TRIAL_COLUMNS)}): it lacks {', '.join(missing)}")
    rows = []
    for scenario, own in trials.groupby("scenario"):
        failed = own["score"].isna()
        scores = np.sort(own["score"].fillna(RANDOM_SCORE).to_numpy(float))
        for n in range(1, len(scores) + 1):
            counts = {"configurations": n, "failed": int(failed.sum())}
            rows.append({"scenario": scenario} | counts | {"score": expected_best(scores, n)})
    return pd.DataFrame(rows, columns=["scenario", "configurations", "score", "failed"])


def expected_best(ascending_N: np.ndarray, n: int) -> float:
    """The mean of the best of n out of N scores over all choices: sum_i s_i C(i - 1, n - 1) / C(N, n), i from 1."""
    from scipy.special import comb

    below_N = np.arange(len(ascending_N))
    return float((ascending_N * comb(below_N, n - 1)).sum() / comb(len(ascending_N), n))


def mean(*scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """Of the scenarios' means."""
    return np.mean([each.mean(axis) for each in scores], axis=0)


def median(*scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """Of the scenarios' means."""
    return np.median([each.mean(axis) for each in scores], axis=0)


def interquartile_mean(*scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean of the middle half of all runs x scenarios."""
    from scipy.stats import trim_mean  # seconds to import, and every worker imports this package

    return np.asarray(trim_mean(np.concatenate(scores, axis), 0.25, axis))


MEASURES: dict[str, Callable[..., np.ndarray]] = {"mean": mean, "median": median, "iqm": interquartile_mean}


def interval(
    scores: Scores, measure: Callable[..., np.ndarray], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The bounds between which a measure of the runs lies in 95 % of stratified resamples; NaN with a single run."""
    from scipy.stats import bootstrap

    if min(map(len, scores)) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    drawn = bootstrap(scores, measure, n_resamples=resamples, confidence_level=CONFIDENCE, method="percentile", rng=rng)
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def _compared(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, Scores]]:
    """Each method, its runs, and their scores by scenario, on the scenarios that all methods have."""
    methods = table.groupby("scenario")["method"].nunique()
    shared = sorted(methods[methods == table["method"].nunique()].index)
    if not shared:
        raise MageError("there is no scenario on which all of these methods have results; compare fewer of them")
    for method, own in table[table["scenario"].isin(shared)].groupby("method"):
        yield str(method), own, [own.loc[own["scenario"] == name, "score"].to_numpy() for name in shared]


def _above(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The share of pairs, along the last axis, in which the first is above the second; a tie is half a pair."""
    differences = one[..., :, None] - other[..., None, :]
    return ((differences > 0) + 0.5 * (differences == 0)).mean((-2, -1))
