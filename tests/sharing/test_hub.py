"""Policies go to a Hub that is really served, over HTTP, from this machine, and come back."""

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import mage
from mage.cli import main
from mage.sharing.hub import is_on_hub
from tests.sharing.hub import TOKEN, Hub, serving

OLD_RUNS = Path(__file__).parents[1] / "data" / "old_runs"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub, in a folder where nothing is called as its repositories."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serving() as served:
        settings = {
            "ENDPOINT": served.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": served.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
        }
        for name, value in settings.items():
            monkeypatch.setattr(huggingface_hub.constants, name, value)
        yield served


def test_a_policy_goes_to_the_hub_and_comes_back(hub: Hub) -> None:
    result = CliRunner().invoke(main, ["export", str(OLD_RUNS / "mage"), "--push", "somebody/maze"])
    assert result.exit_code == 0, result.output + repr(result.exception)
    files = {"README.md", "config.json", "model.safetensors", "episodes.parquet"}
    assert set(hub.models["somebody/maze"]) == files
    assert hub.private == {"somebody/maze"}
    policy = mage.load_policy("somebody/maze")
    assert policy.config == mage.load_policy(OLD_RUNS / "mage").config
    assert policy.act(np.zeros((1, 6), np.float32), generators=[torch.Generator()]).shape == (1, 2)
    assert sorted(hub.fetched) == ["config.json", "model.safetensors"]
    mage.load_policy(f"somebody/maze@{hub.commit('somebody/maze')}")
    assert len(hub.fetched) == 2


def test_what_is_not_on_the_hub_or_no_policy_is_told_in_a_line_and_no_weights_are_fetched(hub: Hub) -> None:
    with pytest.raises(mage.MageError, match="there is no folder somebody/nothing here, and from the Hugging Face Hub"):
        mage.load_policy("somebody/nothing")
    hub.models["somebody/bert"] = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"large"}
    with pytest.raises(mage.MageError, match="another library's model"):
        mage.load_policy("somebody/bert")
    assert hub.fetched == ["config.json"]


def test_a_hub_that_does_not_let_one_in_is_told_in_a_line(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    result = CliRunner().invoke(main, ["export", str(OLD_RUNS / "bc"), "--push", "somebody/maze"])
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.output
    assert "somebody/maze cannot be pushed to the Hugging Face Hub" in result.stderr
    assert hub.models == {}


def test_a_path_is_never_looked_for_on_the_hub(hub: Hub, tmp_path: Path) -> None:
    assert is_on_hub("somebody/maze") and is_on_hub("somebody/maze@v1")
    assert not any(map(is_on_hub, ("/somebody/maze", "./maze", "~/maze", "a/b/c", "maze")))
    (tmp_path / "somebody").mkdir()
    assert not is_on_hub("somebody/maze")
    with pytest.raises(mage.MageError, match="no policy in runs/first"):
        mage.load_policy(Path("runs/first"))
