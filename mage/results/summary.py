"""Views of the results table: a row a configuration, and beside it what the paper reports.

Training seeds are the unit of replication: a mean is the mean of the seeds' means and its standard error is taken over
them. Episodes of one policy say how well that policy is known, not how well the algorithm is.
"""

import pandas as pd

from mage.errors import MageError
from mage.results.failures import CONFIGURATION, RANDOM_SCORE
from mage.results.published import algorithms_by_method
from mage.results.published import published as published_results
from mage.results.store import KEY_COLUMNS, RESULT_COLUMNS
from mage.scenarios import name_in_paper


def summary(results: pd.DataFrame, failures: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a configuration, best first within a scenario: by score, or by return where nothing normalises it.

    Columns: the configuration, swept fields, seeds, episodes, mean and standard_error (over seeds, NaN with one) and
    iqm_episodes (over all episodes) of the normalised score, success_rate in percent, mean_return; and `iqm`, the
    former name of iqm_episodes. One over runs and scenarios is in `mage.results.aggregate`.

    Args:
        results: as from `mage.results.load`.
        failures: as from `mage.results.load_failures`; then there is a column `failed`, of so many of the seeds, which
            count as random policies. What failed altogether stands below what did not.
    """
    swept = [name for name in results.columns if name not in RESULT_COLUMNS]
    # A sum depends on the order of its terms in the last digit; sorted first, equal tables have equal summaries.
    episodes = results.sort_values(list(KEY_COLUMNS), ignore_index=True)
    episodes["success"] = 100 * episodes["success"].map({True: 1.0, False: 0.0}).astype("float64")
    measures = ["normalized_score", "success", "return"]
    by_seed = episodes.groupby([*CONFIGURATION, "training_seed"], dropna=False)[measures].mean()
    if failures is not None and len(failures):
        by_seed = pd.concat([by_seed.assign(failed=False), _imputed(failures, results)])
        known = pd.concat([episodes, failures], ignore_index=True)
    else:
        by_seed, known = by_seed.assign(failed=False), episodes
    seeds = by_seed.groupby(CONFIGURATION, dropna=False)
    configurations = known.groupby(CONFIGURATION, dropna=False)
    table = pd.DataFrame(
        {
            **{name: configurations[name].agg(lambda values: values.iloc[0]) for name in swept},
            "seeds": seeds.size(),
            "episodes": configurations["episode"].count(),
            "mean": seeds["normalized_score"].mean(),
            "standard_error": seeds["normalized_score"].sem(),
            "iqm_episodes": configurations["normalized_score"].agg(interquartile_mean),
            "success_rate": seeds["success"].mean(),
            "mean_return": seeds["return"].mean(),
            "failed": seeds["failed"].sum().astype(int),
        }
    ).reset_index()
    table["iqm"] = table["iqm_episodes"]
    table["nothing"] = table["episodes"] == 0
    order = ["scenario", "nothing", "mean", "mean_return", "algorithm", "config_hash", "dataset_id"]
    table = table.sort_values(order, ascending=[True, True, False, False, True, True, True], ignore_index=True)
    return table.drop(columns=["nothing"] if failures is not None else ["nothing", "failed"])


def _imputed(failures: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Failed runs as `summary` has those that were played; no score where nothing normalises the scenario's."""
    scored = results.groupby("scenario")["normalized_score"].apply(lambda own: own.notna().any())
    known = failures["scenario"].map(scored).fillna(True).astype(bool)
    score = pd.Series(RANDOM_SCORE, failures.index).where(known)
    rows = failures.assign(normalized_score=score, failed=True, success=float("nan"), **{"return": float("nan")})
    columns = ["normalized_score", "success", "return", "failed"]
    return rows.set_index([*CONFIGURATION, "training_seed"])[columns]


def warnings(results: pd.DataFrame) -> list[str]:
    """A line for each scenario whose scores are not comparable with ones measured elsewhere."""
    warned = results[["scenario", "warning"]].dropna().drop_duplicates().sort_values(["scenario", "warning"])
    return [f"{scenario}: {warning}" for scenario, warning in warned.itertuples(index=False)]


def interquartile_mean(scores: pd.Series) -> float:
    """The mean of the middle half, which one lucky or unlucky episode does not move (Agarwal et al., 2021)."""
    from scipy.stats import trim_mean  # seconds to import, and every worker imports this module

    known = scores.dropna()
    return float(trim_mean(known, 0.25)) if len(known) else float("nan")


def compare(
    results: pd.DataFrame, published: pd.DataFrame | None = None, failures: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The best configuration of each scenario, algorithm and dataset, and in columns of their own the paper's numbers.

    Columns: scenario, algorithm, config_hash, dataset_id; measured_* (mean, standard_error, seeds, episodes,
    success_rate); configurations, how many the best was chosen from, which flatters it; failed, how many training seeds
    of these failed and so count as random policies; published_* (metric, mean, error, seeds, episodes_per_seed, table)
    for the same algorithm, where the paper has it (`dt` is its DT: published_methods.yaml); mage_* (mean, error, table)
    for MAGE, whatever was measured; baseline_* (method, mean, error, table) for the best other method. What is not in
    the paper, or there of another protocol (OGBench's single task), is NaN there.

    Args:
        results: as from `load`.
        published: as from `mage.results.published()`, which is the default.
        failures: as from `load_failures`.

    Raises:
        MageError: a scenario of OGBench was played with several versions of it.
    """
    _check_versions(results)
    configurations = summary(results, pd.DataFrame() if failures is None else failures)
    group = ["scenario", "algorithm", "dataset_id"]
    best = configurations.groupby(group, dropna=False, sort=False).head(1)
    tried = configurations.groupby(group, dropna=False).size().rename("configurations").reset_index()
    measured = ["mean", "standard_error", "seeds", "episodes", "success_rate"]
    table = best[[*CONFIGURATION, *measured]].rename(columns={name: f"measured_{name}" for name in measured})
    failed = configurations.groupby(group, dropna=False)["failed"].sum().reset_index()
    table = table.merge(tried, on=group, how="left").merge(failed, on=group, how="left")
    scores = published_results() if published is None else published
    ours = {name_in_paper(name): name for name in table["scenario"].unique()}
    scores = scores.assign(scenario=scores["scenario"].map(ours))  # NaN for those that nothing was measured on
    scores = scores[scores["metric"].isin(["normalized_score", "success_rate"])]
    # an ablation of MAGE has a name of more words, and is neither MAGE nor another method
    is_mage, is_other = scores["method"] == "MAGE", scores["method"].str.split().str[0] != "MAGE"
    own = _first_tables(scores, ["scenario", "method"])
    own["algorithm"] = own["method"].map(algorithms_by_method())
    strongest = scores[is_other].sort_values(["mean", "table"], ascending=[False, True]).drop_duplicates("scenario")
    protocol = ["metric", "mean", "error", "seeds", "episodes_per_seed", "table"]
    return (
        table.merge(_named(own, "published", ["scenario", "algorithm"], protocol), how="left")
        .merge(
            _named(_first_tables(scores[is_mage], ["scenario"]), "mage", ["scenario"], ["mean", "error", "table"]),
            how="left",
        )
        .merge(_named(strongest, "baseline", ["scenario"], ["method", "mean", "error", "table"]), how="left")
    )


def _check_versions(results: pd.DataFrame) -> None:
    """MageError where OGBench's own version differs within a scenario."""
    for scenario, versions in differing_versions(results).items():
        raise MageError(
            f"{scenario} was played with {' and with '.join(versions)}, which reward differently; compare runs of one "
            "version, or play the others again by `mage evaluate`"
        )


def differing_versions(results: pd.DataFrame) -> dict[str, list[str]]:
    """Scenario -> versions of OGBench, where there are several: its rewards have changed between versions."""
    known = results[["scenario", "environment_version"]].dropna().drop_duplicates()
    known = known[known["environment_version"].str.startswith("ogbench ")]
    versions = {str(scenario): sorted(own) for scenario, own in known.groupby("scenario")["environment_version"]}
    return {scenario: own for scenario, own in versions.items() if len(own) > 1}


def _first_tables(scores: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """The first table of the paper that has each score."""
    return scores.sort_values("table", kind="stable").drop_duplicates(key)


def _named(scores: pd.DataFrame, kind: str, key: list[str], columns: list[str]) -> pd.DataFrame:
    """Those columns by the key, named for what they are of."""
    return scores[[*key, *columns]].rename(columns={name: f"{kind}_{name}" for name in columns})
