"""The benchmark of sweeps tells what their tables say."""

import argparse
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import sweeping
from mage.config import load_config


def test_a_first_stage_that_is_named_otherwise_is_not_shared_and_trains_alike() -> None:
    plain = load_config("cpu", [], "maze2d")
    apart = load_config("cpu", [sweeping.NEVER_ALIKE.format(1)], "maze2d")
    assert plain.hash() != apart.hash()
    stage = apart.training.autoencoder  # type: ignore[attr-defined]
    assert stage.weight_decay * stage.learning_rate < 1e-14  # less than single precision tells


def test_trials_are_counted_by_how_they_ended_and_the_best_is_of_those_trained_whole() -> None:
    trials = pd.DataFrame({"status": ["finished", "stopped", "failed", "finished"], "score": [1.0, 9.0, None, 3.0]})
    assert sweeping.ended(trials) == {"finished": 2, "stopped": 1, "failed": 1, "best": 3.0, "mean": 2.0}
    assert [row["of the last"] for row in sweeping.with_ratio([{"minutes": 3.0}, {"minutes": 4.0}])] == [0.75, 1.0]


@pytest.mark.ray
@pytest.mark.slow
def test_depths_that_share_the_first_stage_train_it_once_a_seed(
    ray_cluster: None, tiny_maze_here: Path, tmp_path: Path
) -> None:
    small = [f"training.{stage}.steps=2" for stage in ("autoencoder", "transformer", "inverse_dynamics")]
    small.append("evaluation.batch_size=1")
    options = argparse.Namespace(scenario="maze2d-umaze", depths=[1, 2], seeds=1, episodes=1, set=small, out=tmp_path)
    rows = sweeping.shared(options)
    assert [row["kept"] for row in rows] == [1, 2]
    assert [row["finished"] for row in rows] == [2, 2]
