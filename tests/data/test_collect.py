import sys
from pathlib import Path

import pytest

from mage import scenarios
from mage.data.collect import RECORDERS, collect, recordable, scenario_of
from mage.errors import MageError


def test_every_maze_the_game_and_the_giant_maze_have_built_in_data() -> None:
    mazes = [f"{family}-{size}" for family in ("maze2d", "multi2d") for size in ("umaze", "medium", "large")]
    giant = [f"pointmaze-giant-{kind}-v0" for kind in ("navigate", "goals")]
    assert recordable() == [*mazes, *giant, "maze-game", "maze-game-hidden", "maze-game-starts"]


def test_every_scenario_with_built_in_data_has_a_recorder_and_no_other() -> None:
    assert sorted(RECORDERS) == sorted(recordable())


def test_a_built_in_dataset_tells_its_scenario() -> None:
    for name in recordable():
        dataset_id = scenarios.get(name).builtin_dataset_id
        assert dataset_id is not None
        assert scenario_of(dataset_id) == name
    assert scenario_of("D4RL/pen/expert-v2") is None


def test_what_cannot_be_recorded_is_refused_with_what_can() -> None:
    with pytest.raises(MageError, match=r"no built-in data for pen-expert; there is for maze2d-umaze, .*maze-game"):
        collect("pen-expert")
    with pytest.raises(MageError, match="no scenario 'maze2d-umaz'"):
        collect("maze2d-umaz")


def test_without_the_package_ogbench_its_maze_says_how_to_get_it(
    minari_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ogbench", None)
    with pytest.raises(MageError, match=r'pip install "mage-rl\[ogbench\]"'):
        collect("pointmaze-giant-navigate-v0", episodes=1, workers=1)
    assert list(minari_root.rglob("*")) == []
