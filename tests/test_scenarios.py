import csv
import subprocess
import sys
from pathlib import Path

import pytest

from mage import scenarios
from mage.errors import MageError
from mage.scenarios import Scenario

PUBLISHED = Path(scenarios.__file__).parent / "results" / "published_results.csv"


def test_all_twelve_adroit_sets_and_the_three_mazes_are_known() -> None:
    tasks, levels = ("pen", "door", "hammer", "relocate"), ("expert", "human", "cloned")
    mazes = [f"maze2d-{size}" for size in ("umaze", "medium", "large")]
    assert scenarios.names() == [f"{task}-{level}" for task in tasks for level in levels] + mazes


@pytest.mark.parametrize("name", scenarios.names())
def test_every_scenario_is_reported_in_the_tables_it_names(name: str) -> None:
    with PUBLISHED.open(encoding="utf-8") as file:
        tables = {row["table"] for row in csv.DictReader(file) if row["scenario"] == name}
    assert set(scenarios.get(name).paper_tables) <= tables


def test_a_group_of_the_registry_keeps_its_members_apart() -> None:
    door = scenarios.get("door-expert")
    assert (door.dataset_id, door.environment) == ("D4RL/door/expert-v2", "AdroitHandDoor-v1")
    assert door.reference_scores == (-56.512833, 2880.5693087298737)
    assert (door.target_return_quantile, door.evaluation_episodes, door.paper_episodes) == (0.9, 100, 20)
    maze = scenarios.get("maze2d-large")
    assert (maze.dataset_id, maze.builtin_dataset_id) == ("D4RL/pointmaze/large-v2", "mage/maze2d/large-v0")
    assert (maze.target_return_quantile, maze.reference_scores, maze.paper_episodes) == (1.0, None, 100)


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(MageError, match=r"no scenario 'door-exprt'; did you mean door-expert"):
        scenarios.get("door-exprt")


def test_a_name_like_none_is_answered_with_all_of_them() -> None:
    with pytest.raises(MageError, match=r"known scenarios: pen-expert, .*maze2d-large"):
        scenarios.get("zzzz")


def test_a_namespace_maps_to_the_local_copy() -> None:
    assert scenarios.local_dataset_id(scenarios.get("door-expert"), "local") == "local/door/expert-v0"
    assert scenarios.local_dataset_id(scenarios.get("maze2d-umaze"), "local/") == "local/maze2d/umaze-v0"


def test_a_scenario_refuses_what_it_does_not_know_and_what_cannot_be() -> None:
    entry = scenarios.get("pen-expert").model_dump()
    with pytest.raises(ValueError, match="extra"):
        Scenario.model_validate(entry | {"gamma": 0.99})
    with pytest.raises(ValueError, match="target_return_quantile"):
        Scenario.model_validate(entry | {"target_return_quantile": 1.5})


def test_the_registry_loads_without_the_heavy_packages() -> None:
    program = (
        "import sys; from mage import scenarios; scenarios.names(); "
        "print({'torch', 'ray', 'minari', 'gymnasium', 'pandas'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
