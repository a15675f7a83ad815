"""Variants end to end, through real Ray Tune, Ray Train and evaluation actors."""

from pathlib import Path

import pandas as pd
import pytest

import mage
from mage.errors import MageError
from mage.search.settings import make_settings
from mage.search.sweep import run_sweep
from tests.search.test_sweep import SMALL

COMMON = (*SMALL, "training.reference.steps=40")
VARIANTS = {
    "full": [],
    "the same": ["transformer.depth=1"],
    "deep": ["transformer.depth=2"],
    "diverges": ["algorithm=bc", "training.reference.learning_rate=1e30"],
}


@pytest.mark.ray
def test_variants_are_trained_once_each_share_their_stage_1_fail_alone_and_resume(
    ray_cluster: None, tiny_maze_here: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out, folder = tmp_path / "run", tmp_path / "run" / "maze2d-umaze"
    settings = make_settings(scenarios=["maze2d-umaze"], variants=VARIANTS, overrides=COMMON, episodes=10)
    results = run_sweep(settings, out)
    assert results.groupby("variant").size().to_dict() == {"full = the same": 10, "deep": 10}
    hashes = {config.hash() for name, config in settings.variant_configs("maze2d-umaze").items() if name != "diverges"}
    assert set(results["config_hash"]) == hashes
    assert len(list((folder / "artefacts").glob("autoencoder-*"))) == 1
    trials = pd.read_parquet(out / "trials.parquet")
    assert dict(zip(trials["variant"], trials["status"], strict=True)) == dict.fromkeys(
        set(results["variant"]), "finished"
    ) | {"diverges": "failed"}
    told = capsys.readouterr().out
    assert "starts: full (+1 equal)" in told
    (error,) = trials.query("variant == 'diverges'")["error"]
    assert error.startswith("the loss of the reference is ") and "lower training.reference.learning_rate" in error
    assert "restart 1 of" not in told
    assert (out / "scores.png").stat().st_size > 5000
    policies = [mage.load_policy(path) for path in (folder / "policies").glob("*/seed-0")]
    assert {policy.config.hash() for policy in policies} == hashes
    for table in (out / "results.parquet", folder / "results.parquet", folder / "trials.parquet"):
        table.unlink()
    played = {path: path.stat().st_mtime_ns for path in (folder / "episodes").iterdir()}
    pd.testing.assert_frame_equal(run_sweep(settings, out, resume=True), results)
    assert {path: path.stat().st_mtime_ns for path in (folder / "episodes").iterdir()} == played


def test_a_sweep_with_a_variant_that_cannot_be_writes_nothing(tmp_path: Path) -> None:
    settings = make_settings(scenarios=["maze2d-umaze"], variants={"ok": [], "too fine": ["autoencoder.num_scales=99"]})
    with pytest.raises(MageError, match="variant 'too fine' on maze2d-umaze"):
        run_sweep(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
