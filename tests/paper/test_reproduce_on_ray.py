"""Tables of the paper, really trained on Ray, gone on with, and printed."""

from pathlib import Path

import pandas as pd
import pytest

from tests.test_cli import TINY, run, run_well

pytestmark = pytest.mark.ray

PART = ("--table", "4", "--scenarios", "maze2d-umaze", "--algorithms", "IQL", "mage", "--preset", "cpu")
SMALL = ("--set", *TINY, "training.critic.steps=20", "evaluation.inspection_episodes=0")


def test_a_part_of_a_table_is_trained_gone_on_with_and_printed_in_its_layout(
    ray_cluster: None, tiny_maze_here: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    told = run_well("paper", "run", *PART, *SMALL, "--seeds", 2, "--episodes", 4, "--out", out)
    episodes = pd.read_parquet(out / "results.parquet")
    assert episodes.groupby(["algorithm", "training_seed"]).size().to_dict() == {
        (name, seed): 4 for name in ("iql", "mage") for seed in (0, 1)
    }
    means = episodes.groupby(["algorithm", "training_seed"])["normalized_score"].mean().groupby("algorithm").mean()
    kept = (out / "table-4-printed.md").read_text()
    assert kept in told and "over 2 training seeds, 4 episodes each" in kept
    shown = pd.read_csv(out_of(run_well("paper", "show", "--table", 4, "--as", "csv", "--out", out), tmp_path))
    (row,) = shown[shown["Scenario id"] == "maze2d-umaze"].to_dict("records")
    assert {name: row[name] for name in ("IQL", "MAGE")} == pytest.approx({"IQL": means["iql"], "MAGE": means["mage"]})
    assert shown.loc[shown["Scenario id"] != "maze2d-umaze", "MAGE"].isna().all()

    again = run_well("paper", "run", *PART, *SMALL, "--seeds", 2, "--episodes", 4, "--out", out, "--resume")
    assert kept in again and "trained" not in again
    refused = run("paper", "run", *PART, *SMALL, "--seeds", 3, "--episodes", 4, "--out", out, "--resume")
    assert refused.exit_code == 2 and len(refused.stderr.splitlines()) == 1


def out_of(text: str, folder: Path) -> Path:
    (folder / "shown.csv").write_text(text)
    return folder / "shown.csv"
