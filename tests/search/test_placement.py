"""Trials fit the cluster: nothing that runs at once can ask for more than there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mage.errors import MageError
from mage.search.placement import fit


@given(st.integers(1, 200), st.integers(1, 512), st.integers(0, 64), st.integers(1, 8))
def test_no_set_of_concurrent_trials_asks_for_more_than_the_cluster_has(
    trials: int, cpus: int, gpus: int, workers: int
) -> None:
    try:
        placement = fit(trials, cpus, gpus, workers)
    except MageError:
        assert workers > cpus or (gpus and workers > gpus)
        return
    assert 1 <= placement.concurrent_trials <= trials
    assert placement.concurrent_trials * placement.trial.cpus <= cpus
    assert placement.trial.use_gpu == (gpus > 0)
    if gpus:
        assert placement.concurrent_trials * placement.trial.workers <= gpus


def test_two_cpus_run_two_trials_of_one_worker() -> None:
    placement = fit(trials=4, cpus=2, gpus=0)
    assert (placement.concurrent_trials, placement.trial.cpus) == (2, 1)


def test_a_gpu_node_runs_a_trial_a_gpu_and_shares_out_its_cpus() -> None:
    placement = fit(trials=16, cpus=32, gpus=4)
    assert (placement.concurrent_trials, placement.trial.cpus_per_worker) == (4, 8)


def test_a_node_with_fewer_cpus_than_its_gpus_could_use_still_hosts_a_worker() -> None:
    assert fit(trials=16, cpus=32, gpus=4, cpus_per_gpu=2).trial.cpus_per_worker == 2


def test_too_many_workers_are_refused_in_a_sentence() -> None:
    with pytest.raises(MageError, match="a trial needs 3 training worker"):
        fit(trials=1, cpus=2, gpus=0, workers=3)
