"""The table of sets with several routes: pairs of episodes, and a run that goes on from what is kept."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import routes


def episodes(**scores: list[float]) -> pd.DataFrame:
    """Of one set and seed, a row a method and episode."""
    rows = [
        {"scenario": "door-cloned", "training_seed": 0, "episode": number, "normalized_score": score}
        | {"method": method, "target": "own" if method == "bc" else "feasible", "success": score > 0}
        for method, own in scores.items()
        for number, score in enumerate(own)
    ]
    return pd.DataFrame(rows)


def test_differences_are_of_the_same_episodes_the_best_reference_first() -> None:
    frame = routes.differences(episodes(mage=[1.0, 3.0, 6.0], bc=[0.0, 0.0, 0.0], dt=[1.0, 2.0, 3.0]))
    assert frame["method"].unique().tolist() == ["mage, feasible"]
    assert frame["less"].tolist() == ["dt, feasible", "bc, own"]  # whom nobody asks is compared in any case
    assert frame["gain"].tolist() == pytest.approx([4 / 3, 10 / 3])
    assert frame["+-"].tolist() == pytest.approx([1.5275 / 3**0.5, 2.5166 / 3**0.5], abs=1e-3)


def test_errors_are_over_training_seeds_where_there_are_several() -> None:
    frame = pd.DataFrame({"training_seed": [0, 0, 1, 1], "gained": [1.0, 3.0, 5.0, 7.0]})
    assert routes.mean_and_error(frame, "gained") == pytest.approx((4.0, 2.0))
    assert routes.mean_and_error(frame[:2], "gained") == pytest.approx((2.0, 1.0))


def test_what_is_measured_is_not_measured_again_on_another_machine(
    tiny_maze_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    small = ("training.reference.steps=5", "evaluation.inspection_episodes=2", "evaluation.batch_size=2")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tiny_maze_root))
    monkeypatch.setattr(routes, "SCENARIOS", ("maze2d-umaze",))
    methods = {
        "bc": ("bc", "cpu", small),
        "bc 0.1": ("bc", "cpu-0.1", small),  # which on a maze is the same
        "return_bc": ("return_bc", "cpu", (routes.FEASIBLE, *small)),
    }
    monkeypatch.setattr(routes, "METHODS", methods)

    def run(out: str) -> str:
        given = ["--seeds", "1", "--episodes", "2", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / out)]
        monkeypatch.setattr(sys, "argv", ["routes", *given])
        routes.main()
        return capsys.readouterr().out

    first = run("here")
    assert first.count("| maze2d-umaze | return_bc |") == 2  # two ways of asking
    assert first.count("| maze2d-umaze | bc | own | 1 |") == 1
    assert "bc 0.1" not in first
    assert run("elsewhere") == first
    assert not (tmp_path / "elsewhere").exists()
