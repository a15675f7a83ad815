"""A policy that is exported loads as it was, and its card says what is known of it and no more."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner, Result

import mage
from mage.cli import main
from mage.interface.policy import load_policy

OLD_RUNS = Path(__file__).parents[1] / "data" / "old_runs"
OF_A_SWEEP = OLD_RUNS / "sweep" / "maze2d-umaze" / "policies" / "696ab5f3dc00" / "seed-0"


@pytest.fixture(autouse=True)
def no_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def error_of(*arguments: object) -> str:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output + repr(result.exception)
    (line,) = result.stderr.splitlines()
    return line


def front_matter(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    return read


def test_an_exported_policy_acts_as_before_to_the_bit(tmp_path: Path) -> None:
    mage.export(OLD_RUNS / "mage", tmp_path / "shared")
    observations = np.linspace(-1, 1, 18, dtype=np.float32).reshape(3, 6)
    before, after = load_policy(OLD_RUNS / "bc"), mage.export(OLD_RUNS / "bc", tmp_path / "bc", log=lambda line: None)
    np.testing.assert_array_equal(mage.load_policy(after).act(observations), before.act(observations))
    assert mage.load_policy(tmp_path / "shared").config == load_policy(OLD_RUNS / "mage").config
    assert {path.stat().st_mode & 0o044 for path in (tmp_path / "shared").iterdir()} == {0o044}


@pytest.mark.parametrize("source", [OLD_RUNS / "mage", OF_A_SWEEP], ids=["training", "policy of a sweep"])
def test_the_card_has_the_scores_of_the_policys_own_episodes(source: Path, tmp_path: Path) -> None:
    result = run(source, "--to", tmp_path / "shared", "--license", "apache-2.0")
    assert result.exit_code == 0, result.output
    episodes = pd.read_parquet(tmp_path / "shared" / "episodes.parquet")
    assert set(episodes["training_seed"]) == {load_policy(source).training_seed}
    card = front_matter(tmp_path / "shared")
    (results,) = card["model-index"][0]["results"]
    metrics = {metric["type"]: metric for metric in results["metrics"]}
    iqm = metrics["iqm_normalized_score"]
    assert metrics["mean_normalized_score"]["value"] == pytest.approx(episodes["normalized_score"].mean(), abs=1e-3)
    low, high = iqm["args"]["interval"]
    assert low <= iqm["value"] <= high
    assert (iqm["args"]["episodes"], card["license"]) == (len(episodes), "apache-2.0")


def test_without_an_evaluation_the_card_says_that_it_has_no_scores(tmp_path: Path) -> None:
    result = run(OLD_RUNS / "bc", "--to", tmp_path / "shared")
    assert (result.exit_code, "the card has no scores" in result.stdout) == (0, True), result.output
    assert "model-index" not in front_matter(tmp_path / "shared")
    assert "had not been evaluated" in (tmp_path / "shared" / "README.md").read_text()


def test_the_card_tells_the_data_apart_that_it_was_trained_on(tmp_path: Path) -> None:
    text = (mage.export(OLD_RUNS / "mage", tmp_path / "shared") / "README.md").read_text()
    task = load_policy(OLD_RUNS / "mage").task
    assert f"| fingerprint | `{task.fingerprint}`" in text
    assert "| episodes | 6 |\n| steps | 1800 |" in text
    assert "`mage data collect maze2d-umaze`" in text


def test_an_earlier_export_is_replaced_and_its_hidden_files_stay(tmp_path: Path) -> None:
    folder = mage.export(OLD_RUNS / "mage", tmp_path / "shared")
    (folder / ".git").mkdir()
    mage.export(OLD_RUNS / "bc", folder, log=lambda line: None)
    assert load_policy(folder).algorithm == "bc"
    assert sorted(path.name for path in folder.iterdir()) == [".git", "README.md", "config.json", "model.safetensors"]
    assert not list(tmp_path.glob(".shared*"))


def test_what_cannot_be_exported_is_told_in_a_line_and_nothing_is_written(tmp_path: Path) -> None:
    there, target = shutil.copytree(OLD_RUNS / "bc", tmp_path / "run"), tmp_path / "shared"
    before = sorted(path.name for path in there.iterdir())
    assert "is a sweep: give one of its policies" in error_of(OLD_RUNS / "sweep", "--to", target)
    assert "no policy in" in error_of(tmp_path / "nothing", "--to", target)
    assert "its training has not ended" in error_of(OLD_RUNS / "mage_stopped", "--to", target)
    assert "holds something else" in error_of(there, "--to", there)
    assert "is a file" in error_of(there, "--to", there / "policy.json")
    assert "say where to" in error_of(there)
    assert sorted(path.name for path in there.iterdir()) == before
    assert not target.exists()


def test_another_librarys_model_is_no_policy(tmp_path: Path) -> None:
    folder = mage.export(OLD_RUNS / "bc", tmp_path / "shared", log=lambda line: None)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(mage.MageError, match="another library's model"):
        mage.load_policy(folder)
    assert "holds something else" in error_of(OLD_RUNS / "bc", "--to", folder)
