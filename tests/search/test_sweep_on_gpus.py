"""A sweep on clusters with GPUs, as far as Ray knows: it counts them without looking. Each is a real Ray cluster, its
nodes on this machine; torch trains on the CPU all the same.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from ray._private import ray_constants
from ray.cluster_utils import Cluster

from mage.search.placement import Node

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

SMALL = (
    "autoencoder.embed_dim=16",
    "autoencoder.codebook_size=16",
    "autoencoder.num_scales=2",
    "transformer.embed_dim=16",
    "transformer.depth=1",
    "training.autoencoder.steps=20",
    "training.transformer.steps=20",
    "training.inverse_dynamics.steps=10",
    "training.log_every=5",
    "evaluation.batch_size=1",
    "evaluation.inspection_episodes=0",
)
SWEEP = """
from mage.search.script import run_variants_script
rates = {f"rate {rate}": [f"training.transformer.learning_rate={rate}"] for rate in (2e-3, 1e-3)}
run_variants_script(None, ["maze2d-umaze"], rates, seeds=1)
"""


@pytest.fixture
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Ray cluster of the nodes that the test asks for, the first of them its head."""
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)  # the same, had Ray been imported before
    monkeypatch.setenv("RAY_prestart_worker_first_driver", "0")  # else each node starts a process for each of its CPUs
    nodes = [
        {"num_cpus": node.cpus, "num_gpus": node.gpus, "object_store_memory": 100 * 2**20} for node in request.param
    ]
    started = Cluster(initialize_head=True, head_node_args=nodes[0] | {"include_dashboard": False})
    for node in nodes[1:]:
        started.add_node(**node)
    yield started.address
    started.shutdown()


def run_sweep(address: str, out: Path, *options: str) -> list[str]:
    """What a sweep of near-empty trials printed."""
    command = [sys.executable, "-c", SWEEP, "--address", address, "--out", str(out), "--set", *SMALL]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=1100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def trained_during_evaluation(lines: list[str]) -> set[tuple[str, str]]:
    """(A, B) where B said how far its training is between the end of A's training and A's score."""
    pairs, evaluated = set(), set()
    for line in lines:
        if match := re.search(r"\[(rate .+?)\] trained", line):
            evaluated.add(match[1])
        elif match := re.search(r"\[(rate .+?)\]: score", line):
            evaluated.discard(match[1])
        elif match := re.search(r"\[(rate .+?)\] seed 0: ", line):
            pairs |= {(other, match[1]) for other in evaluated - {match[1]}}
    return pairs


@pytest.mark.parametrize("cluster", [[Node(8, 1)]], indirect=True)
def test_one_gpu_trains_the_next_trial_while_the_last_one_is_evaluated(
    cluster: str, tiny_maze_here: Path, tmp_path: Path
) -> None:
    # one actor plays 70 episodes for longer than a worker takes to start, on a machine of two cores or more
    options = ("--actors", "1", "--episodes", "70")
    lines = run_sweep(cluster, tmp_path / "run", *options)
    assert any("on 1 node of 8 CPUs and 1 GPU: 1 trial trains at a time" in line for line in lines)
    assert len(pd.read_parquet(tmp_path / "run" / "results.parquet")) == 2 * 70
    assert trained_during_evaluation(lines), "\n".join(lines)


@pytest.mark.parametrize("cluster", [[Node(0), *[Node(8, 1)] * 2]], indirect=True)
def test_two_gpu_nodes_train_a_trial_of_two_workers_and_the_next_waits_its_turn(
    cluster: str, tiny_maze_here: Path, tmp_path: Path
) -> None:
    options = ("--workers", "2", "--backend", "gloo", "--actors", "1", "--episodes", "2")
    lines = run_sweep(cluster, tmp_path / "run", *options)
    assert any("on 2 nodes of 8 CPUs and 1 GPU: 1 trial trains at a time" in line for line in lines)
    assert set(pd.read_parquet(tmp_path / "run" / "trials.parquet")["status"]) == {"finished"}
