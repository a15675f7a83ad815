"""Counts, seeds and names that cannot be, on every verb: exit code 2, one line or Typer's box, and nothing is made."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mage import cli

LINES = """
data collect maze2d-umaze --episodes 0
data collect maze2d-umaze --episodes 99999999999999999999
data collect maze2d-umaze --workers -2
data collect maze2d-umaze --seed -1
data collect maze2d-umaze --episodes many
data show nope
data check --dataset ../../etc
data import-d4rl nope.hdf5
data download nope
train maze2d-umaze --seed 99999999999999999999
train maze2d-umaze --seed 1.5
train maze2d-umaze --workers -1
train maze2d-umaze --set training.device=gpu
train maze2d-umaze --set training.threads=0
train maze2d-umaze --set training.checkpoint_every=-1
train maze2d-umaze --set training.autoencoder.steps=0
train maze2d-umaze --set training.autoencoder.batch_size=0
train maze2d-umaze --set training.autoencoder.learning_rate=-1
train maze2d-umaze --set training.autoencoder.learning_rate=nan
train maze2d-umaze --set evaluation.batch_size=0
train maze2d-umaze --set evaluation.seed=-1
train maze2d-umaze --set evaluation.target_return_quantile=1.5
train maze2d-umaze --preset=
train maze2d-umaze --algorithm=
train --dataset=
evaluate nope --episodes 0
evaluate nope --actors -1
evaluate nope
evaluate nope --scenario nope
inspect nope --episodes -1
inspect nope
results show nope
results compare nope
results status nope
results pull nope --to here
results pull nope
sweep maze2d-umaze --trials 0
sweep maze2d-umaze --seeds -1
sweep maze2d-umaze --episodes 0
sweep maze2d-umaze --search-seed 99999999999
sweep maze2d-umaze --evaluations -1
sweep maze2d-umaze --report-seeds -1
sweep maze2d-umaze --workers 0
sweep maze2d-umaze --gpus-per-worker -1
sweep maze2d-umaze --gpus-per-worker nan
sweep maze2d-umaze --track nope
sweep maze2d-umaze --space transformer.depth=[]
sweep maze2d-umaze --space transformer.depth={low:1}
sweep maze2d-umaze --space =[1]
sweep maze2d-umaze maze2d-umaze
sweep nope
algorithms nope
config explain nope
scenarios nope
"""


@pytest.mark.parametrize("line", LINES.strip().splitlines())
def test_what_cannot_be_is_told_and_nothing_is_made(
    line: str, minari_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(minari_root)
    ended = CliRunner().invoke(cli.main, line.split())
    assert ended.exit_code == 2, ended.output
    assert isinstance(ended.exception, SystemExit)
    told = ended.stderr.splitlines()
    is_ours = len(told) == 1 and told[0].startswith("error: ") and len(told[0]) > len("error: ")
    assert is_ours or told[0].startswith("Usage: "), ended.stderr
    assert list(minari_root.iterdir()) == []
