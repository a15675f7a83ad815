"""Scenarios run side by side where one leaves room, share it fairly, and come to what each comes to alone."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import mage
from mage import scenarios
from mage.data import maze2d
from mage.data.sources import load_trajectories
from mage.errors import MageError
from mage.evaluation.episodes import evaluate_policies
from mage.results import write_parquet
from mage.search.plan import make_plan
from mage.search.settings import make_settings
from mage.search.side_by_side import fair_shares, run_side_by_side
from mage.search.sweep import run_sweep
from mage.training.trainer import Trainer

MAZES = ("maze2d-umaze", "maze2d-medium")
# long enough for the second driver to come while the first trial trains
CHANGES = (
    "behaviour_cloning.hidden_dim=16",
    "training.reference.steps=4000",
    "training.reference.batch_size=16",
    "evaluation.inspection_episodes=0",
)


@pytest.mark.parametrize(
    ("room", "left", "shares"),
    [
        (8, [20, 20], [4, 4]),
        (7, [20, 20], [4, 3]),
        (8, [2, 20, 20], [2, 3, 3]),
        (8, [1, 1], [1, 1]),
        (2, [9, 9, 9], [1, 1, 1]),
        (4, [0, 9], [1, 3]),
        (5, [], []),
    ],
)
def test_room_is_shared_in_turn_and_what_one_does_not_need_another_gets(
    room: int, left: list[int], shares: list[int]
) -> None:
    assert fair_shares(room, left) == shares


def test_a_driver_follows_what_it_is_told_and_dies_with_who_tells_it() -> None:
    follow = "from mage.search.driver import Share\nimport time\nshare = Share()\nprint(share(), flush=True)\n"
    follow += "while share() == 2: time.sleep(0.01)\nprint(share(), flush=True)\ntime.sleep(60)"
    command = [sys.executable, "-c", follow]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdin and driver.stdout
        for share in ("2\n", "5\n"):
            driver.stdin.write(share)
            driver.stdin.flush()
            assert driver.stdout.readline() == share
        driver.stdin.close()
        assert driver.wait(20) == -signal.SIGKILL


def test_what_ends_a_driver_is_raised_when_all_have_ended(tmp_path: Path) -> None:
    settings = make_settings(scenarios=MAZES, variants={"bc": ["algorithm=bc"]})
    plans = [make_plan(name, settings) for name in MAZES]
    with pytest.raises(MageError, match=r"there is no sweep|sweep\.json"):
        run_side_by_side(plans, tmp_path, lambda: 2, "local", "nothing is lost", [])


@pytest.fixture
def two_mazes(tiny_maze_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny U-maze and a medium one beside it."""
    root = tmp_path / "minari"
    shutil.copytree(tiny_maze_root, root)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    maze2d.collect("maze2d-medium", episodes=20, workers=1, reference_episodes=5, max_episode_steps=60)


@pytest.mark.ray
def test_two_scenarios_of_one_trial_each_train_at_once_and_come_to_what_each_comes_to_alone(
    ray_address: str, two_mazes: None, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    settings = make_settings(scenarios=MAZES, variants={"bc": ["algorithm=bc"]}, overrides=CHANGES, episodes=2)
    out = tmp_path / "run"
    results = run_sweep(settings, out)
    first, second = (mage.results.load_statuses(out)[name] for name in MAZES)
    assert first.updated and second.started and second.started < first.updated
    assert first.pid != second.pid and {first.state, second.state} == {"finished"}
    told = capsys.readouterr().out
    assert all(f"[{name} " in told for name in MAZES)
    alone = []
    for name in MAZES:
        trainer = Trainer(load_trajectories(scenarios.get(name)), settings.variant_configs(name)["bc"], seed=0)
        trainer.advance(trainer.total_steps)
        alone.append(evaluate_policies([trainer.policy()], 2, extra={"variant": "bc"}))
    write_parquet(pd.concat(alone, ignore_index=True), tmp_path / "alone.parquet")
    expected = mage.results.load(tmp_path / "alone.parquet")
    pd.testing.assert_frame_equal(results[expected.columns], expected)
    before = (out / MAZES[1] / "results.parquet").stat().st_mtime_ns
    run_sweep(settings, out, resume=True)
    assert "maze2d-medium: done before, kept" in capsys.readouterr().out
    assert (out / MAZES[1] / "results.parquet").stat().st_mtime_ns == before
