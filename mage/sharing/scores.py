"""What the evaluated episodes of one policy say of it, and how sure that is."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from mage.results.statistics import CONFIDENCE, interquartile_mean, interval


class Scores(NamedTuple):
    """Of one policy, over its episodes.

    `measure` is what iqm, low, high and mean are of: `normalized_score` (0-100), or `return` where nothing normalises
    it. low and high bound the interval of the interquartile mean, by a bootstrap over episodes; None with one episode.
    `deviation` is that of the returns between episodes; success_rate is in percent, None where there is no success.
    """

    measure: str
    episodes: int
    iqm: float
    low: float | None
    high: float | None
    mean: float
    mean_return: float
    deviation: float
    success_rate: float | None
    warnings: tuple[str, ...]

    @property
    def name(self) -> str:
        """The measure in words."""
        return self.measure.replace("_", " ").replace("normalized", "normalised")

    @property
    def percent(self) -> str:
        """How sure the interval is."""
        return f"{100 * CONFIDENCE:g} %"


def scores_of(episodes: pd.DataFrame) -> Scores:
    """The scores of a policy.

    Args:
        episodes: rows of one policy, with the columns of `mage.results.RESULT_COLUMNS`.
    """
    measure = "return" if episodes["normalized_score"].isna().all() else "normalized_score"
    values, returns = episodes[measure].to_numpy(float), episodes["return"].to_numpy(float)
    low, high = interval([values], interquartile_mean)
    success = episodes["success"].dropna()
    return Scores(
        measure=measure,
        episodes=len(episodes),
        iqm=float(interquartile_mean(values)),
        low=None if math.isnan(low) else low,
        high=None if math.isnan(high) else high,
        mean=float(values.mean()),
        mean_return=float(returns.mean()),
        deviation=float(returns.std()),
        success_rate=100.0 * float(success.astype(float).mean()) if len(success) else None,
        warnings=tuple(sorted(set(episodes["warning"].dropna()))),
    )
