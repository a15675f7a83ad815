"""The command line where it trains on Ray."""

import re
from pathlib import Path

import pytest

from tests.test_cli import run, tiny

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
