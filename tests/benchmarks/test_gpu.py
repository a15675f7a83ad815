"""The benchmark for GPUs, as far as a machine without one can run it."""

import json
import time
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.__main__ import measure
from benchmarks.gpu.acting import decider
from benchmarks.gpu.measuring import ACTION_SIZE, OBSERVATION_SIZE, Bench, synthetic
from benchmarks.gpu.table import tables
from mage.config import AlgorithmConfig
from mage.interface import Policy
from mage.training.trainer import Trainer

PARTS = ["ceilings", "steps", "acting", "learning"]


def bench() -> Bench:
    return Bench(torch.device("cpu"), small=True, ends_at=time.monotonic() + 600, scenario="maze2d-umaze")


def untrained(config: AlgorithmConfig) -> Policy:
    return Trainer(synthetic(4), config, seed=0, device=torch.device("cpu")).policy()


def test_acting_looks_at_no_value_on_the_way_so_that_a_cuda_graph_can_hold_it() -> None:
    mage = bench().paper()
    for policy in (untrained(mage), untrained(bench().transformer_like(mage))):
        policy.to("meta")  # a device whose tensors have no values: to look at one is an error
        with torch.inference_mode():
            condition_BY = torch.empty(5, 1 + OBSERVATION_SIZE, device="meta")
            actions_BA = decider(policy, 5, torch.float32)(condition_BY)
        assert actions_BA.device.type == "meta"
        assert actions_BA.shape == (5, ACTION_SIZE)


@pytest.mark.slow
def test_parts_without_ray_run_on_a_cpu_and_make_a_table(tiny_maze_here: Path, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    measure(bench(), PARTS, out)
    measured = json.loads(out.read_text())
    assert [measured[part].get("error") for part in PARTS] == [None] * len(PARTS)
    assert {row["data"] for row in measured["learning"]["rows"]} == {"mage/maze2d/umaze-v0"}
    assert all(row["TFLOP"] > 0 for row in measured["steps"]["rows"])
    text = tables(measured)
    assert "| transformer | bf16 |" in text
    assert "Failed" not in text
