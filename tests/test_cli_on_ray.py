"""The command line where it trains and evaluates on Ray."""

import re
import sys
from pathlib import Path

import pytest

from tests.test_cli import in_a_process, run, run_well, tiny

pytestmark = pytest.mark.ray


def test_training_that_diverges_on_a_worker_is_not_repeated_and_ends_with_one_line(
    ray_cluster: None, tiny_maze_here: Path, tmp_path: Path
) -> None:
    diverges = ("--set", "training.autoencoder.learning_rate=1e30", "--set", "training.log_every=1")
    result = run("train", "maze2d-umaze", *tiny(), *diverges, "--workers", 1, "--out", tmp_path / "run")
    assert result.exit_code == 2, repr(result.exception)
    (line,) = result.stderr.splitlines()
    assert re.match(r"error: the loss of the autoencoder is .*; lower training\.autoencoder\.learning_rate", line)
    # a learning rate cannot harm the first loss; trained again, it would be there again
    assert result.stdout.count("autoencoder 1/20: ") == 1
    assert "restart" not in result.stdout


def test_a_sweep_is_searched_shown_and_its_policies_evaluated(
    ray_address: str, tiny_maze_here: Path, tmp_path: Path
) -> None:
    small = ("--trials", 2, "--episodes", 3, "--space", "transformer.depth=[1,2]")
    few = ("--set", "evaluation.intermediate_episodes=1", "--address", ray_address, "--out", tmp_path / "run")
    done = in_a_process(
        Path(sys.executable).with_name("mage"), "sweep", "maze2d-umaze", *tiny(), *small, *few, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "depth" in run_well("results", "show", tmp_path / "run")
    policy = next((tmp_path / "run" / "maze2d-umaze" / "policies").glob("*/seed-0"))
    run_well("evaluate", policy, "--episodes", 1, "--scenario", "maze2d-umaze")
    assert (policy / "episodes.parquet").is_file()
