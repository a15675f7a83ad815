"""Trials fit the cluster, and whatever happens in which order, they all end."""

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from mage.errors import MageError
from mage.search.placement import Node, fit, nodes_in_words, trials_at_once
from mage.search.settings import PlacementSettings, SweepSettings
from tests.search.scheduling import Cluster, run_trials

TWO_CPUS = (Node(2),)
ONE_GPU = (Node(8, 1),)
FOUR_GPUS = (Node(8, 1),) * 4
CLOUD = (Node(0), *FOUR_GPUS)  # a head that takes no trials, as cluster/gpu.yaml has it

some_nodes = st.sampled_from([TWO_CPUS, ONE_GPU, FOUR_GPUS, CLOUD]) | st.lists(
    st.builds(Node, st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=4
)
some_wishes = st.builds(
    PlacementSettings,
    cpus_per_worker=st.none() | st.integers(1, 4),
    gpus_per_worker=st.none() | st.sampled_from([0, 0.1, 0.25, 1 / 3, 0.5, 0.6, 1]),
    trials_at_once=st.none() | st.integers(1, 20),
    evaluation_actors=st.none() | st.integers(1, 20),
    backend=st.sampled_from([None, "gloo", "nccl"]),
)


def check(workers: int, wanted: PlacementSettings) -> None:
    """What is refused before any cluster is asked."""
    try:
        SweepSettings(scenarios=("pen-expert",), space={}, workers=workers, placement=wanted)
    except ValidationError:
        assume(False)


@given(some_nodes, st.integers(1, 12), st.integers(1, 4), some_wishes, st.integers(0, 2**32))
def test_whatever_is_asked_of_whatever_cluster_all_trials_end_or_none_starts(
    nodes: tuple[Node, ...], trials: int, workers: int, wanted: PlacementSettings, seed: int
) -> None:
    check(workers, wanted)
    try:
        placement = fit(nodes, trials, workers, wanted)
    except MageError as error:
        assert "\n" not in str(error)
        return
    assert 1 <= placement.trials_at_once <= trials
    most = run_trials(nodes, placement, trials, random.Random(seed))
    assert most <= min(placement.trainings, placement.trials_at_once)


@given(some_nodes, st.integers(1, 40), st.integers(1, 4))
def test_what_is_found_from_a_cluster_can_train_at_once_and_is_refused_only_where_nothing_fits(
    nodes: tuple[Node, ...], trials: int, workers: int
) -> None:
    try:
        placement = fit(nodes, trials, workers)
    except MageError:
        hosts = [node for node in nodes if node.gpus and node.cpus] or nodes
        assert sum(min(node.cpus, node.gpus) if node.gpus else node.cpus for node in hosts) < workers
        return
    cluster, ask = Cluster(nodes, random.Random(0)), placement.trial
    for _ in range(placement.trainings):
        assert cluster.place_all(ask.workers, ask.cpus_per_worker, ask.gpus_per_worker)
    assert placement.crew.actors <= sum(node.cpus for node in nodes)


@given(st.integers(1, 6), st.integers(2, 32), st.integers(1, 8), st.integers(1, 3))
def test_where_a_gpu_has_cpus_to_spare_trials_are_evaluated_while_all_gpus_train(
    count: int, cpus_per_gpu: int, gpus: int, workers: int
) -> None:
    assume(count * gpus >= workers)
    nodes = (Node(cpus_per_gpu * gpus, gpus),) * count
    placement = fit(nodes, trials=1000, workers=workers)
    cluster, ask = Cluster(nodes, random.Random(0)), placement.trial
    for _ in range(placement.trainings):
        assert cluster.place_all(ask.workers, ask.cpus_per_worker, ask.gpus_per_worker)
    assert placement.trials_at_once > placement.trainings
    for _ in range(placement.trials_at_once - placement.trainings):
        assert cluster.place_all(placement.crew.actors, 1, placement.crew.gpus)


@given(some_nodes, st.integers(2, 4), some_wishes)
def test_workers_that_talk_over_nccl_have_a_gpu_each(
    nodes: tuple[Node, ...], workers: int, wanted: PlacementSettings
) -> None:
    check(workers, wanted)
    try:
        trial = fit(nodes, 9, workers, wanted).trial
    except MageError:
        return
    assert trial.backend == "gloo" or trial.gpus_per_worker > 0.5


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (
            TWO_CPUS,
            "on 1 node of 2 CPUs: 2 trials train at a time, each on 1 worker of 1 CPU; "
            "then 1 actor of 1 CPU evaluates it",
        ),
        (
            ONE_GPU,
            "on 1 node of 8 CPUs and 1 GPU: 1 trial trains at a time, each on 1 worker of 4 CPUs and 0.75 GPU; "
            "then 4 actors of 1 CPU and 0.0625 GPU evaluate it while others train, 2 trials in flight",
        ),
        (
            CLOUD,
            "on 4 nodes of 8 CPUs and 1 GPU: 4 trials train at a time, each on 1 worker of 4 CPUs and 0.75 GPU; "
            "then 4 actors of 1 CPU and 0.0625 GPU evaluate it while others train, 6 trials in flight",
        ),
    ],
)
def test_a_sweep_says_what_runs_where(nodes: tuple[Node, ...], said: str) -> None:
    assert str(fit(nodes, trials=20)) == said


def test_nodes_are_told_by_kind() -> None:
    assert nodes_in_words([Node(0), Node(8, 1), Node(4), Node(8, 1)]) == "2 nodes of 8 CPUs and 1 GPU, 1 node of 4 CPUs"


def test_a_quarter_of_a_gpu_a_worker_trains_four_trials_on_it_and_leaves_evaluation_to_cpus() -> None:
    placement = fit(ONE_GPU, trials=20, wanted=PlacementSettings(gpus_per_worker=0.25))
    assert (placement.trainings, placement.trial.cpus_per_worker, placement.crew.gpus) == (4, 1, 0.0)


def test_workers_of_one_trial_may_be_on_several_nodes() -> None:
    placement = fit(FOUR_GPUS, trials=20, workers=3)
    assert (placement.trainings, placement.trial.backend) == (1, "nccl")


def test_a_gpu_node_with_fewer_cpus_than_gpus_hosts_what_its_cpus_can() -> None:
    placement = fit((Node(2, 4), Node(8, 1)), trials=20)
    assert placement.trainings == 3


def test_on_cpus_the_actors_take_the_place_of_the_training() -> None:
    assert fit((Node(8),), trials=2).crew.actors == 4
    assert fit((Node(8),), trials=20).crew.actors == 1


def test_a_gpu_that_may_not_be_used_is_left_alone() -> None:
    placement = fit(ONE_GPU, trials=20, use_gpu=False)
    assert (placement.trainings, placement.trial.use_gpu, placement.crew.gpus) == (8, False, 0.0)


def test_nodes_that_come_and_go_change_how_many_trials_are_in_flight() -> None:
    trial, wanted = fit(ONE_GPU, trials=20).trial, PlacementSettings()
    assert [trials_at_once(nodes, trial, 20, wanted) for nodes in (ONE_GPU, FOUR_GPUS, ())] == [2, 6, 1]


@pytest.mark.parametrize(
    ("nodes", "workers", "wanted", "use_gpu", "said"),
    [
        (
            TWO_CPUS,
            3,
            {},
            True,
            "3 training workers of 1 CPU each, the Ray cluster (1 node of 2 CPUs) has room for 2; use",
        ),
        (
            FOUR_GPUS,
            1,
            {"cpus_per_worker": 9},
            True,
            "9 CPUs and 0.75 GPU, the largest node of the Ray cluster has 8 CPUs",
        ),
        (
            TWO_CPUS,
            1,
            {"gpus_per_worker": 0.5},
            True,
            "use 0 GPUs a worker, which trains on CPUs, or start Ray with GPUs",
        ),
        ((Node(0),), 1, {}, True, "no node of the Ray cluster has a CPU for a training worker"),
        (ONE_GPU, 2, {}, True, "(1 node of 8 CPUs and 1 GPU) has room for 1"),
        ((Node(9, 2),), 3, {"gpus_per_worker": 0.6}, True, "has room for 2"),  # not three on two GPUs
        (ONE_GPU, 1, {"gpus_per_worker": 0.5}, False, "training.device=cpu trains on CPUs, but 0.5 GPU a worker"),
        (TWO_CPUS, 1, {"backend": "nccl"}, True, "the nccl backend is for GPUs"),
    ],
)
def test_what_cannot_run_is_refused_in_a_sentence_with_the_reason(
    nodes: tuple[Node, ...], workers: int, wanted: dict, use_gpu: bool, said: str
) -> None:
    with pytest.raises(MageError) as caught:
        fit(nodes, 1, workers, PlacementSettings(**wanted), use_gpu)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("nodes", [(), (Node(0),), TWO_CPUS, (Node(8), Node(4))])
def test_training_that_is_for_gpus_only_is_refused_where_there_are_none(nodes: tuple[Node, ...]) -> None:
    with pytest.raises(MageError, match=r"training\.device=cuda asks for GPUs, .* has none; set training\.device=auto"):
        fit(nodes, 1, needs_gpu=True)
    assert fit(ONE_GPU, 1, needs_gpu=True).trial.use_gpu
